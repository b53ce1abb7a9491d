"""Two admins at the privacy notice at the same moment: both are answered, the later one counts."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.audit import AuditEvent
from labeler.privacy.service import Notice, change_notice, get_notice, restore_default
from tests.labeler.acting import at_once, overtaken


def shown(db: Database, settings: Settings) -> Notice:
    with db.read() as session:
        return get_notice(session, settings)


def test_two_first_notices(any_db: Database, settings: Settings) -> None:
    def second() -> Notice | None:
        with any_db.write() as session:
            get_notice(session, settings)  # what was read before does not count
            return change_notice(session, settings, "Second.")

    def first(session: Session) -> None:
        before = change_notice(session, settings, "First.")
        assert before is not None
        assert before.is_default

    replaced = overtaken(any_db, first, second)
    assert replaced is not None
    assert replaced.text == "First."
    assert shown(any_db, settings).text == "Second."


@pytest.mark.parametrize("text", ["Second.", ""])
def test_a_change_while_the_default_is_restored(
    any_db: Database, settings: Settings, text: str
) -> None:
    with any_db.write() as session:
        change_notice(session, settings, "First.")

    def second() -> Notice | None:
        with any_db.write() as session:
            get_notice(session, settings)
            return change_notice(session, settings, text)

    replaced = overtaken(any_db, lambda session: restore_default(session, settings), second)
    assert (replaced is None) == (text == "")
    assert shown(any_db, settings).is_default == (text == "")


def test_many_at_once_are_all_logged(any_db: Database, settings: Settings) -> None:
    def save(number: int) -> None:
        with any_db.write() as session:
            change_notice(session, settings, f"Notice {number}.")

    assert at_once(save, 6) == [None] * 6
    with any_db.read() as session:
        logged = session.scalars(select(AuditEvent).where(AuditEvent.action == "privacy_changed"))
        assert len(logged.all()) == 6
