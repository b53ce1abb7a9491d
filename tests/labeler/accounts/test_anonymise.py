"""Anonymising an account, and deleting what is no longer needed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import inspect, select, text

from labeler.accounts import invites, sessions
from labeler.accounts import service as accounts
from labeler.accounts.devices import DEVICE_DAYS
from labeler.accounts.pruning import ENDED_DAYS, prune
from labeler.accounts.sessions import Browser
from labeler.audit.log import ADDRESS_DAYS, Actor, list_events
from labeler.campaigns import participation
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, WrongPassword
from labeler.models.accounts import Annotator, KnownDevice, LoginSession
from labeler.models.voting import Vote
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, after, ids, lease, vote
from tests.labeler.conftest import Visit
from tests.labeler.people.test_page import invite, join, sign_in

PASSWORD = "quiet-lamp-over-there"
DAY = 86_400
NAME, ADDRESS, AGENT = "lovelace.ada", "198.51.100.77", "Telltale/7.1"


def everything(db: Database) -> str:
    """All values of all tables, as text. Failures by address belong to nobody and last a day."""
    with db.read() as session:
        tables = set(inspect(db.engine).get_table_names()) - {"login_failure"}
        return "\n".join(
            str(row) for one in tables for row in session.execute(text(f'SELECT * FROM "{one}"'))
        )


@pytest.fixture
def ada(any_db: Database, settings: Settings, make_dataset: MakeDataset) -> Annotator:
    """A person who has left traces everywhere."""
    make_dataset(any_db)
    browser = Browser(ADDRESS, AGENT)
    with any_db.write() as session:
        _, token = invites.create_invite(session, "admin", note=f"for {NAME}", now=NOON)
        person = invites.accept_invite(session, token, NAME, PASSWORD, address=ADDRESS, now=NOON)
        sessions.welcome(session, person, browser, settings, now=NOON)
        invites.create_invite(session, by=Actor(person.id, ADDRESS), now=NOON)
    (first, *_) = ids(lease(any_db, person.id, 1, settings, NOON))
    vote(any_db, person.id, first, "left", settings, NOON)
    with any_db.write() as session:
        participation.pause_person(session, 1, person.id, f"{NAME} is ill", Actor(person.id))
    with pytest.raises(WrongPassword):
        sessions.sign_in(any_db, NAME, "wrong", browser, settings, now=NOON)
    return person


def test_nothing_tells_afterwards_who_it_was(
    any_db: Database, settings: Settings, ada: Annotator, make_annotator: MakeAnnotator
) -> None:
    boss = make_annotator(any_db, "boss", role="admin")
    before = everything(any_db)
    assert all(trace in before for trace in (NAME, ADDRESS, AGENT, "argon2"))
    with any_db.write() as session:
        removed = accounts.anonymise(session, ada.id, Actor(boss.id), now=NOON)
        assert removed.username == f"removed-{ada.id}"
        (made,) = [one for one in invites.list_invites(session, now=NOON) if one.uses == 0]
        assert made.state == "revoked"
    after_it = everything(any_db)
    for trace in (NAME, ADDRESS, AGENT, "argon2", "is ill"):
        assert trace not in after_it, trace
    with any_db.read() as session:
        person = session.get_one(Annotator, ada.id)
        assert (person.pseudonym, person.deactivated_at) == (ada.pseudonym, NOON)
        assert len(session.scalars(select(Vote).where(Vote.annotator_id == ada.id)).all()) == 1
        assert list_events(session)[0].event.action == "account_anonymised"
    for name in (NAME, removed.username):
        with pytest.raises(WrongPassword):
            sessions.sign_in(any_db, name, PASSWORD, Browser(), settings, now=after(DAY))


def test_it_cannot_be_undone(
    any_db: Database, ada: Annotator, make_annotator: MakeAnnotator
) -> None:
    make_annotator(any_db, role="admin")
    with any_db.write() as session:
        name = accounts.anonymise(session, ada.id).username
        for attempt in (
            lambda: accounts.reactivate(session, ada.id),
            lambda: accounts.set_role(session, ada.id, "admin"),
            lambda: accounts.reset_password(session, name),
            lambda: accounts.anonymise(session, ada.id),
        ):
            with pytest.raises(Conflict, match="was anonymised"):
                attempt()


def test_the_last_admin_is_not_anonymised(any_db: Database, ada: Annotator) -> None:
    with any_db.write() as session, pytest.raises(Conflict, match="last active admin"):
        accounts.anonymise(session, ada.id)
    with any_db.read() as session:
        assert session.get_one(Annotator, ada.id).username == NAME


def test_nobody_takes_a_name_of_this_kind(db: Database) -> None:
    with db.write() as session:
        _, token = invites.create_invite(session)
        with pytest.raises(InvalidInput, match="do not begin with 'removed-'"):
            invites.accept_invite(session, token, "Removed-7", PASSWORD)


def test_an_admin_anonymises_after_a_confirmation(visit: Visit) -> None:
    boss, ann = visit("admin"), visit(None)
    assert join(ann, invite(boss)) == 303
    path = "/admin/people/2/anonymise"
    page = boss.get(path)
    assert "cannot be undone" in page.text
    assert boss.submit(path, {"username": "anne"}).status_code == 422
    assert ann.get("/me").status_code == 200
    assert boss.submit(path, {"username": "ann"}).status_code == 303
    assert ann.get("/me").status_code == 401
    assert sign_in(visit(None), "ann") == 401
    people = boss.get("/admin/people").text
    assert "removed-2" in people
    assert "anonymised" in people
    assert boss.get(path).status_code == 409
    assert boss.submit("/admin/people/2/reactivate").status_code == 409


def open_at(db: Database, person: Annotator, settings: Settings, day: int) -> str:
    with db.write() as session:
        return sessions.open_session(session, person, AGENT, settings, now=after(day * DAY))


def test_ended_sessions_are_deleted_and_the_last_visit_stays(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada, bob = make_annotator(any_db, "ada"), make_annotator(any_db, "bob")
    for day in (0, 1, 2):
        open_at(any_db, ada, settings, day)
    last_of_bob = 100
    for day in (0, 95, last_of_bob):
        open_at(any_db, bob, settings, day)

    def rows(person: Annotator) -> list[Any]:
        with any_db.read() as session:
            found = session.scalars(
                select(LoginSession)
                .where(LoginSession.annotator_id == person.id)
                .order_by(LoginSession.id)
            )
            return [((one.created_at - NOON).days, one.user_agent) for one in found]

    assert prune(any_db, after((settings.session_days + ENDED_DAYS) * DAY - 1)).sessions == 0
    report = prune(any_db, after(last_of_bob * DAY))
    assert (report.sessions, report.browser_names) == (3, 1)
    assert rows(ada) == [(2, "")]
    assert rows(bob) == [(95, AGENT), (last_of_bob, AGENT)]
    with any_db.read() as session:
        seen = {one.annotator.username: one.last_seen_at for one in accounts.list_people(session)}
    assert seen == {"ada": after(2 * DAY), "bob": after(last_of_bob * DAY)}
    assert prune(any_db, after(last_of_bob * DAY)) == type(report)(0, 0, 0, 0, 0)


def test_failures_known_browsers_and_addresses_are_pruned(
    any_db: Database, settings: Settings, ada: Annotator
) -> None:
    report = prune(any_db, NOON + timedelta(days=1))
    assert (report.failures, report.devices, report.addresses) == (2, 0, 0)
    assert prune(any_db, NOON + timedelta(days=ADDRESS_DAYS, seconds=1)).addresses == 3
    assert prune(any_db, NOON + timedelta(days=DEVICE_DAYS)).devices == 1
    with any_db.read() as session:
        assert session.scalars(select(KnownDevice)).all() == []
        assert [one.event.action for one in list_events(session)] == [
            "sign_in_failed", "person_paused", "invite_created", "account_created",
            "invite_created", "campaign_activated",
        ]  # fmt: skip


def test_a_session_has_a_longest_life(any_db: Database, settings: Settings) -> None:
    with any_db.write() as session:
        _, token = invites.create_invite(session, now=NOON)
        person = invites.accept_invite(session, token, "ada", PASSWORD, now=NOON)
        token = sessions.open_session(session, person, AGENT, settings, now=NOON)
    end = settings.session_max_days * DAY
    for seconds, stays in ((10 * DAY, True), (20 * DAY, True), (end - 1, True), (end, False)):
        with any_db.write() as session:
            found = sessions.prolong(session, token, settings, now=after(seconds))
        assert (found is not None) == stays, seconds


def test_a_lowered_longest_life_holds_for_sessions_that_are_open(
    db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    import dataclasses

    token = open_at(db, make_annotator(db), settings, 0)
    shorter = dataclasses.replace(settings, session_max_days=2)
    with db.read() as session:
        assert sessions.authenticate(session, token, shorter, now=after(2 * DAY - 1))
        assert sessions.authenticate(session, token, shorter, now=after(2 * DAY)) is None
