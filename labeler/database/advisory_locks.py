"""Locks that PostgreSQL keeps for a transaction: what only one transaction does at a time."""

from __future__ import annotations

from enum import IntEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from labeler.database.statements import is_sqlite


class AdvisoryLock(IntEnum):
    """What only one transaction does at a time: the names of PostgreSQL's advisory locks."""

    MIGRATION = 0x51DF
    SIGN_IN = 0x51E0


def take_advisory_lock(session: Session, turn: AdvisoryLock) -> None:
    """Wait until no other transaction has this turn; it is ours until the commit.

    SQLite's write transaction is that already.
    """
    if not is_sqlite(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(turn)})
