"""Shared links: what they show, to whom, and that nothing is left of them once they are revoked."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import select

from labeler.accounts.passwords import hash_token
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.audit import AuditEvent
from labeler.models.studio import HeadTurn
from tests.labeler.conftest import Browser, Visit
from tests.labeler.studio.turned import add_result, add_turn, folder_of, remove_by_hand

LINK = re.compile(r'id="link" value="http://[^/]+(/shared/[\w-]+)"')
REVOKED = "does not work, or no longer"


@pytest.fixture
def boss(visit: Visit) -> Browser:
    return visit("supervisor", "chief")


@pytest.fixture
def turn_id(db: Database, settings: Settings, boss: Browser) -> int:
    return add_result(db, settings, boss.annotator_id or 0, name="Ada <turned>")


def share(boss: Browser, turn_id: int) -> str:
    """Press the button; returns the address of the link."""
    answer = boss.submit(f"/studio/{turn_id}/share")
    assert answer.status_code == 303
    found = LINK.search(boss.get(answer.location).text)
    assert found is not None
    return found[1]


def test_a_link_shows_the_strip_and_nothing_else(
    visit: Visit, boss: Browser, db: Database, settings: Settings, turn_id: int
) -> None:
    address = share(boss, turn_id)
    stranger = visit(None)
    page = stranger.get(address)
    assert page.status_code == 200
    assert "Ada &lt;turned&gt;" in page.text
    assert re.findall(r'href="([^"]+)"', page.text) == ["/static/mark.svg", "/static/site.css"]
    assert re.findall(r'src="([^"]+)"', page.text) == [f"{address}/strip.png"]
    for word in ("<script", "<form", "<nav", "000001.jpg", "chief", "csrf"):
        assert word not in page.text
    strip = stranger.get(f"{address}/strip.png")
    assert strip.mimetype == "image/png"
    assert strip.data == (folder_of(db, settings, turn_id) / "strip.png").read_bytes()
    for path in ("report.json", "turn.gif", "files.zip", "frame_+000.0.png", ""):
        assert stranger.get(f"{address}/{path}").status_code == 404
    for path in ("", "/files/strip.png", "/pictures/0", "/thumbnail", "/means/0", "/files.zip"):
        assert stranger.get(f"/studio/{turn_id}{path}").status_code == 401


def test_who_is_signed_in_sees_no_more_of_a_link(boss: Browser, visit: Visit, turn_id: int) -> None:
    address = share(boss, turn_id)
    assert boss.get(address).text == visit(None).get(address).text


def test_no_cache_and_no_other_site_learns_of_a_link(
    boss: Browser, visit: Visit, turn_id: int
) -> None:
    address = share(boss, turn_id)
    for path in ("", "/strip.png"):
        headers = visit(None).get(address + path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "noindex" in headers["X-Robots-Tag"]
        assert "ETag" not in headers
        assert "Last-Modified" not in headers
        assert "Set-Cookie" not in headers


def test_a_link_is_shown_once_and_only_its_hash_is_stored(
    boss: Browser, db: Database, turn_id: int
) -> None:
    token = share(boss, turn_id).rpartition("/")[2]
    assert token not in boss.get(f"/studio/{turn_id}").text
    with db.read() as session:
        turn = session.get_one(HeadTurn, turn_id)
        assert turn.share_hash == hash_token(token)
        actions = session.scalars(select(AuditEvent.action)).all()
        details = str(session.scalars(select(AuditEvent.details)).all())
    assert actions.count("turn_shared") == 1
    assert token not in details


def test_the_link_of_one_result_is_not_shown_with_another(
    boss: Browser, db: Database, settings: Settings, turn_id: int
) -> None:
    other = add_result(db, settings, boss.annotator_id or 0)
    boss.submit(f"/studio/{turn_id}/share")
    assert "/shared/" not in boss.get(f"/studio/{other}").text
    assert "/shared/" in boss.get(f"/studio/{turn_id}").text


def test_a_revoked_link_is_not_found(
    boss: Browser, visit: Visit, db: Database, turn_id: int
) -> None:
    address = share(boss, turn_id)
    asked = boss.submit(f"/studio/{turn_id}/share/revoke")
    assert "cannot be restored" in asked.text
    assert visit(None).get(address).status_code == 200
    for _ in range(2):  # two people revoke it
        assert boss.confirm(f"/studio/{turn_id}/share/revoke").status_code == 303
    for path in ("", "/strip.png"):
        answer = visit(None).get(address + path)
        assert answer.status_code == 404
        assert REVOKED in answer.text
        assert answer.headers["Cache-Control"] == "no-store"
    with db.read() as session:
        actions = session.scalars(select(AuditEvent.action)).all()
    assert actions.count("turn_link_revoked") == 1


def test_a_new_link_ends_the_old_one(boss: Browser, visit: Visit, turn_id: int) -> None:
    old, new = share(boss, turn_id), share(boss, turn_id)
    assert visit(None).get(old).status_code == 404
    assert visit(None).get(new).status_code == 200


def test_a_link_ends_with_its_result(boss: Browser, visit: Visit, turn_id: int) -> None:
    address = share(boss, turn_id)
    assert boss.confirm(f"/studio/{turn_id}/delete").status_code == 303
    assert visit(None).get(address).status_code == 404


def test_a_link_to_files_that_are_gone_is_not_found(
    boss: Browser, visit: Visit, settings: Settings, turn_id: int
) -> None:
    address = share(boss, turn_id)
    remove_by_hand(settings, turn_id)
    for path in ("", "/strip.png"):
        assert visit(None).get(address + path).status_code == 404


def test_what_has_no_strip_is_not_shared(boss: Browser, db: Database) -> None:
    waiting = add_turn(db, boss.annotator_id or 0, state="queued")
    answer = boss.submit(f"/studio/{waiting}/share")
    assert answer.status_code == 409
    assert "no strip to share yet" in answer.text


def test_an_owner_shares_and_others_do_not(
    app: Flask, visit: Visit, db: Database, settings: Settings
) -> None:
    app.extensions["sidelight_settings"] = replace(settings, studio_for_annotators=True)
    ann, eve = visit("annotator"), visit("annotator")
    theirs = add_result(db, settings, ann.annotator_id or 0)
    assert eve.submit(f"/studio/{theirs}/share").status_code == 404
    assert eve.submit(f"/studio/{theirs}/share/revoke").status_code == 404
    assert visit(None).get(share(ann, theirs)).status_code == 200
