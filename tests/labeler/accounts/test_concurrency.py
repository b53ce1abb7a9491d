"""Accounts, invites and first starts at the same time: nothing is given twice."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import func, select

from labeler.accounts import invites, sessions
from labeler.accounts import service as accounts
from labeler.accounts.sessions import Browser
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, TooManyAttempts, WrongPassword
from labeler.models.accounts import Annotator, InviteUse
from tests.conftest import MakeAnnotator
from tests.labeler.acting import at_once

WORKERS = 8
BROWSER = sessions.Browser("10.0.0.1")


def test_an_invite_is_never_used_more_often_than_allowed(any_db: Database) -> None:
    with any_db.write() as session:
        _, token = invites.create_invite(session, max_uses=3)

    def join(number: int) -> Annotator:
        with any_db.write() as session:
            return invites.accept_invite(session, token, f"student{number}", "a fine password")

    results = at_once(join)
    assert sum(isinstance(result, Annotator) for result in results) == 3
    assert sum(isinstance(result, Conflict) for result in results) == WORKERS - 3
    with any_db.read() as session:
        assert session.scalar(select(func.count()).select_from(InviteUse)) == 3


def test_guesses_at_once_do_not_outrun_the_limit(any_db: Database, settings: Settings) -> None:
    def guess(number: int) -> object:
        return sessions.sign_in(any_db, "ada", f"guess {number}", Browser("10.0.0.1"), settings)

    errors = [type(error) for error in at_once(guess)]
    assert Counter(errors) == {
        WrongPassword: settings.login_attempts,
        TooManyAttempts: WORKERS - settings.login_attempts,
    }


def test_a_username_is_given_once(any_db: Database) -> None:
    with any_db.write() as session:
        _, token = invites.create_invite(session, max_uses=WORKERS)

    def join(_number: int) -> Annotator:
        with any_db.write() as session:
            return invites.accept_invite(session, token, "Ada", "a fine password")

    results = at_once(join)
    assert sum(isinstance(result, Annotator) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == WORKERS - 1


def test_two_admins_cannot_close_each_other(
    any_db: Database, make_annotator: MakeAnnotator
) -> None:
    admins = [make_annotator(any_db, role="admin").id for _ in range(2)]

    def close(number: int) -> None:
        with any_db.write() as session:
            accounts.deactivate(session, admins[1 - number])

    results = at_once(close, 2)
    assert sum(isinstance(result, Conflict) for result in results) == 1
    with any_db.read() as session:
        assert accounts.has_admin(session)


@pytest.mark.parametrize("starters", [4])
def test_several_servers_that_start_at_once_migrate_once(
    tmp_path_factory: pytest.TempPathFactory, starters: int
) -> None:
    from labeler.database.migrate import differences, upgrade

    url = f"sqlite:///{tmp_path_factory.mktemp('fresh') / 'fresh.sqlite3'}"
    results = at_once(lambda _: upgrade(Database(url))[1], starters)
    assert len(set(results)) == 1
    assert differences(Database(url)) == []
