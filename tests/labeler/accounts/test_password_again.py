"""Dangerous changes ask for the password again, if it was last entered a while ago."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from flask import Flask
from sqlalchemy import select, update

from labeler.accounts.passwords import hash_password
from labeler.accounts.sessions import password_is_old
from labeler.audit.log import list_events
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.accounts import Annotator, Invite, LoginSession
from labeler.models.base import utc_now
from tests.labeler.acting import NOON, after
from tests.labeler.conftest import PASSWORD, Browser, Visit
from tests.labeler.web.test_access import ADMINS

ODD = '"><script>alert(1)</script>&amp;\nsecond line'


class _Fields(HTMLParser):
    """The hidden fields of the last form of a page, and where it goes."""

    def __init__(self) -> None:
        super().__init__()
        self.action, self.fields = "", {}  # type: ignore[var-annotated]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action, self.fields = given["action"] or "", {}
        elif tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"]] = given["value"]


def question(page: str) -> _Fields:
    """The form that asks for the password."""
    assert "Enter your password" in page
    return last_form(page)


def last_form(page: str) -> _Fields:
    """The last form of a page."""
    found = _Fields()
    found.feed(page)
    return found


def forget(db: Database, minutes: float = 16) -> None:
    """Let everybody have entered their password so long ago."""
    with db.write() as session:
        long_ago = utc_now() - timedelta(minutes=minutes)
        session.execute(update(LoginSession).values(password_at=long_ago))


def role_of(db: Database, annotator_id: int | None) -> str:
    with db.read() as session:
        return session.get_one(Annotator, annotator_id).role


@pytest.fixture
def boss(visit: Visit, db: Database) -> Browser:
    """An admin with a password, which was entered 16 minutes ago."""
    browser = visit("admin", "boss")
    with db.write() as session:
        session.get_one(Annotator, browser.annotator_id).password_hash = hash_password(PASSWORD)
    forget(db)
    return browser


def test_the_change_goes_on_after_the_right_password(
    boss: Browser, visit: Visit, db: Database
) -> None:
    ann = visit("annotator", "ann").annotator_id
    address = f"/admin/people/{ann}/role"
    asked = boss.submit(address, {"role": "supervisor"})
    assert asked.status_code == 403
    assert "Enter your password to change a role." in asked.text
    assert role_of(db, ann) == "annotator"
    form = question(asked.text)
    assert (form.action, form.fields["role"]) == (address, "supervisor")
    wrong = boss.submit(form.action, {**form.fields, "password_again": "wrong"})
    assert (wrong.status_code, role_of(db, ann)) == (401, "annotator")
    assert "The current password is wrong." in wrong.text
    form = question(wrong.text)
    right = {**form.fields, "password_again": PASSWORD}
    asked_again = boss.submit(form.action, right)
    assert "Make ann a supervisor?" in asked_again.text, "the question of every change of a role"
    form = last_form(asked_again.text)
    assert "password_again" not in form.fields
    assert boss.submit(form.action, form.fields).status_code == 303
    assert role_of(db, ann) == "supervisor"
    assert boss.confirm(address, {"role": "annotator"}).status_code == 303, "asked once only"
    with db.read() as session:
        actions = [one.event.action for one in list_events(session)]
    assert actions == ["role_changed", "role_changed", "password_confirmed", "password_failed"]


def test_nothing_that_was_typed_is_lost(boss: Browser, db: Database) -> None:
    typed = {"note": ODD, "role": "supervisor", "max_uses": "3", "days": "7"}
    page = boss.submit("/admin/invites", typed).text
    assert "<script>alert" not in page
    form = question(page)
    assert {name: form.fields[name] for name in typed} == typed
    made = boss.submit(form.action, {**form.fields, "password_again": PASSWORD})
    assert made.status_code == 303
    assert "Invite 1 is ready." in boss.get("/admin/invites").text
    with db.read() as session:
        (invite,) = session.scalars(select(Invite))
    assert (invite.note, invite.role, invite.max_uses) == (ODD, "supervisor", 3)


def test_guessing_has_the_limit_of_the_sign_in(
    boss: Browser, db: Database, settings: Settings
) -> None:
    """It is the same count as on the page of the account."""
    wrong = {"role": "admin", "password_again": "wrong"}
    for _ in range(settings.login_attempts - 1):
        assert boss.submit("/admin/people/1/role", wrong).status_code == 401
    change = {"current": "wrong", "new": "another good sentence"}
    assert boss.submit("/account/password", change).status_code == 401
    refused = boss.submit("/admin/people/1/role", {**wrong, "password_again": PASSWORD})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= settings.login_window_seconds
    assert "Too many wrong passwords" in refused.text
    with db.read() as session:
        assert len(list_events(session, action="locked_out")) == 1


def test_it_counts_for_this_browser_only(boss: Browser, app: Flask, db: Database) -> None:
    other = Browser(app.test_client(), None)
    login = {"username": "boss", "password": PASSWORD}
    assert other.submit("/sign-in", login).status_code == 303
    other.annotator_id = boss.annotator_id
    assert other.submit("/admin/people/1/role", {"role": "admin"}).status_code == 303
    assert boss.submit("/admin/people/1/role", {"role": "admin"}).status_code == 403


def test_the_password_of_a_change_counts_too(boss: Browser) -> None:
    change = {"current": PASSWORD, "new": "another good sentence"}
    assert boss.submit("/account/password", change).status_code == 303
    assert boss.submit("/admin/people/1/role", {"role": "admin"}).status_code == 303


@pytest.mark.parametrize("address", ["/admin/people/1/role", "/account/password"])
def test_the_token_of_the_session_changes(boss: Browser, app: Flask, address: str) -> None:
    with boss.client.session_transaction() as cookie:
        stolen = cookie["token"]
    sent = {"role": "admin", "current": PASSWORD, "new": "another good sentence"}
    assert boss.submit(address, {**sent, "password_again": PASSWORD}).status_code == 303
    assert boss.get("/me").status_code == 200
    thief = app.test_client()
    with thief.session_transaction() as cookie:
        cookie["token"] = stolen
    assert thief.get("/me").status_code == 401


def test_programs_get_a_code(boss: Browser) -> None:
    headers = {"X-CSRFToken": boss.token(), "Accept": "application/json"}
    answer = boss.client.post("/admin/people/1/role", data={"role": "admin"}, headers=headers)
    assert answer.status_code == 403
    assert answer.get_json()["error"]["code"] == "password_needed"


def test_a_form_of_another_site_guesses_nothing(boss: Browser, db: Database) -> None:
    sent = {"role": "admin", "password_again": "wrong"}
    assert boss.client.post("/admin/people/1/role", data=sent).status_code == 400
    with db.read() as session:
        assert not list_events(session)


def test_people_without_the_right_are_refused_first(visit: Visit, db: Database) -> None:
    ann = visit("supervisor")
    forget(db)
    answer = ann.submit("/admin/people/1/role", {"role": "admin", "password_again": "x"})
    assert answer.status_code == 403
    assert "password_again" not in answer.text


def test_which_changes_ask(app: Flask) -> None:
    """All of the admins', and those that end other sessions."""
    asking = {name for name, view in app.view_functions.items() if hasattr(view, "asks_password")}
    writes = {rule.endpoint for rule in app.url_map.iter_rules() if "POST" in rule.methods}  # type: ignore[operator]
    only_takes_away = {"people.revoke_invite"}
    only_a_text = {"privacy.save", "privacy.preview", "privacy.restore"}
    only_adds = {name for name in ADMINS if name.startswith("image_imports.")}
    own = {"accounts.revoke_session", "accounts.revoke_others"}
    assert asking == ((ADMINS & writes) - only_takes_away - only_a_text - only_adds) | own


