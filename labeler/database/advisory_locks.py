"""PostgreSQL's advisory locks, for work that only one transaction may do at a time."""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from labeler.database.statements import is_sqlite


class AdvisoryLock(IntEnum):
    """The advisory locks by the work that they protect. The values are PostgreSQL's lock keys."""

    MIGRATION = 0x51DF
    SIGN_IN = 0x51E0


def take_advisory_lock(session: Session, lock: AdvisoryLock) -> None:
    """Wait for an advisory lock and hold it until the commit.

    SQLite needs none: its write transaction is alone.
    """
    if not is_sqlite(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(lock)})
