"""The audit log: which events it has, and that nobody changes them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DatabaseError

from labeler.accounts import invites, sessions
from labeler.accounts import service as accounts
from labeler.accounts.sessions import Browser
from labeler.audit.log import NOBODY, Actor, list_events, record
from labeler.campaigns import service as campaigns
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, TooManyAttempts, WrongPassword
from labeler.models.audit import AuditEvent
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, after
from tests.labeler.conftest import PASSWORD, Visit
from tests.labeler.people.test_page import invite, join, sign_in

Event = tuple[str, int | None, str | None, int | None]


def events(db: Database) -> list[Event]:
    """Action, actor and subject of all events, the oldest first."""
    with db.read() as session:
        found = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    return [(one.action, one.actor_id, one.subject_kind, one.subject_id) for one in found]


def test_what_people_do_on_the_pages_is_logged_with_who_did_it(
    visit: Visit, db: Database, dataset_id: int
) -> None:
    boss, ann = visit("admin", "boss"), visit(None)
    path = invite(boss)
    assert sign_in(visit(None), "ann", "wrong") == 401
    assert join(ann, path) == 303
    ann.annotator_id = 2
    there = visit(None)
    assert sign_in(there, "ann") == 303
    change = {"current": "wrong", "new": "another good sentence"}
    assert ann.submit("/account/password", change).status_code == 401
    assert ann.submit("/account/sessions/3/revoke").status_code == 303
    assert ann.submit("/account/sessions/revoke-others").status_code == 303
    right = {**change, "current": PASSWORD}
    assert ann.submit("/account/password", right).status_code == 303
    assert ann.submit("/sign-out").status_code == 303
    for address, form in (
        ("/admin/people/2/role", {"role": "supervisor", "confirmed": "yes"}),
        ("/admin/people/2/deactivate", {"confirmed": "yes"}),
        ("/admin/people/2/reactivate", {}),
        ("/admin/people/2/anonymise", {"username": "ann"}),
    ):
        assert boss.submit(address, form).status_code == 303
    invite(boss)
    assert boss.confirm("/admin/invites/2/revoke").status_code == 303
    assert boss.get("/admin/export/labels.csv").status_code == 200
    assert boss.get("/admin/export/votes.csv").status_code == 200
    assert events(db) == [
        ("campaign_activated", None, "campaign", 1),
        ("invite_created", 1, "invite", 1),
        ("sign_in_failed", None, None, None),
        ("account_created", 2, "account", 2),
        ("sign_in", 2, None, None),
        ("password_failed", 2, "account", 2),
        ("browser_signed_out", 2, "account", 2),
        ("browser_signed_out", 2, "account", 2),
        ("password_confirmed", 2, None, None),
        ("password_changed", 2, "account", 2),
        ("sign_out", 2, None, None),
        ("role_changed", 1, "account", 2),
        ("account_closed", 1, "account", 2),
        ("account_reopened", 1, "account", 2),
        ("account_anonymised", 1, "account", 2),
        ("invite_created", 1, "invite", 2),
        ("invite_revoked", 1, "invite", 2),
        ("export", 1, "campaign", 1),
        ("export", 1, "campaign", 1),
    ]


def test_new_rules_are_logged_with_their_values(
    any_db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator
) -> None:
    make_dataset(any_db)
    boss = Actor(make_annotator(any_db).id, "10.0.0.1")
    with any_db.write() as session:
        rules = campaigns.get_campaign(session, 1).parsed_rules
        for votes in (2, 2):  # the second time nothing changes
            new = dataclasses.replace(rules, required_votes=votes)
            campaigns.edit_campaign(session, 1, boss, rules=new)
        campaigns.activate_campaign(session, 1, boss)
    with any_db.read() as session:
        (newest, *_) = list_events(session)
    assert (newest.event.action, newest.event.actor_id) == ("rules_changed", boss.id)
    assert newest.event.details == {"required_votes": 2}


def test_a_lock_out_is_logged_once(any_db: Database, settings: Settings) -> None:
    with any_db.write() as session:
        _, token = invites.create_invite(session)
        ada = invites.accept_invite(session, token, "ada", PASSWORD)
    for number in range(settings.login_attempts + 3):
        with pytest.raises((WrongPassword, TooManyAttempts)):
            sessions.sign_in(
                any_db, "ada", "wrong", Browser("192.0.2.1"), settings, now=after(number)
            )
    actions = [one[0] for one in events(any_db)]
    assert actions.count("sign_in_failed") == settings.login_attempts
    assert actions.count("locked_out") == 1
    with any_db.read() as session:
        (locked,) = list_events(session, action="locked_out")
    assert (locked.event.subject_id, locked.event.address) == (ada.id, "192.0.2.1")
    assert locked.event.details == {"of": "account"}


def test_what_was_typed_is_kept_nowhere(
    any_db: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """People type their password as their name by mistake."""
    with pytest.raises(WrongPassword):
        sessions.sign_in(
            any_db, "telltale-name", "telltale-password", Browser("192.0.2.1"), settings
        )
    with any_db.read() as session:
        rows = session.execute(text("SELECT * FROM audit_event")).all()
    assert "telltale" not in str(rows)
    (line,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert "192.0.2.1" in line.getMessage()
    assert "telltale" not in line.getMessage()


def test_a_change_that_fails_is_not_logged(any_db: Database, make_annotator: MakeAnnotator) -> None:
    boss = make_annotator(any_db, role="admin")
    with pytest.raises(Conflict), any_db.write() as session:
        accounts.deactivate(session, boss.id)

    def fail() -> None:
        with any_db.write() as session:
            invites.create_invite(session)
            raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError):
        fail()
    assert events(any_db) == []


CHANGES: dict[str, Callable[[], object]] = {
    "delete": lambda: delete(AuditEvent),
    "actor": lambda: update(AuditEvent).values(actor_id=None),
    "action": lambda: update(AuditEvent).values(action="sign_out"),
    "details": lambda: update(AuditEvent).values(details={}),
    "time": lambda: update(AuditEvent).values(at=NOON),
    "address": lambda: update(AuditEvent).values(address="10.9.9.9"),
    "address and more": lambda: update(AuditEvent).values(address=None, action="sign_out"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_entries_are_neither_changed_nor_deleted(
    any_db: Database, make_annotator: MakeAnnotator, change: str
) -> None:
    boss = make_annotator(any_db)
    with any_db.write() as session:
        record(session, "role_changed", Actor(boss.id, "10.0.0.1"), ("account", boss.id), role="x")
    with pytest.raises(DatabaseError, match="append-only"), any_db.write() as session:
        session.execute(CHANGES[change]())  # type: ignore[call-overload]
    assert events(any_db) == [("role_changed", boss.id, "account", boss.id)]


def test_an_address_can_be_erased(any_db: Database) -> None:
    with any_db.write() as session:
        record(session, "sign_in", Actor(None, "10.0.0.1"), None)
    with any_db.write() as session:
        session.execute(update(AuditEvent).values(address=None))
    with any_db.read() as session:
        assert session.scalar(select(AuditEvent.address)) is None


@pytest.mark.postgres
def test_the_log_is_not_emptied_at_once(postgres_db: Database) -> None:
    with pytest.raises(DatabaseError, match="append-only"), postgres_db.write() as session:
        session.execute(text("TRUNCATE audit_event"))


def test_an_unknown_action_is_refused(db: Database) -> None:
    with db.write() as session, pytest.raises(KeyError):
        record(session, "made_up", NOBODY)


def test_the_page_filters_and_pages(visit: Visit, db: Database) -> None:
    boss, ann = visit("admin", "boss"), visit("annotator", "ann")
    with db.write() as session:
        for number in range(150):
            record(session, "sign_in", Actor(ann.annotator_id, f"10.0.1.{number}"))
        record(session, "role_changed", Actor(boss.annotator_id), ("account", 2), role="admin")
        record(session, "account_closed", NOBODY, ("account", 1))
    page = boss.get("/admin/audit").text
    assert page.count("<tr>") == 101  # the head and a hundred entries
    assert "10.0.1.149" in page
    assert "role: admin" in page
    older = boss.get("/admin/audit?before=53").text
    assert older.count("<tr>") == 53
    assert "Show older entries" not in older
    (only,) = [boss.get("/admin/audit?action=role_changed").text]
    assert only.count("<tr>") == 2
    assert boss.get("/admin/audit?person=1").text.count("<tr>") == 3
    assert "Show older entries" in boss.get("/admin/audit?person=2").text
    for odd in ("action=x&person=y&before=z", f"person={2**63}&before=-1", "action=%00"):
        assert boss.get(f"/admin/audit?{odd}").status_code == 200


def test_only_admins_read_it(visit: Visit) -> None:
    assert visit("supervisor").get("/admin/audit").status_code == 403
    assert visit("admin").get("/admin/audit").status_code == 200


def test_details_are_told_in_the_language_of_the_reader(visit: Visit, db: Database) -> None:
    boss = visit("admin", "boss")
    by = Actor(boss.annotator_id)
    with db.write() as session:
        rules = {"blind_share": 0.125, "proposals": "mixed", "mirror_views": True}
        record(session, "rules_changed", by, ("campaign", 1), **rules)
        record(session, "campaign_edited", by, ("campaign", 1), changed="name and guideline")
        record(session, "turn_shared", by, ("turn", 1), again=False)
        record(session, "job_retried", by, ("job", 1), kind="fill_campaign")
    boss.submit("/language", {"language": "de"})
    table = boss.get("/admin/audit").text.partition("<table")[2]
    for english in ("blind share", "mixed", "True", "False", "name and", "fill_campaign"):
        assert english not in table, english
    assert "12,5" in table
