"""Deleting what the accounts no longer need: ended sessions, old failures, old addresses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Result, delete, func, or_, select, update
from sqlalchemy.orm import Session

from labeler.accounts.devices import DEVICE_DAYS
from labeler.audit.log import erase_old_addresses
from labeler.database.engine import Database
from labeler.models.accounts import KnownDevice, LoginFailure, LoginSession

ENDED_DAYS = 30  # a session that has ended is kept so long
FAILURE_DAYS = 1  # the longest window of the limiter


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows of each kind were deleted or emptied."""

    sessions: int
    browser_names: int
    failures: int
    devices: int
    addresses: int


def prune(db: Database, now: datetime) -> Pruned:
    """Delete what is no longer needed, in one transaction. The background worker calls it.

    The last session of each person is kept, since it tells when the person was last here. Its
    browser's name is erased.
    """
    with db.write() as session:
        return Pruned(
            *_prune_sessions(session, now),
            _delete(session, LoginFailure, LoginFailure.at <= now - timedelta(days=FAILURE_DAYS)),
            _delete(
                session, KnownDevice, KnownDevice.last_used_at <= now - timedelta(days=DEVICE_DAYS)
            ),
            erase_old_addresses(session, now),
        )


def _prune_sessions(session: Session, now: datetime) -> tuple[int, int]:
    horizon = now - timedelta(days=ENDED_DAYS)
    ended = or_(LoginSession.expires_at <= horizon, LoginSession.revoked_at <= horizon)
    rank = func.row_number().over(
        partition_by=LoginSession.annotator_id,
        order_by=(LoginSession.last_seen_at.desc(), LoginSession.id.desc()),
    )
    ranked = select(LoginSession.id, rank.label("rank")).subquery()
    last = select(ranked.c.id).where(ranked.c.rank == 1)
    deleted = _delete(session, LoginSession, ended & LoginSession.id.not_in(last))
    emptied = session.execute(
        update(LoginSession)
        .where(ended, LoginSession.user_agent != "")
        .values(user_agent="")
        .execution_options(synchronize_session=False)
    )
    return deleted, _count(emptied)


def _delete(session: Session, model: type, condition: ColumnElement[bool]) -> int:
    return _count(
        session.execute(delete(model).where(condition).execution_options(synchronize_session=False))
    )


def _count(result: Result[tuple[()]]) -> int:
    return int(result.rowcount)  # type: ignore[attr-defined]
