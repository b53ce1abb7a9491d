"""Invites, passwords, sessions, roles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select

from labeler.accounts import invites, sessions
from labeler.accounts import service as accounts
from labeler.accounts.attempts import ADDRESS_FACTOR
from labeler.accounts.passwords import MIN_LENGTH, hash_token, verify_password
from labeler.accounts.sessions import TOUCH_AFTER, Browser, SignedIn
from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import (
    AccountClosed,
    Conflict,
    InvalidInput,
    NotFound,
    SidelightError,
    TooManyAttempts,
    WrongPassword,
)
from labeler.models.accounts import Annotator, Invite, LoginFailure, LoginSession
from labeler.models.voting import Lease, Vote
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, after, ids, lease, lease_count, vote

PASSWORD = "quiet-lamp-over-there"
DAY = 86_400


def join(db: Database, username: str = "ada", role: str = "annotator") -> Annotator:
    with db.write() as session:
        _, token = invites.create_invite(session, role, now=NOON)
        return invites.accept_invite(session, token, username, PASSWORD, now=NOON)


def sign_in(
    db: Database,
    settings: Settings,
    username: str = "ada",
    password: str = PASSWORD,
    seconds: float = 0,
    address: str = "10.0.0.1",
    device: str = "",
) -> tuple[Annotator, str]:
    browser = Browser(address, "Firefox", device)
    opened = sessions.sign_in(db, username, password, browser, settings, now=after(seconds))
    return opened.annotator, opened.token


def who(db: Database, settings: Settings, token: str, seconds: float = 0) -> SignedIn | None:
    with db.write() as session:
        return sessions.prolong(session, token, settings, now=after(seconds))


def test_an_invite_opens_an_account_of_its_role(any_db: Database) -> None:
    ada = join(any_db, " Ada.L ", "supervisor")
    assert (ada.username, ada.role, ada.deactivated_at) == ("ada.l", "supervisor", None)
    assert ada.pseudonym.startswith("p-")
    assert "ada" not in ada.pseudonym
    assert ada.password_hash.startswith("$argon2id$")


def test_only_the_hash_of_the_token_is_kept(any_db: Database) -> None:
    with any_db.write() as session:
        invite, token = invites.create_invite(session)
        assert len(token) >= 43
        assert invite.token_hash == hash_token(token) != token
        assert invites.find_invite(session, token).id == invite.id


def test_an_invite_for_a_class_has_a_limit(any_db: Database) -> None:
    with any_db.write() as session:
        _, token = invites.create_invite(session, max_uses=2)
        for name in ("one", "two"):
            invites.accept_invite(session, token, name, PASSWORD)
        with pytest.raises(Conflict, match="used up"):
            invites.accept_invite(session, token, "three", PASSWORD)
        with pytest.raises(Conflict, match="used up"):
            invites.find_invite(session, token)


def test_an_invite_ends(any_db: Database) -> None:
    with any_db.write() as session:
        revoked, first = invites.create_invite(session, now=NOON)
        invites.revoke_invite(session, revoked.id)
        _, second = invites.create_invite(session, days=2, now=NOON)
        assert invites.find_invite(session, second, now=after(2 * DAY - 1))
        for token, state in ((first, "revoked"), (second, "expired")):
            with pytest.raises(Conflict, match=state):
                invites.find_invite(session, token, now=after(2 * DAY))
        with pytest.raises(NotFound, match="does not exist"):
            invites.find_invite(session, "made-up")
        with pytest.raises(NotFound, match="no invite 99"):
            invites.revoke_invite(session, 99)


def test_invites_are_listed_with_their_use(any_db: Database) -> None:
    with any_db.write() as session:
        _, token = invites.create_invite(session, max_uses=2, note=" Monday ", now=NOON)
        invites.accept_invite(session, token, "ada", PASSWORD, now=NOON)
        invites.create_invite(session, days=1, now=after(-2 * DAY))
        (expired, open_one) = invites.list_invites(session, now=NOON)
    assert (expired.uses, expired.state) == (0, "expired")
    assert (open_one.uses, open_one.state, open_one.invite.note) == (1, "open", "Monday")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"role": "king"}, "'king' is not a role; allowed are annotator, supervisor, admin"),
        ({"max_uses": 0}, "0 uses: 1 to 1000"),
        ({"days": 366}, "366 days: 1 to 365"),
    ],
)
def test_an_odd_invite_is_refused(db: Database, wrong: dict[str, Any], message: str) -> None:
    with db.write() as session, pytest.raises(InvalidInput, match=message):
        invites.create_invite(session, **wrong)


@pytest.mark.parametrize("name", ["", "a", "x" * 61, "two words", "ada@home", "ä-da", "<b>"])
def test_an_odd_username_is_refused(db: Database, name: str) -> None:
    with pytest.raises(InvalidInput, match="2 to 60 characters"):
        join(db, name)


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("x" * (MIN_LENGTH - 1), "too short"),
        ("Grace.Hopper", "must not be the username"),
        ("Password123", "common password"),
        ("Password1!", "common password"),
        ("adminadmin", "too easy"),
        ("12345678901", "too easy"),
        ("iloveyou1234", "common password"),
        ("sidelight2026", "too easy"),
        ("supervisor", "too easy"),
        ("abababababab", "repeats"),
        ("ab" * 101, "too long"),
    ],
)
def test_an_easy_password_is_refused(db: Database, password: str, message: str) -> None:
    with db.write() as session:
        _, token = invites.create_invite(session)
        with pytest.raises(InvalidInput, match=message):
            invites.accept_invite(session, token, "grace.hopper", password)
        invites.accept_invite(session, token, "grace.hopper", PASSWORD)


def test_a_taken_username_is_told_and_does_not_use_the_invite(any_db: Database) -> None:
    join(any_db, "ada")
    with any_db.write() as session:
        _, token = invites.create_invite(session)
        with pytest.raises(Conflict, match="'ada' is taken"):
            invites.accept_invite(session, token, "ADA", PASSWORD)
        assert invites.accept_invite(session, token, "ada2", PASSWORD).username == "ada2"


def test_signing_in_and_out(any_db: Database, settings: Settings) -> None:
    ada = join(any_db)
    found, token = sign_in(any_db, settings, " ADA ")
    assert found.id == ada.id
    signed_in = who(any_db, settings, token)
    assert signed_in is not None
    assert signed_in.id == ada.id
    with any_db.write() as session:
        sessions.sign_out(session, token)
        sessions.sign_out(session, "never given")
    assert who(any_db, settings, token) is None
    assert who(any_db, settings, "made-up") is None


def test_that_an_account_is_closed_is_told_only_after_the_right_password(
    any_db: Database, settings: Settings
) -> None:
    join(any_db, "ada")
    eve, gone = join(any_db, "eve"), join(any_db, "gone")
    with any_db.write() as session:
        accounts.deactivate(session, eve.id)
        accounts.anonymise(session, gone.id)
    with pytest.raises(AccountClosed, match="Your account is closed"):
        sign_in(any_db, settings, "eve", PASSWORD)
    messages = set()
    for name, password in (
        ("ada", "wrong"),
        ("nobody", PASSWORD),
        ("eve", "wrong"),
        (f"removed-{gone.id}", PASSWORD),
    ):
        with pytest.raises(WrongPassword) as caught:
            sign_in(any_db, settings, name, password)
        messages.add(caught.value.message)
    assert messages == {"The user name or the password is wrong."}


def test_an_account_is_throttled_and_freed_after_the_window(
    any_db: Database, settings: Settings
) -> None:
    join(any_db)
    for second in range(settings.login_attempts):
        with pytest.raises(WrongPassword):
            sign_in(any_db, settings, password="wrong", seconds=second)
    with pytest.raises(TooManyAttempts) as caught:
        sign_in(any_db, settings, seconds=10, address="10.9.9.9")
    assert caught.value.retry_after_s == settings.login_window_seconds - 10
    assert sign_in(any_db, settings, seconds=10 + caught.value.retry_after_s)


def test_an_unknown_account_is_throttled_alike(any_db: Database, settings: Settings) -> None:
    errors = []
    for _ in range(settings.login_attempts + 1):
        with pytest.raises(SidelightError) as caught:
            sign_in(any_db, settings, "nobody", "wrong")
        errors.append(type(caught.value))
    assert errors == [WrongPassword] * settings.login_attempts + [TooManyAttempts]


def test_an_address_is_throttled_over_all_accounts(db: Database, settings: Settings) -> None:
    settings = dataclasses.replace(settings, login_attempts=1)
    join(db)
    for number in range(ADDRESS_FACTOR):
        with pytest.raises(WrongPassword):
            sign_in(db, settings, f"guess{number}", "wrong")
    with pytest.raises(TooManyAttempts):
        sign_in(db, settings)
    assert sign_in(db, settings, address="10.0.0.2")


def test_a_success_forgives_the_account(db: Database, settings: Settings) -> None:
    join(db)
    for _ in range(3):
        for _ in range(settings.login_attempts - 1):
            with pytest.raises(WrongPassword):
                sign_in(db, settings, password="wrong")
        sign_in(db, settings)


def test_a_success_forgives_the_address_only_its_own_attempt(
    db: Database, settings: Settings
) -> None:
    settings = dataclasses.replace(settings, login_attempts=1)
    join(db)
    for number in range(ADDRESS_FACTOR - 1):
        with pytest.raises(WrongPassword):
            sign_in(db, settings, f"guess{number}", "wrong")
    for _ in range(3):
        sign_in(db, settings)
    with pytest.raises(WrongPassword):
        sign_in(db, settings, "guess", "wrong")
    with pytest.raises(TooManyAttempts):
        sign_in(db, settings)


def test_others_can_write_while_a_password_is_checked(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(db)
    beside = Database(db.url)

    def verify(stored: str | None, password: str) -> bool:
        with beside.write() as session:
            invites.create_invite(session)
        return verify_password(stored, password)

    monkeypatch.setattr("labeler.accounts.sessions.verify_password", verify)
    assert sign_in(db, settings)
    beside.dispose()


@pytest.mark.parametrize("change", [accounts.deactivate, accounts.reset_password])
def test_an_account_that_changes_while_its_password_is_checked_stays_out(
    any_db: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[..., object],
) -> None:
    ada = join(any_db)

    def verify(stored: str | None, password: str) -> bool:
        fits = verify_password(stored, password)
        with any_db.write() as session:
            change(session, ada.id if change is accounts.deactivate else ada.username)
        return fits

    monkeypatch.setattr("labeler.accounts.sessions.verify_password", verify)
    with pytest.raises((AccountClosed, WrongPassword)):
        sign_in(any_db, settings)
    with any_db.read() as session:
        assert session.scalars(select(LoginSession)).all() == []


def test_old_failures_are_pruned(db: Database, settings: Settings) -> None:
    for second in (0, settings.login_window_seconds + 1):
        with pytest.raises(WrongPassword):
            sign_in(db, settings, "nobody", "wrong", second)
    with db.read() as session:
        assert session.scalar(select(func.count()).select_from(LoginFailure)) == 2


def test_an_old_hash_is_made_anew_at_the_next_sign_in(db: Database, settings: Settings) -> None:
    ada = join(db)
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    with db.write() as session:
        session.get_one(Annotator, ada.id).password_hash = weak
    sign_in(db, settings)
    with db.read() as session:
        assert "m=19456,t=2,p=1" in session.get_one(Annotator, ada.id).password_hash
    sign_in(db, settings)


def test_a_session_ends_when_it_is_not_used(any_db: Database, settings: Settings) -> None:
    join(any_db)
    _, token = sign_in(any_db, settings)
    last = settings.session_days * DAY - 1
    assert who(any_db, settings, token, last) is not None
    assert who(any_db, settings, token, last + settings.session_days * DAY - 1) is not None
    assert who(any_db, settings, token, last + 2 * settings.session_days * DAY) is None


def test_using_a_session_is_written_down_coarsely(any_db: Database, settings: Settings) -> None:
    join(any_db)
    _, token = sign_in(any_db, settings)

    def seen() -> Any:
        with any_db.read() as session:
            return session.scalar(select(LoginSession.last_seen_at))

    coarse = TOUCH_AFTER.total_seconds()
    who(any_db, settings, token, coarse - 1)
    assert seen() == NOON
    with any_db.read() as session:
        early = sessions.authenticate(session, token, settings, now=after(coarse - 1))
        late = sessions.authenticate(session, token, settings, now=after(coarse))
    assert early is not None
    assert late is not None
    assert (early.prolong_due, late.prolong_due) == (False, True)
    with any_db.write() as session:
        sessions.authenticate(session, token, settings, now=after(coarse))
    assert seen() == NOON, "to ask who it is writes nothing, in a write transaction either"
    who(any_db, settings, token, coarse)
    assert seen() == after(coarse)


def test_changing_the_password_signs_the_other_browsers_out(
    db: Database, settings: Settings
) -> None:
    ada = join(db)
    _, here = sign_in(db, settings)
    _, elsewhere = sign_in(db, settings)
    new = "another-lamp-over-there"
    browser = Browser("10.0.0.1", session=here)
    with pytest.raises(WrongPassword, match="password"):
        accounts.change_password(db, ada.id, "wrong", new, browser, settings, now=NOON)
    with pytest.raises(InvalidInput, match="too short"):
        accounts.change_password(db, ada.id, PASSWORD, "short", browser, settings, now=NOON)
    with pytest.raises(InvalidInput, match="current password"):
        accounts.change_password(db, ada.id, PASSWORD, PASSWORD, browser, settings, now=NOON)
    accounts.change_password(db, ada.id, PASSWORD, new, browser, settings, now=NOON)
    assert who(db, settings, here) is not None
    assert who(db, settings, elsewhere) is None
    with pytest.raises(WrongPassword):
        sign_in(db, settings)
    assert sign_in(db, settings, password=new)


def test_a_reset_password_works_and_the_old_one_does_not(db: Database, settings: Settings) -> None:
    join(db)
    _, token = sign_in(db, settings)
    with db.write() as session:
        password = accounts.reset_password(session, "Ada")
    assert who(db, settings, token) is None
    assert sign_in(db, settings, password=password)
    with pytest.raises(WrongPassword):
        sign_in(db, settings)


def test_a_closed_account_is_out_at_once_and_keeps_its_place(
    any_db: Database, settings: Settings, make_dataset: MakeDataset
) -> None:
    make_dataset(any_db)
    ada = join(any_db)
    _, token = sign_in(any_db, settings)
    lease(any_db, ada.id, 3, settings)
    with any_db.write() as session:
        accounts.deactivate(session, ada.id, now=NOON)
        accounts.deactivate(session, ada.id, now=after(9))
    assert who(any_db, settings, token) is None
    assert lease_count(any_db) == 0
    with any_db.write() as session:
        assert accounts.find_person(session, "ada").deactivated_at == NOON
        accounts.reactivate(session, ada.id)
    assert who(any_db, settings, token) is None
    assert sign_in(any_db, settings)


def test_the_last_active_admin_stays(any_db: Database, make_annotator: MakeAnnotator) -> None:
    first = make_annotator(any_db, role="admin").id
    second = make_annotator(any_db, role="admin").id
    with any_db.write() as session:
        accounts.deactivate(session, second)
        for attempt in (
            lambda: accounts.deactivate(session, first),
            lambda: accounts.set_role(session, first, "supervisor"),
        ):
            with pytest.raises(Conflict, match="last active admin"):
                attempt()
        accounts.reactivate(session, second)
        assert accounts.set_role(session, first, "annotator").annotator.role == "annotator"
        with pytest.raises(InvalidInput, match="'king' is not a role"):
            accounts.set_role(session, first, "king")


def test_people_are_listed_by_name(
    any_db: Database, settings: Settings, make_dataset: MakeDataset
) -> None:
    join(any_db, "bob")
    join(any_db, "ada")
    sign_in(any_db, settings, "ada")
    with any_db.read() as session:
        people = accounts.list_people(session)
    assert [(one.annotator.username, one.last_seen_at) for one in people] == [
        ("ada", NOON),
        ("bob", None),
    ]


def test_nobody_of_that_name(db: Database) -> None:
    with db.write() as session:
        for attempt in (
            lambda: accounts.find_person(session, "nobody"),
            lambda: accounts.reset_password(session, "nobody"),
            lambda: accounts.deactivate(session, 99),
        ):
            with pytest.raises(NotFound, match="does not exist"):
                attempt()


def test_only_the_last_admin_link_works_and_only_once(any_db: Database, settings: Settings) -> None:
    with any_db.write() as session:
        links = [invites.one_time_admin_link(session, settings, now=NOON) for _ in range(2)]
        first, second = (link.rsplit("/", 1)[1] for link in links)
        assert links[1] == f"http://127.0.0.1:8000/join/{second}"
        with pytest.raises(Conflict, match="revoked"):
            invites.find_invite(session, first, now=NOON)
        assert not accounts.has_admin(session)
        admin = invites.accept_invite(session, second, "root", PASSWORD, now=NOON)
        assert admin.role == "admin"
        assert accounts.has_admin(session)
        with pytest.raises(Conflict, match="used up"):
            invites.accept_invite(session, second, "toor", PASSWORD, now=NOON)
        assert session.scalar(select(func.count()).select_from(Invite)) == 2


def test_the_link_names_the_public_address(db: Database, settings: Settings) -> None:
    settings = dataclasses.replace(settings, public_url="https://light.example.org")
    with db.write() as session:
        link = invites.one_time_admin_link(session, settings)
    assert link.startswith("https://light.example.org/join/")


def test_strangers_do_not_lock_out_a_known_browser(any_db: Database, settings: Settings) -> None:
    join(any_db)
    browser = Browser("10.0.0.1", "Firefox")
    device = sessions.sign_in(any_db, "ada", PASSWORD, browser, settings, now=NOON).device
    for _ in range(settings.login_attempts):
        with pytest.raises(WrongPassword):
            sign_in(any_db, settings, password="wrong", address="10.6.6.6")
    with pytest.raises(TooManyAttempts):
        sign_in(any_db, settings, address="10.0.0.9")
    assert sign_in(any_db, settings, device=device)


def test_the_present_password_cannot_be_guessed_inside(
    any_db: Database, settings: Settings
) -> None:
    ada = join(any_db)
    new = "another-lamp-over-there"
    errors = []
    for _ in range(settings.login_attempts + 2):
        with pytest.raises(SidelightError) as caught:
            accounts.change_password(any_db, ada.id, "wrong", new, Browser(), settings, now=NOON)
        errors.append(type(caught.value))
    assert errors == [WrongPassword] * settings.login_attempts + [TooManyAttempts] * 2


def test_a_session_has_a_longest_life(any_db: Database, settings: Settings) -> None:
    join(any_db)
    _, token = sign_in(any_db, settings)
    for day in range(0, settings.session_max_days, settings.session_days - 1):
        assert who(any_db, settings, token, day * DAY) is not None
    assert who(any_db, settings, token, settings.session_max_days * DAY + 1) is None


def test_signing_in_again_ends_the_session_before(any_db: Database, settings: Settings) -> None:
    join(any_db)
    _, before = sign_in(any_db, settings)
    browser = Browser("10.0.0.1", session=before)
    after_it = sessions.sign_in(any_db, "ada", PASSWORD, browser, settings, now=NOON)
    assert who(any_db, settings, before) is None
    assert who(any_db, settings, after_it.token) is not None


@pytest.mark.parametrize("loses", ["deactivate", "set_role"])
def test_links_of_who_lost_the_role_end(any_db: Database, settings: Settings, loses: str) -> None:
    join(any_db, "root", "admin")
    eve = join(any_db, "eve", "admin")
    with any_db.write() as session:
        _, token = invites.create_invite(session, "admin", by=Actor(eve.id))
        if loses == "deactivate":
            assert accounts.deactivate(session, eve.id).revoked_links == 1
        else:
            assert accounts.set_role(session, eve.id, "supervisor").revoked_links == 1
    with any_db.write() as session, pytest.raises(SidelightError):
        invites.accept_invite(session, token, "mallory", PASSWORD)


def test_anonymising_erases_the_name_and_keeps_the_account(
    any_db: Database, settings: Settings
) -> None:
    ada = join(any_db)
    _, token = sign_in(any_db, settings)
    with any_db.write() as session:
        accounts.anonymise(session, ada.id)
    assert who(any_db, settings, token) is None
    with any_db.read() as session:
        person = session.get_one(Annotator, ada.id)
        assert "ada" not in person.username
        assert person.removed_at is not None
    with pytest.raises(WrongPassword):
        sign_in(any_db, settings)


def test_the_forecast_of_closing_leaves_exercises_out(
    any_db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    make_dataset(any_db, 4)
    ada = make_annotator(any_db).id
    first, second, *_ = ids(lease(any_db, ada, 4, settings))
    with any_db.write() as session:
        held = session.get_one(Lease, (1, second, ada))
        held.mode = "training"
    for image_id in (first, second):
        vote(any_db, ada, image_id, "left", settings)
    with any_db.read() as session:
        assert session.scalar(select(func.count()).select_from(Vote)) == 2
        assert accounts.forecast_closing(session, ada).votes == 1
