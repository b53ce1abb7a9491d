"""People: listing them, their passwords and roles. An account is closed and never deleted."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from labeler.accounts.attempts import account_key, confirm_key, forget_failures
from labeler.accounts.devices import forget_devices
from labeler.accounts.invites import (
    REMOVED,
    clean_username,
    links_beyond,
    refuse_unknown_role,
    revoke_links_of,
)
from labeler.accounts.passwords import check_password_policy, hash_password
from labeler.accounts.reset_links import revoke_reset_links
from labeler.accounts.sessions import Browser, confirm_password, revoke_sessions
from labeler.assignment.leases import release_leases
from labeler.audit.log import NOBODY, Actor, erase_addresses_of, record
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound, WrongPassword
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator, Invite, InviteUse, LoginSession, PasswordReset
from labeler.models.base import utc_now
from labeler.models.campaigns import Participation
from labeler.models.people import ImageFlag, Message
from labeler.models.voting import Lease, Vote


@dataclass(frozen=True, slots=True)
class Person:
    """An account as a supervisor sees it."""

    annotator: Annotator
    last_seen_at: datetime | None


def list_people(session: Session) -> Sequence[Person]:
    """All accounts by username, with the time of their last request."""
    seen = (
        select(LoginSession.annotator_id, func.max(LoginSession.last_seen_at).label("seen"))
        .group_by(LoginSession.annotator_id)
        .subquery()
    )
    rows = session.execute(
        select(Annotator, seen.c.seen)
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
        raise NotFound(_("The account %(name)r does not exist.", name=name))
    return annotator


def list_names(session: Session) -> dict[int, str]:
    """The user names of all accounts by id, in the order of the names."""
    rows = session.execute(select(Annotator.id, Annotator.username).order_by(Annotator.username))
    return {row.id: row.username for row in rows}


def get_person(session: Session, annotator_id: int) -> Annotator:
    """The account with this number, if it has not been anonymised.

    Raises:
        NotFound: there is none.
        Conflict: it was anonymised.
    """
    annotator = _get(session, annotator_id)
    _refuse_removed(annotator)
    return annotator


def has_admin(session: Session) -> bool:
    """Whether the site has an admin whose account is open."""
    return bool(_active_admins(session))


def change_password(
    db: Database,
    annotator_id: int,
    old_password: str,
    new_password: str,
    browser: Browser,
    settings: Settings,
    *,
    now: datetime | None = None,
) -> None:
    """Change a person's own password. All their other browsers are signed out and unknown.

    Raises:
        WrongPassword: the old password is wrong.
        TooManyAttempts: it was wrong too often.
        InvalidInput: the new password is too easy, or it is the old one.
    """
    now = now or utc_now()
    stored = confirm_password(db, annotator_id, old_password, browser, settings, now=now)
    with db.read() as session:
        username = _get(session, annotator_id).username
    if new_password == old_password:
        raise InvalidInput(_("This is your current password. Choose another one."))
    check_password_policy(new_password, username)
    password_hash = hash_password(new_password)
    with db.write() as session:
        annotator = session.get_one(Annotator, annotator_id, with_for_update=True)
        if annotator.password_hash != stored:
            raise WrongPassword(_("The password was changed in the meantime."))
        annotator.password_hash = password_hash
        revoke_sessions(session, annotator_id, keep=browser.session, now=now)
        forget_devices(session, annotator_id, keep=browser.device)
        revoke_reset_links(session, annotator_id, now=now)
        by = browser.acting(annotator_id)
        record(session, "password_changed", by, ("account", annotator_id), now=now)


def reset_password(session: Session, username: str, by: Actor = NOBODY) -> str:
    """Give an account a random password, which is returned, and sign it out everywhere.

    Raises:
        NotFound: no such account.
        Conflict: the account was anonymised.
    """
    annotator = find_person(session, username)
    _refuse_removed(annotator)
    password = secrets.token_urlsafe(16)
    annotator.password_hash = hash_password(password)
    revoke_sessions(session, annotator.id)
    forget_devices(session, annotator.id)
    revoke_reset_links(session, annotator.id)
    forget_failures(session, account_key(annotator.username), confirm_key(annotator.id))
    record(session, "password_reset", by, ("account", annotator.id))
    session.flush()
    return password


@dataclass(frozen=True, slots=True)
class AccountChange:
    """An account that was changed, and how many invite links of this person were revoked by it."""

    annotator: Annotator
    revoked_links: int


@dataclass(frozen=True, slots=True)
class AccountForecast:
    """What closing an account or changing its role will do.

    `browsers`: where the person is signed in. `held`: images that they hold. `votes`: those
    that count; they stay. `links`: open invite links that will be revoked.
    """

    annotator_id: int
    username: str
    role: str
    browsers: int
    held: int
    votes: int
    links: int


def forecast_closing(
    session: Session, annotator_id: int, *, now: datetime | None = None
) -> AccountForecast:
    """What `deactivate` will do to an account.

    Raises:
        NotFound, Conflict: as `deactivate`.
    """
    now = now or utc_now()
    annotator = _get(session, annotator_id)
    _refuse_last_admin(session, annotator, lock=False)
    return _forecast(session, annotator, now, annotator.role, now)


def forecast_role(session: Session, annotator_id: int, role: str) -> AccountForecast:
    """What `set_role` will do to an account.

    Raises:
        NotFound, InvalidInput, Conflict: as `set_role`.
    """
    annotator = _get_for_role(session, annotator_id, role, lock=False)
    return _forecast(session, annotator, annotator.deactivated_at, role, utc_now())


def _forecast(
    session: Session, annotator: Annotator, closed: datetime | None, role: str, now: datetime
) -> AccountForecast:
    mine = {table: table.annotator_id == annotator.id for table in (LoginSession, Lease, Vote)}

    def count(table: Any, *conditions: Any) -> int:
        counted = select(func.count()).select_from(table).where(mine[table], *conditions)
        return session.scalar(counted) or 0

    return AccountForecast(
        annotator.id,
        annotator.username,
        annotator.role,
        count(LoginSession, LoginSession.revoked_at.is_(None), LoginSession.expires_at > now),
        count(Lease, Lease.expires_at > now),
        count(Vote, Vote.counts),
        len(links_beyond(session, annotator.id, closed, role, now=now)),
    )


def deactivate(
    session: Session, annotator_id: int, by: Actor = NOBODY, *, now: datetime | None = None
) -> AccountChange:
    """Close an account. It is signed out, its leases and invite links end, and its votes stay.

    Raises:
        NotFound: no such account.
        Conflict: it is the last active admin.
    """
    now = now or utc_now()
    annotator = _get(session, annotator_id)
    _refuse_last_admin(session, annotator)
    if annotator.deactivated_at is None:
        record(session, "account_closed", by, ("account", annotator_id), now=now)
    return _close(session, annotator, by, now)


def reactivate(session: Session, annotator_id: int, by: Actor = NOBODY) -> Annotator:
    """Open a closed account again.

    Raises:
        NotFound: no such account.
        Conflict: the account was anonymised.
    """
    annotator = _get(session, annotator_id)
    _refuse_removed(annotator)
    if annotator.deactivated_at is not None:
        record(session, "account_reopened", by, ("account", annotator_id))
    annotator.deactivated_at = None
    session.flush()
    return annotator


def set_role(session: Session, annotator_id: int, role: str, by: Actor = NOBODY) -> AccountChange:
    """Make a person an annotator, a supervisor or an admin.

    The open invite links that the person may no longer make are revoked.

    Raises:
        NotFound: no such account.
        InvalidInput: an unknown role.
        Conflict: the person is the last active admin, or the account was anonymised.
    """
    annotator = _get_for_role(session, annotator_id, role, lock=True)
    if role != annotator.role:
        subject = ("account", annotator_id)
        record(session, "role_changed", by, subject, former=annotator.role, role=role)
    annotator.role = role
    session.flush()
    return AccountChange(annotator, revoke_links_of(session, annotator, by))


def _get_for_role(session: Session, annotator_id: int, role: str, *, lock: bool) -> Annotator:
    """The account that is to get a role; raises as `set_role`."""
    refuse_unknown_role(role)
    annotator = _get(session, annotator_id)
    _refuse_removed(annotator)
    if role != "admin":
        _refuse_last_admin(session, annotator, lock=lock)
    return annotator


def anonymise(
    session: Session, annotator_id: int, by: Actor = NOBODY, *, now: datetime | None = None
) -> Annotator:
    """Erase who a person is, for good. The account is closed; the votes and the pseudonym stay.

    The name becomes `removed-ID`. The password, sessions, known browsers, network addresses, the
    display name, the reasons of pauses, the thread of messages, the comments on flags and the note
    of the person's own invite are erased. Messages that the person wrote to others as a supervisor
    stay.

    Raises:
        NotFound: no such account.
        Conflict: it is the last active admin, or it was anonymised before.
    """
    now = now or utc_now()
    annotator = _get(session, annotator_id)
    _refuse_removed(annotator)
    _refuse_last_admin(session, annotator)
    _close(session, annotator, by, now)
    forget_failures(session, account_key(annotator.username), confirm_key(annotator_id))
    session.execute(delete(LoginSession).where(LoginSession.annotator_id == annotator_id))
    erase_addresses_of(session, annotator_id)
    own_invites = select(InviteUse.invite_id).where(InviteUse.annotator_id == annotator_id)
    session.execute(
        update(Invite).where(Invite.id.in_(own_invites), Invite.max_uses == 1).values(note="")
    )
    session.execute(
        update(Participation).where(Participation.annotator_id == annotator_id).values(reason="")
    )
    session.execute(update(ImageFlag).where(ImageFlag.annotator_id == annotator_id).values(note=""))
    session.execute(delete(Message).where(Message.annotator_id == annotator_id))
    session.execute(delete(PasswordReset).where(PasswordReset.annotator_id == annotator_id))
    annotator.display_name = ""
    annotator.username = f"{REMOVED}{annotator_id}"
    annotator.password_hash = "!"  # fits no password
    annotator.removed_at = now
    record(session, "account_anonymised", by, ("account", annotator_id), now=now)
    session.flush()
    return annotator


def _close(session: Session, annotator: Annotator, by: Actor, now: datetime) -> AccountChange:
    annotator.deactivated_at = annotator.deactivated_at or now
    revoke_sessions(session, annotator.id, now=now)
    forget_devices(session, annotator.id)
    revoke_reset_links(session, annotator.id, now=now)
    release_leases(session, annotator.id)
    session.flush()
    return AccountChange(annotator, revoke_links_of(session, annotator, by, now=now))


def _refuse_removed(annotator: Annotator) -> None:
    if annotator.removed_at is not None:
        raise Conflict(
            _(
                "The account %(username)r was anonymised. This cannot be undone.",
                username=annotator.username,
            )
        )


def _get(session: Session, annotator_id: int) -> Annotator:
    annotator = session.get(Annotator, annotator_id)
    if annotator is None:
        raise NotFound(
            _(
                "The account with the number %(annotator_id)s does not exist.",
                annotator_id=annotator_id,
            )
        )
    return annotator


def _active_admins(session: Session, lock: bool = False) -> Sequence[int]:
    query = select(Annotator.id).where(
        Annotator.role == "admin", Annotator.deactivated_at.is_(None)
    )
    # A vote refers to its person, and with `key_share` it does not wait for this lock.
    if lock:
        query = query.order_by(Annotator.id).with_for_update(key_share=True)
    return session.scalars(query).all()


def _refuse_last_admin(session: Session, annotator: Annotator, *, lock: bool = True) -> None:
    """Raise `Conflict` if the account is the last active admin.

    Before a change the rows of all admins are locked, in the order of their ids. Otherwise two
    admins could close each other at the same time. A forecast locks nothing.
    """
    if list(_active_admins(session, lock=lock)) == [annotator.id]:
        raise Conflict(
            _(
                "%(username)r is the last active admin. Make somebody else an admin first.",
                username=annotator.username,
            )
        )


def people_by_id(session: Session, annotator_ids: Sequence[int]) -> dict[int, Annotator]:
    """Some accounts, by id."""
    found = session.scalars(select(Annotator).where(Annotator.id.in_(annotator_ids)))
    return {one.id: one for one in found}
