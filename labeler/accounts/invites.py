"""Invite links. There is no other way to get an account."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from labeler.accounts.passwords import check_password_policy, hash_password, hash_token, new_token
from labeler.config import Settings
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.models.accounts import ROLES, Annotator, Invite, InviteUse
from labeler.models.base import utc_now

MAX_USES, MAX_DAYS = 1000, 365
ADMIN_LINK_DAYS = 1
_USERNAME = re.compile(r"[a-z0-9._-]{2,60}")


@dataclass(frozen=True, slots=True)
class InviteStatus:
    """An invite, how many accounts it has opened, and whether it still works."""

    invite: Invite
    uses: int
    state: str  # "open", "used up", "expired" or "revoked"


def create_invite(
    session: Session,
    role: str = "annotator",
    max_uses: int = 1,
    days: int = 14,
    note: str = "",
    created_by: int | None = None,
    *,
    now: datetime | None = None,
) -> tuple[Invite, str]:
    """Create an invite; returns it and its token. Only the token's hash is stored.

    Parameters:
        role: the role of the accounts that it opens.
        max_uses: how many accounts it opens, 1 to `MAX_USES`.
        days: for how many days it works, 1 to `MAX_DAYS`.

    Raises:
        InvalidInput: an unknown role, or a number out of range.
    """
    now = now or utc_now()
    refuse_unknown_role(role)
    if not 1 <= max_uses <= MAX_USES:
        raise InvalidInput(f"{max_uses} uses: 1 to {MAX_USES} are allowed.")
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(f"{days} days: 1 to {MAX_DAYS} are allowed.")
    token = new_token()
    invite = Invite(
        token_hash=hash_token(token),
        role=role,
        note=note.strip()[:200],
        max_uses=max_uses,
        created_by_id=created_by,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    session.add(invite)
    session.flush()
    return invite, token


def find_invite(session: Session, token: str, *, now: datetime | None = None) -> Invite:
    """The invite of a link that still works.

    Raises:
        NotFound: no such invite.
        Conflict: it is used up, expired or revoked.
    """
    return _load_usable(session, token, now or utc_now(), lock=False)


def accept_invite(
    session: Session, token: str, username: str, password: str, *, now: datetime | None = None
) -> Annotator:
    """Open an account.

    If two people use the last use of a link at the same time, only one of them gets an account.

    Raises:
        NotFound: no such invite.
        Conflict: the invite is used up, expired or revoked, or the username is taken.
        InvalidInput: the username or the password is not acceptable.
    """
    now = now or utc_now()
    username = clean_username(username)
    check_password_policy(password, username)
    # Hash before the first statement: hashing takes some 25 ms, and on SQLite the first statement
    # takes the only write lock.
    password_hash = hash_password(password)
    invite = _load_usable(session, token, now, lock=True)
    annotator = Annotator(
        username=username,
        pseudonym=f"p-{secrets.token_hex(4)}",
        role=invite.role,
        password_hash=password_hash,
        created_at=now,
    )
    try:
        with session.begin_nested():
            session.add(annotator)
    except IntegrityError:
        raise Conflict(f"The user name {username!r} is taken. Choose another one.") from None
    session.add(InviteUse(annotator_id=annotator.id, invite_id=invite.id, used_at=now))
    session.flush()
    return annotator


def revoke_invite(session: Session, invite_id: int, *, now: datetime | None = None) -> Invite:
    """Close an invite. Accounts that it opened stay. Closing it twice changes nothing.

    Raises:
        NotFound: no such invite.
    """
    invite = session.get(Invite, invite_id)
    if invite is None:
        raise NotFound(f"There is no invite {invite_id}.")
    invite.revoked_at = invite.revoked_at or now or utc_now()
    session.flush()
    return invite


def list_invites(session: Session, *, now: datetime | None = None) -> Sequence[InviteStatus]:
    """All invites, newest first."""
    now = now or utc_now()
    rows = session.execute(
        select(Invite, func.count(InviteUse.annotator_id))
        .outerjoin(InviteUse, InviteUse.invite_id == Invite.id)
        .group_by(Invite.id)
        .order_by(Invite.id.desc())
    )
    return [InviteStatus(invite, uses, _state(invite, uses, now)) for invite, uses in rows]


def one_time_admin_link(
    session: Session, settings: Settings, *, now: datetime | None = None
) -> str:
    """The address of a new sign-up for an admin. It works once, for `ADMIN_LINK_DAYS` days.

    Earlier links of this kind are revoked, so that only the last one works.
    """
    now = now or utc_now()
    note = "one-time admin link"
    for status in list_invites(session, now=now):
        if status.invite.note == note and status.invite.created_by_id is None:
            revoke_invite(session, status.invite.id, now=now)
    _, token = create_invite(session, "admin", 1, ADMIN_LINK_DAYS, note, None, now=now)
    return invite_address(settings, token)


def invite_address(settings: Settings, token: str) -> str:
    """The address where the holder of a token signs up."""
    return f"{settings.address}/join/{token}"


def is_local(address: str) -> bool:
    """Whether an address of the site works only on the machine that runs it."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:  # the name that a browser gave the site may be no address at all
        return False
    return host in ("localhost", "::1", "::", "0.0.0.0") or host.startswith("127.")


def clean_username(username: str) -> str:
    """The username as it is stored: trimmed and in lower case.

    Raises:
        InvalidInput: it does not have 2 to 60 characters, or it has others than the allowed ones.
    """
    cleaned = username.strip().casefold()
    if not _USERNAME.fullmatch(cleaned):
        raise InvalidInput(
            "A user name has 2 to 60 characters: letters a to z, digits and . _ - without blanks."
        )
    return cleaned


def refuse_unknown_role(role: str) -> None:
    """Refuse a role that does not exist.

    Raises:
        InvalidInput: the role is not one of `ROLES`.
    """
    if role not in ROLES:
        raise InvalidInput(f"{role!r} is not a role; allowed are {', '.join(ROLES)}.")


def _load_usable(session: Session, token: str, now: datetime, lock: bool) -> Invite:
    query = select(Invite).where(Invite.token_hash == hash_token(token))
    invite = session.scalar(query.with_for_update() if lock else query)
    if invite is None:
        raise NotFound("This invite link does not exist. Ask for a new one.")
    uses = session.scalar(select(func.count()).where(InviteUse.invite_id == invite.id)) or 0
    state = _state(invite, uses, now)
    if state != "open":
        raise Conflict(f"This invite link is {state}. Ask for a new one.")
    return invite


def _state(invite: Invite, uses: int, now: datetime) -> str:
    if invite.revoked_at is not None:
        return "revoked"
    if uses >= invite.max_uses:
        return "used up"
    return "expired" if invite.expires_at <= now else "open"
