"""The privacy notice: true by default, changed by admins, set back; read by everybody."""

from __future__ import annotations

import dataclasses
import html
import re

import pytest
from sqlalchemy import select

from labeler.accounts.devices import DEVICE_DAYS
from labeler.accounts.pruning import ENDED_DAYS
from labeler.audit.log import ADDRESS_DAYS
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.languages.current import LANGUAGES, in_language
from labeler.models.audit import AuditEvent
from labeler.models.privacy import PrivacyNotice
from labeler.privacy.default_notice import default_notice
from labeler.privacy.service import MAX_NOTICE, change_notice, get_notice, restore_default
from tests.labeler.conftest import Browser, Visit
from tests.labeler.people.test_page import invite

OWN = "# Who we are\n\nThe chair of **optics**.<script>alert(1)</script>"
FIELD = re.compile(r'name="privacy_notice"[^>]*>\n([^<]*)<')


def save(boss: Browser, text: str) -> str:
    """Save a notice; returns what the next page says."""
    answer = boss.submit("/admin/privacy", {"privacy_notice": text})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/admin/privacy")
    return boss.get("/admin/privacy").text


def actions(db: Database) -> list[str]:
    with db.read() as session:
        kind = AuditEvent.action.like("privacy%")
        return list(session.scalars(select(AuditEvent.action).where(kind).order_by(AuditEvent.id)))


def test_the_default_notice_has_the_periods_of_the_site(settings: Settings) -> None:
    other = dataclasses.replace(settings, session_days=5, session_max_days=6)
    text = default_notice(other)
    for days in (ADDRESS_DAYS, DEVICE_DAYS, ENDED_DAYS, 5, 6):
        assert f"{days} days" in text.replace("\n", " "), days
    assert "{" not in text


def test_the_undo_never_deletes_another_own_notice(visit: Visit) -> None:
    boss = visit("admin")
    assert "Undo: show the default notice again" in save(boss, OWN)
    assert "Undo" not in save(boss, OWN + " And more.")


def test_line_ends_count_as_browsers_count_them(visit: Visit) -> None:
    """Browsers send two characters for a line end, and count one."""
    text = "\r\n".join(["a" * 9] * 2000)
    assert len(text) > MAX_NOTICE >= len(text.replace("\r\n", "\n"))
    assert "Everybody now reads your privacy notice." in save(visit("admin"), text)


def test_everybody_reads_it_and_finds_it(visit: Visit) -> None:
    for browser in (visit(None), visit("annotator"), visit("admin")):
        page = browser.get("/privacy")
        assert page.status_code == 200
        assert "<h2>Who sees it</h2>" in page.text
        assert "Last changed" not in page.text
    join = visit(None).get(invite(visit("admin"))).text
    for text in (visit(None).get("/sign-in").text, visit("annotator").get("/me").text, join):
        assert '<footer class="foot"><a href="/privacy">' in text
    assert '<a href="/privacy">What this site stores about you</a>' in join


def test_an_admin_changes_it_and_sets_it_back(visit: Visit, db: Database) -> None:
    boss = visit("admin")
    found = FIELD.search(boss.get("/admin/privacy").text)
    assert found is not None
    assert html.unescape(found[1]).startswith("This site asks people")
    assert "Undo: show the default notice again" in save(boss, OWN)
    page = visit(None).get("/privacy").text
    assert "<h2>Who we are</h2>" in page
    assert "<strong>optics</strong>" in page
    assert "<script>alert" not in page
    assert "Last changed on" in page
    assert "is unchanged" in save(boss, OWN.replace("\n", "\r\n"))
    asked = boss.submit("/admin/privacy/default")
    assert f"Your text of {len(OWN)} characters will be deleted." in asked.text
    assert "Who we are" in visit(None).get("/privacy").text
    assert boss.confirm("/admin/privacy/default").status_code == 303
    assert "Who we are" not in visit(None).get("/privacy").text
    assert actions(db) == ["privacy_changed", "privacy_restored"]
    assert boss.submit("/admin/privacy/default").status_code == 303
    assert len(actions(db)) == 2


@pytest.mark.parametrize("sent", ["", " \r\n", "default"])
def test_an_empty_or_default_text_stores_nothing(
    visit: Visit, db: Database, settings: Settings, sent: str
) -> None:
    boss = visit("admin")
    save(boss, OWN)
    text = default_notice(settings).replace("\n", "\r\n") if sent == "default" else sent
    assert "The default privacy notice is shown again." in save(boss, text)
    with db.read() as session:
        assert session.scalars(select(PrivacyNotice)).all() == []
    assert "This site asks people" in visit(None).get("/privacy").text


def test_the_preview_stores_nothing_and_long_texts_are_refused(visit: Visit, db: Database) -> None:
    boss = visit("admin")
    page = boss.submit("/admin/privacy/try", {"privacy_notice": OWN}).text
    assert "<strong>optics</strong>" in page
    found = FIELD.search(page)
    assert found is not None
    assert html.unescape(found[1]) == OWN
    headers = {"Accept": "application/json", "X-CSRFToken": boss.token()}
    shown = boss.client.post("/admin/privacy/try", data={"privacy_notice": OWN}, headers=headers)
    assert "<strong>optics</strong>" in shown.get_json()["preview"]
    for address in ("/admin/privacy/try", "/admin/privacy"):
        answer = boss.submit(address, {"privacy_notice": "é" * 20_001})
        assert "The text has 20,001 characters. The limit is 20,000." in answer.text
        assert answer.status_code == (200 if address.endswith("try") else 422)
    assert actions(db) == []


def test_only_admins_change_it(visit: Visit) -> None:
    for role in ("annotator", "supervisor"):
        browser = visit(role)
        assert "Change this text" not in browser.get("/privacy").text
        assert browser.get("/admin/privacy").status_code == 403
        assert browser.submit("/admin/privacy", {"privacy_notice": OWN}).status_code == 403
    assert "Change this text" in visit("admin").get("/privacy").text


def test_it_is_stored_in_both_databases(any_db: Database, settings: Settings) -> None:
    for text in (OWN, "Ask Ada."):
        with any_db.write() as session:
            assert change_notice(session, settings, text)
        with any_db.read() as session:
            assert get_notice(session, settings).text == text
    with any_db.write() as session:
        assert restore_default(session, settings)
    with any_db.read() as session:
        assert get_notice(session, settings).is_default


def test_the_default_notice_is_read_in_each_language(db: Database, settings: Settings) -> None:
    """It stays the default one also if an admin saves it in the language that they read."""
    texts = set()
    for code in LANGUAGES:
        with in_language(code), db.write() as session:
            shown = get_notice(session, settings)
            texts.add(shown.text)
            assert change_notice(session, settings, shown.text) is None
    assert len(texts) == len(LANGUAGES)
    assert len({text.count("|") for text in texts}) == 1, "the same table"
    assert len({text.count("\n- ") for text in texts}) == 1, "the same lists"
    with db.read() as session:
        assert get_notice(session, settings).is_default