@pytest.mark.parametrize("address", ["sessions/1/revoke", "sessions/revoke-others"])
def test_ending_other_sessions_asks(boss: Browser, address: str) -> None:
    form = question(boss.submit(f"/account/{address}").text)
    assert form.action == f"/account/{address}"
    right = {**form.fields, "password_again": PASSWORD}
    assert boss.submit(form.action, right).status_code == 303


def test_the_page_can_be_left(boss: Browser) -> None:
    page = boss.submit("/admin/people/1/role", {"role": "admin"}).text
    cancel = re.search(r'<a href="([^"]+)">Cancel</a>', page)
    assert cancel is not None
    assert boss.get(cancel[1]).status_code == 200


def test_how_long_is_a_setting(settings: Settings) -> None:
    assert not password_is_old(NOON, settings, now=after(15 * 60))
    assert password_is_old(NOON, settings, now=after(15 * 60 + 1))
    hour = replace(settings, confirm_minutes=60)
    assert not password_is_old(NOON, hour, now=after(15 * 60 + 1))
    assert password_is_old(None, hour, now=NOON), "a session from before this rule"


def test_a_clock_that_is_set_back_does_not_answer_the_question(settings: Settings) -> None:
    assert password_is_old(NOON, settings, now=after(-3600))
    assert not password_is_old(NOON, settings, now=after(-2))
