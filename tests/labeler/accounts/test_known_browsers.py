"""Strangers who try passwords do not keep people out of browsers that they have used before."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import select

from labeler.accounts import invites, sessions
from labeler.accounts import service as accounts
from labeler.accounts.attempts import ADDRESS_FACTOR
from labeler.accounts.devices import DEVICE_DAYS
from labeler.accounts.sessions import Browser, Opened
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import TooManyAttempts, WrongPassword
from labeler.models.accounts import KnownDevice
from tests.labeler.acting import NOON, after
from tests.labeler.conftest import Visit
from tests.labeler.people.test_page import invite, join
from tests.labeler.people.test_page import sign_in as submit_sign_in

PASSWORD = "quiet-lamp-over-there"
SCHOOL = "10.0.0.1"
DAY = 86_400


def sign_up(db: Database, username: str, settings: Settings) -> Opened:
    """Create an account, as the page does it."""
    with db.write() as session:
        _, token = invites.create_invite(session, now=NOON)
        person = invites.accept_invite(session, token, username, PASSWORD, now=NOON)
        return sessions.welcome(session, person, Browser(SCHOOL), settings, now=NOON)


def attack(db: Database, settings: Settings, names: list[str], address: str) -> None:
    for name in names:
        with pytest.raises(WrongPassword):
            sessions.sign_in(db, name, "a wild guess", Browser(address), settings, now=NOON)


def sign_in(
    db: Database, name: str, browser: Browser, settings: Settings, seconds: int = 1
) -> Opened:
    return sessions.sign_in(db, name, PASSWORD, browser, settings, now=after(seconds))


def test_failures_of_strangers_do_not_lock_a_known_browser(
    any_db: Database, settings: Settings
) -> None:
    ada = sign_up(any_db, "ada", settings)
    attack(any_db, settings, ["ada"] * settings.login_attempts, "192.0.2.9")
    with pytest.raises(TooManyAttempts):
        sign_in(any_db, "ada", Browser(SCHOOL), settings)
    assert sign_in(any_db, "ada", Browser(SCHOOL, device=ada.device), settings)


def test_failures_from_one_address_do_not_lock_a_class(
    any_db: Database, settings: Settings
) -> None:
    settings = dataclasses.replace(settings, login_attempts=1)
    ada, bob = sign_up(any_db, "ada", settings), sign_up(any_db, "bob", settings)
    attack(any_db, settings, [f"guess{n}" for n in range(ADDRESS_FACTOR)], SCHOOL)
    with pytest.raises(TooManyAttempts):
        sign_in(any_db, "ada", Browser(SCHOOL), settings)
    for name, opened in (("ada", ada), ("bob", bob)):
        assert sign_in(any_db, name, Browser(SCHOOL, device=opened.device), settings)


def test_a_known_browser_has_a_limit_of_its_own(any_db: Database, settings: Settings) -> None:
    ada = sign_up(any_db, "ada", settings)
    known = Browser(SCHOOL, device=ada.device)
    for _ in range(settings.login_attempts):
        with pytest.raises(WrongPassword):
            sessions.sign_in(any_db, "ada", "a wild guess", known, settings, now=NOON)
    with pytest.raises(TooManyAttempts):
        sign_in(any_db, "ada", known, settings)
    assert sign_in(any_db, "ada", Browser(SCHOOL), settings), "other browsers are not concerned"


def test_a_browser_is_known_to_its_own_accounts_only(any_db: Database, settings: Settings) -> None:
    sign_up(any_db, "ada", settings)
    eve = sign_up(any_db, "eve", settings)
    attack(any_db, settings, ["ada"] * settings.login_attempts, "192.0.2.9")
    for device in (eve.device, "made-up", ""):
        with pytest.raises(TooManyAttempts):
            sign_in(any_db, "ada", Browser(SCHOOL, device=device), settings)


def test_two_people_share_a_browser(any_db: Database, settings: Settings) -> None:
    device = ""
    for name in ("ada", "bob"):
        sign_up(any_db, name, settings)
        device = sign_in(any_db, name, Browser(SCHOOL, device=device), settings).device
    for name in ("ada", "bob"):
        attack(any_db, settings, [name] * settings.login_attempts, "192.0.2.9")
    for name in ("ada", "bob", "ada"):
        device = sign_in(any_db, name, Browser(SCHOOL, device=device), settings).device


def test_the_token_changes_at_each_sign_in(any_db: Database, settings: Settings) -> None:
    first = sign_up(any_db, "ada", settings).device
    second = sign_in(any_db, "ada", Browser(SCHOOL, device=first), settings).device
    attack(any_db, settings, ["ada"] * settings.login_attempts, "192.0.2.9")
    with pytest.raises(TooManyAttempts):
        sign_in(any_db, "ada", Browser(SCHOOL, device=first), settings)
    assert sign_in(any_db, "ada", Browser(SCHOOL, device=second), settings)


def test_a_browser_is_forgotten_after_a_while(any_db: Database, settings: Settings) -> None:
    ada = sign_up(any_db, "ada", settings)
    late = DEVICE_DAYS * DAY
    known = Browser(SCHOOL, device=ada.device)
    for number in range(settings.login_attempts):
        with pytest.raises(WrongPassword):
            sessions.sign_in(
                any_db, "ada", "a guess", Browser("192.0.2.9"), settings, now=after(late + number)
            )
    with pytest.raises(TooManyAttempts):
        sign_in(any_db, "ada", known, settings, late + 9)


def test_a_new_password_makes_the_other_browsers_unknown(
    any_db: Database, settings: Settings
) -> None:
    ada = sign_up(any_db, "ada", settings)
    there = sign_in(any_db, "ada", Browser(SCHOOL), settings)
    here = Browser(SCHOOL, device=ada.device, session=ada.token)
    accounts.change_password(
        any_db, ada.annotator.id, PASSWORD, "another quiet sentence", here, settings, now=after(2)
    )
    with any_db.read() as session:
        assert len(session.scalars(select(KnownDevice)).all()) == 1
    assert there.device != ada.device
    with any_db.write() as session:
        accounts.reset_password(session, "ada")
        assert session.scalars(select(KnownDevice)).all() == []


def test_an_ipv6_network_counts_as_one_address(db: Database, settings: Settings) -> None:
    settings = dataclasses.replace(settings, login_attempts=1)
    for number in range(ADDRESS_FACTOR):
        attack(db, settings, [f"guess{number}"], f"2001:db8::{number:x}:1")
    with pytest.raises(TooManyAttempts):
        sign_in(db, "ada", Browser("2001:db8::ffff"), settings)
    with pytest.raises(WrongPassword):
        sign_in(db, "ada", Browser("2001:db8:0:1::1"), settings)


def test_the_owner_signs_in_beside_an_attack(visit: Visit) -> None:
    ann = visit(None)
    assert join(ann, invite(visit("admin"))) == 303
    ann.annotator_id = 1
    assert ann.submit("/sign-out").status_code == 303
    ann.annotator_id = None
    stranger = visit(None)
    assert [submit_sign_in(stranger, "ann", "wrong") for _ in range(6)] == [401] * 5 + [429]
    assert submit_sign_in(visit(None), "ann") == 429
    assert submit_sign_in(ann, "ann") == 303


def test_the_cookie_of_a_known_browser_is_out_of_reach(visit: Visit) -> None:
    answer = visit(None).submit(invite(visit("admin")), {"username": "ann", "password": PASSWORD})
    (cookie,) = [
        one for one in answer.headers.getlist("Set-Cookie") if one.startswith("sidelight-device-")
    ]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.parametrize("place", ["/sign-in", "/account/password"])
def test_every_refusal_says_when_to_try_again(visit: Visit, place: str) -> None:
    ann = visit(None)
    assert join(ann, invite(visit("admin"))) == 303
    ann.annotator_id = 1
    form = {"username": "bob", "password": "wrong", "current": "wrong", "new": "a new sentence"}
    answers = [ann.submit(place, form) for _ in range(6)]
    assert [one.status_code for one in answers] == [401] * 5 + [429]
    assert 290 <= int(answers[-1].headers["Retry-After"]) <= 300
    assert "Try again in" in answers[-1].text


def test_the_present_password_cannot_be_guessed(visit: Visit) -> None:
    """Other browsers of the same person have the same count."""
    ann = visit(None)
    assert join(ann, invite(visit("admin"))) == 303
    there = visit(None)
    assert submit_sign_in(there, "ann") == 303
    ann.annotator_id = there.annotator_id = 1
    change = {"current": "wrong", "new": "another good sentence"}
    statuses = [one.submit("/account/password", change).status_code for one in [ann, there] * 4]
    assert statuses == [401] * 5 + [429] * 3
    right = {"current": "correct horse battery", "new": "another good sentence"}
    assert ann.submit("/account/password", right).status_code == 429
    assert submit_sign_in(visit(None), "ann") == 303, "the sign-in has its own count"


def test_a_right_password_forgives_the_wrong_ones(visit: Visit) -> None:
    ann = visit(None)
    assert join(ann, invite(visit("admin"))) == 303
    ann.annotator_id = 1
    old = "correct horse battery"
    for new in ("another good sentence", "a third good sentence"):
        for _ in range(4):
            ann.submit("/account/password", {"current": "wrong", "new": new})
        assert ann.submit("/account/password", {"current": old, "new": new}).status_code == 303
        old = new
