"""Cookies and what a browser is told about HTTPS."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner

from labeler.accounts import invites
from labeler.app import create_app
from labeler.config import Settings
from labeler.database.engine import Database
from tests.labeler.conftest import PASSWORD, Browser, Visit
from tests.labeler.people.test_page import invite, join, sign_in

HTTPS = "https://light.example.org"


@pytest.fixture
def over_https(db: Database, settings: Settings) -> Iterator[FlaskClient]:
    app = create_app(dataclasses.replace(settings, cookie_secure=True, public_url=HTTPS))
    yield app.test_client()
    app.extensions["sidelight_db"].dispose()


def test_over_https_cookies_are_bound_to_this_host(over_https: FlaskClient, db: Database) -> None:
    with db.write() as session:
        _, token = invites.create_invite(session)
    base = {"base_url": HTTPS, "headers": {"Referer": HTTPS}}
    page = over_https.get(f"/join/{token}", **base)  # type: ignore[arg-type]
    csrf = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"username": "ann", "password": PASSWORD, "csrf_token": csrf}
    answer = over_https.post(f"/join/{token}", data=form, **base)  # type: ignore[arg-type]
    assert answer.status_code == 303
    cookies = answer.headers.getlist("Set-Cookie")
    names = [one.partition("=")[0] for one in cookies]
    assert sorted(name.rpartition("-")[0] for name in names) == [
        "__Host-sidelight",
        "__Host-sidelight-device",
    ]
    for cookie in cookies:
        parts = {part.strip() for part in cookie.split(";")[1:]}
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= parts
        assert not any(part.startswith("Domain") for part in parts)
    assert over_https.get("/me", base_url=HTTPS).status_code == 200


def test_a_cookie_without_the_prefix_is_not_read(over_https: FlaskClient, visit: Visit) -> None:
    """Another host of the same domain could have set it."""
    browser = visit("admin")
    name = browser.client.application.config["SESSION_COOKIE_NAME"]
    stolen = browser.client.get_cookie(name)
    assert stolen is not None
    over_https.set_cookie(name, stolen.value, domain="light.example.org", secure=True)
    assert over_https.get("/me", base_url=HTTPS).status_code == 401


def test_browsers_are_told_to_come_by_https_only_if_the_site_has_it(
    over_https: FlaskClient, visit: Visit
) -> None:
    for address in ("/sign-in", "/nowhere", "/static/site.css", "/healthz"):
        headers = over_https.get(address, base_url=HTTPS, buffered=True).headers
        assert headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Strict-Transport-Security" not in visit(None).get(address).headers


def replay(visit: Visit, cookie: str) -> int:
    """The status of a page for a browser that has only this cookie."""
    other = visit(None)
    other.client.set_cookie(other.client.application.config["SESSION_COOKIE_NAME"], cookie)
    return other.get("/me").status_code


def session_cookie(browser: Browser) -> str:
    found = browser.client.get_cookie(browser.client.application.config["SESSION_COOKIE_NAME"])
    assert found is not None
    return found.value


@pytest.mark.parametrize("how", ["sign-in", "sign-up"])
def test_a_new_sign_in_ends_the_session_before(visit: Visit, how: str) -> None:
    admin, ann = visit("admin"), visit(None)
    assert join(ann, invite(admin)) == 303
    ann.annotator_id = 2
    former = session_cookie(ann)
    assert replay(visit, former) == 200
    if how == "sign-in":
        assert sign_in(ann, "ann", "a wrong one") == 401
        assert replay(visit, former) == 200, "a failure ends nothing"
        assert sign_in(ann, "ann") == 303
    else:
        assert join(ann, invite(admin), "bob") == 303
    assert replay(visit, former) == 401
    assert replay(visit, session_cookie(ann)) == 200


def test_a_clock_that_is_set_back_signs_nobody_out(
    visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = TimestampSigner.get_timestamp
    with monkeypatch.context() as before_the_change:
        before_the_change.setattr(TimestampSigner, "get_timestamp", lambda self: now(self) + 3600)
        browser = visit("admin")
    assert browser.client.get("/me").status_code == 200
