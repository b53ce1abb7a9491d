"""Fixtures: the site, a data set, and browsers that are signed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from labeler.accounts import sessions
from labeler.app import create_app
from labeler.config import Settings
from labeler.database.engine import Database
from tests.conftest import MakeAnnotator, MakeDataset

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"|"csrfToken": "([^"]+)"')
PASSWORD = "correct horse battery"


class Browser:
    """A Flask test client that sends the CSRF token, as the forms and scripts of pages do."""

    def __init__(self, client: FlaskClient, annotator_id: int | None) -> None:
        self.client = client
        self.annotator_id = annotator_id
        self._tokens: dict[str, str] = {}

    def get(self, address: str, **options: Any) -> TestResponse:
        return self.client.get(address, buffered=True, **options)

    def submit(self, address: str, fields: dict[str, Any] | None = None) -> TestResponse:
        """Post a form."""
        return self.client.post(address, data={**(fields or {}), "csrf_token": self.token()})

    def confirm(self, address: str, fields: dict[str, Any] | None = None) -> TestResponse:
        """Post a form of which the site asks whether it is meant, and say yes."""
        return self.submit(address, {**(fields or {}), "confirmed": "yes"})

    def send(self, address: str, body: Any) -> TestResponse:
        """Post JSON."""
        return self.client.post(address, json=body, headers={"X-CSRFToken": self.token()})

    def token(self) -> str:
        """Return the token of the session, from a page that is opened once a session."""
        token = self._tokens.get(self._secret())
        if token is None:
            page = self.client.get("/account" if self.annotator_id else "/sign-in")
            found = TOKEN.search(page.text)
            assert found is not None
            token = self._tokens[self._secret()] = found[1] or found[2]
        return token

    def _secret(self) -> str:
        with self.client.session_transaction() as cookie:
            return cookie.get("csrf_token", "")


Visit = Callable[..., Browser]


@pytest.fixture
def app(db: Database, settings: Settings) -> Iterator[Flask]:
    """The site on an empty, migrated database."""
    application = create_app(settings)
    application.config["TESTING"] = False  # errors become pages, as on a real site
    yield application
    application.extensions["sidelight_db"].dispose()


@pytest.fixture
def dataset_id(db: Database, make_dataset: MakeDataset) -> int:
    """Six images in an active campaign."""
    return make_dataset(db, 6)


@pytest.fixture
def visit(app: Flask, db: Database, settings: Settings, make_annotator: MakeAnnotator) -> Visit:
    """`visit("admin")` returns a browser that is signed in with that role; `visit(None)` is not."""

    def signed_in(role: str | None, username: str | None = None) -> Browser:
        client = app.test_client()
        if role is None:
            return Browser(client, None)
        annotator = make_annotator(db, username, role=role)
        with db.write() as session:
            token = sessions.open_session(session, annotator, "tests", settings)
        with client.session_transaction() as cookie:
            cookie["token"] = token
        return Browser(client, annotator.id)

    return signed_in


def lease(browser: Browser, count: int = 1) -> list[dict[str, Any]]:
    """Lease images through the label page."""
    answer = browser.send("/label/leases", {"count": count})
    assert answer.status_code == 200
    images: list[dict[str, Any]] = answer.get_json()["images"]
    return images
