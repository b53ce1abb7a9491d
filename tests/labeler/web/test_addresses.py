"""Addresses from outside that no parser of addresses accepts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from labeler.accounts import invites
from labeler.accounts.passwords import hash_password
from labeler.app import create_app
from labeler.config import Settings, load_settings
from labeler.database.engine import Database
from labeler.errors import ConfigError
from labeler.models.accounts import Annotator
from tests.conftest import MakeAnnotator
from tests.labeler.conftest import PASSWORD, Visit

ODD = ("//[", "http://[", "/\\[", "http://[::1", "//[v1.x]", "/a\tb", "https://\u2100.example/")


@pytest.mark.parametrize("target", ODD)
def test_an_odd_way_back_leads_to_the_start_page(
    visit: Visit, db: Database, make_annotator: MakeAnnotator, target: str
) -> None:
    make_annotator(db, "ada")
    with db.write() as session:
        session.scalars(select(Annotator)).one().password_hash = hash_password(PASSWORD)
    form = {"username": "ada", "password": PASSWORD, "next": target}
    answer = visit(None).submit("/sign-in", form)
    assert (answer.status_code, answer.location) == (303, "/")
    answer = visit("annotator").get("/sign-in", query_string={"next": target})
    assert (answer.status_code, answer.location) == (302, "/")


@pytest.mark.parametrize("target", ODD)
def test_an_odd_referrer_is_refused(visit: Visit, target: str) -> None:
    browser = visit("annotator")
    answer = browser.client.post(
        "/sign-out",
        data={"csrf_token": browser.token()},
        base_url="https://localhost",
        headers={"Referer": target.encode().decode("latin-1")},
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["[", "[::1", "a[b", "x:y", "a b", "\xe2\x84\x80.example"])
def test_an_odd_host_is_no_defect(visit: Visit, host: str) -> None:
    admin = visit("admin")
    headers = {"Host": host}
    form = {"note": "", "role": "annotator", "max_uses": "1", "days": "1"}
    form["csrf_token"] = admin.token()
    assert admin.client.get("/admin/invites", headers=headers).status_code < 500
    assert admin.client.post("/admin/invites", data=form, headers=headers).status_code < 500
    assert admin.client.get("/admin/invites", headers=headers).status_code < 500  # with the link


@pytest.mark.parametrize("host", ["x" * 900, "a..b", "." * 3])
@pytest.mark.parametrize("public_url", [None, "https://label.example"])
def test_a_host_that_is_no_name_is_refused_in_plain_words(
    db: Database, settings: Settings, host: str, public_url: str | None
) -> None:
    app = create_app(replace(settings, public_url=public_url))
    client = app.test_client()
    for address in ("/", "/sign-in", "/nowhere", "/static/site.css"):
        for answer in (
            client.get(address, headers={"Host": host}),
            client.post(address, headers={"Host": host}),
        ):
            assert (answer.status_code, answer.mimetype) == (400, "text/plain")
            assert "Host header" in answer.text
    app.extensions["sidelight_db"].dispose()


def test_an_address_is_local_only_if_it_is_one() -> None:
    for name in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]", "0.0.0.0", "[::]"):
        assert invites.is_local(f"http://{name}:8000")
    for name in ("192.0.2.7", "[2001:db8::1]", "127.example", "localhost.example"):
        assert not invites.is_local(f"http://{name}:8000")
    assert not invites.is_local("http://[")


@pytest.mark.parametrize("address", ["http://[", "https://", "http://a b"])
def test_the_public_address_has_a_host(address: str, tmp_path: object) -> None:
    with pytest.raises(ConfigError, match="SIDELIGHT_PUBLIC_URL"):
        load_settings({"SIDELIGHT_HOME": str(tmp_path), "SIDELIGHT_PUBLIC_URL": address})
