"""People: listing them, their passwords and roles. An account is closed and never deleted."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.accounts.invites import clean_username, refuse_unknown_role
from labeler.accounts.passwords import check_password_policy, hash_password, verify_password
from labeler.accounts.sessions import revoke_sessions
from labeler.assignment.leases import release_leases
from labeler.errors import Conflict, NotFound, WrongPassword
from labeler.models.accounts import Annotator, LoginSession
from labeler.models.base import utc_now
from labeler.models.voting import Vote


@dataclass(frozen=True, slots=True)
class Person:
    """An account as a supervisor sees it. `votes`: how many current votes it has."""

    annotator: Annotator
    votes: int
    last_seen_at: datetime | None


def list_people(session: Session) -> Sequence[Person]:
    """All accounts by username, with their current votes and the time of their last request."""
    # The current votes are counted as all votes less the superseded ones. Each of the two counts
    # reads only an index, and there is no index of the current votes by person.
    votes = select(Vote.annotator_id, func.count().label("votes"))
    cast = votes.group_by(Vote.annotator_id).subquery()
    superseded = votes.where(Vote.superseded_at.is_not(None)).group_by(Vote.annotator_id).subquery()
    current = func.coalesce(cast.c.votes, 0) - func.coalesce(superseded.c.votes, 0)
    seen = (
        select(LoginSession.annotator_id, func.max(LoginSession.last_seen_at).label("seen"))
        .group_by(LoginSession.annotator_id)
        .subquery()
    )
    rows = session.execute(
        select(Annotator, current, seen.c.seen)
        .outerjoin(cast, cast.c.annotator_id == Annotator.id)
        .outerjoin(superseded, superseded.c.annotator_id == Annotator.id)
        .outerjoin(seen, seen.c.annotator_id == Annotator.id)
        .order_by(Annotator.username)
    )
    return [Person(*row) for row in rows]


def find_person(session: Session, username: str) -> Annotator:
    """The account with this username.

    Raises:
        NotFound: there is none.
    """
    name = clean_username(username)
    annotator = session.scalar(select(Annotator).where(Annotator.username == name))
    if annotator is None:
        raise NotFound(f"The account {name!r} does not exist.")
    return annotator


def has_admin(session: Session) -> bool:
    """Whether the site has an admin whose account is open."""
    return bool(_active_admins(session))


def change_password(
    session: Session,
    annotator_id: int,
    old_password: str,
    new_password: str,
    *,
    keep: str | None = None,
) -> None:
    """Change a person's own password. All their other browsers are signed out.

    Parameters:
        keep: the session token of the browser that stays signed in.

    Raises:
        WrongPassword: the old password is wrong.
        InvalidInput: the new password is too easy.
    """
    annotator = _get(session, annotator_id)
    if not verify_password(annotator.password_hash, old_password):
        raise WrongPassword("The current password is wrong.")
    check_password_policy(new_password, annotator.username)
    annotator.password_hash = hash_password(new_password)
    revoke_sessions(session, annotator_id, keep=keep)
    session.flush()


def reset_password(session: Session, username: str) -> str:
    """Give an account a random password, which is returned, and sign it out everywhere.

    Raises:
        NotFound: no such account.
    """
    annotator = find_person(session, username)
    password = secrets.token_urlsafe(12)
    annotator.password_hash = hash_password(password)
    revoke_sessions(session, annotator.id)
    session.flush()
    return password


def deactivate(session: Session, annotator_id: int, *, now: datetime | None = None) -> Annotator:
    """Close an account. It is signed out, its leases end, and its votes stay.

    Raises:
        NotFound: no such account.
        Conflict: it is the last active admin.
    """
    now = now or utc_now()
    annotator = _get(session, annotator_id)
    _refuse_last_admin(session, annotator)
    annotator.deactivated_at = annotator.deactivated_at or now
    revoke_sessions(session, annotator_id, now=now)
    release_leases(session, annotator_id)
    session.flush()
    return annotator


def reactivate(session: Session, annotator_id: int) -> Annotator:
    """Open a closed account again.

    Raises:
        NotFound: no such account.
    """
    annotator = _get(session, annotator_id)
    annotator.deactivated_at = None
    session.flush()
    return annotator


def set_role(session: Session, annotator_id: int, role: str) -> Annotator:
    """Make a person an annotator, a supervisor or an admin.

    Raises:
        NotFound: no such account.
        InvalidInput: an unknown role.
        Conflict: the person is the last active admin.
    """
    refuse_unknown_role(role)
    annotator = _get(session, annotator_id)
    if role != "admin":
        _refuse_last_admin(session, annotator)
    annotator.role = role
    session.flush()
    return annotator


def _get(session: Session, annotator_id: int) -> Annotator:
    annotator = session.get(Annotator, annotator_id)
    if annotator is None:
        raise NotFound(f"The account with the number {annotator_id} does not exist.")
    return annotator


def _active_admins(session: Session, lock: bool = False) -> Sequence[int]:
    query = select(Annotator.id).where(
        Annotator.role == "admin", Annotator.deactivated_at.is_(None)
    )
    # A vote refers to its person, and with `key_share` it does not wait for this lock.
    if lock:
        query = query.order_by(Annotator.id).with_for_update(key_share=True)
    return session.scalars(query).all()


def _refuse_last_admin(session: Session, annotator: Annotator) -> None:
    """Raise `Conflict` if the account is the last active admin.

    The rows of all admins are locked, in the order of their ids. Otherwise two admins could close
    each other at the same time.
    """
    if list(_active_admins(session, lock=True)) == [annotator.id]:
        raise Conflict(
            f"{annotator.username!r} is the last active admin. Make somebody else an admin first."
        )


def name_people(session: Session, annotator_ids: Sequence[int]) -> dict[int, str]:
    """The pseudonyms of some people, by id."""
    rows = session.execute(
        select(Annotator.id, Annotator.pseudonym).where(Annotator.id.in_(annotator_ids))
    )
    return {row.id: row.pseudonym for row in rows}
