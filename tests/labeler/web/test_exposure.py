"""What the site tells strangers: no folders, no source, no method but its own; and what it logs."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from tests.labeler.conftest import Visit

HIDDEN = (
    "/static/",
    "/static/voting",
    "/static/../labeler/config.py",
    "/static/%2e%2e/pyproject.toml",
    "/.git/config",
    "/instance/secret_key",
    "/labeler/app.py",
)


@pytest.mark.parametrize("address", HIDDEN)
def test_neither_folders_nor_source_are_served(visit: Visit, address: str) -> None:
    assert visit(None).get(address).status_code == 404


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "CONNECT"])
def test_other_methods_are_refused(visit: Visit, method: str) -> None:
    answer = visit(None).client.open("/sign-in", method=method)
    assert answer.status_code == 405
    assert "TRACE" not in answer.headers["Allow"]


def test_no_other_origin_may_read(visit: Visit) -> None:
    headers = {"Origin": "https://evil.example"}
    answer = visit("admin").get("/me", headers=headers)
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


def test_debugging_is_off(app: Flask) -> None:
    assert not app.debug
    assert app.config["SESSION_COOKIE_HTTPONLY"]


def test_what_is_not_allowed_is_logged_without_what_was_sent(
    visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    ann = visit("annotator")
    with caplog.at_level(logging.WARNING):
        assert ann.get("/admin/people?telltale=1").status_code == 403
        assert ann.client.post("/sign-out", data={"telltale": "1"}).status_code == 400
    lines = [one.getMessage() for one in caplog.records]
    who = f"Account {ann.annotator_id}, address 127.0.0.1"
    assert lines == [
        f"Refused (forbidden): GET people.people. {who}",
        f"Refused (csrf_failed): POST accounts.sign_out. {who}",
    ]


def test_signing_out_empties_the_cache_of_the_browser(visit: Visit) -> None:
    answer = visit("annotator").submit("/sign-out")
    assert answer.headers["Clear-Site-Data"] == '"cache"'
