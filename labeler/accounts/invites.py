"""Invite links. There is no other way to get an account."""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from labeler.accounts.groups import get_group, join_group
from labeler.accounts.passwords import check_password_policy, hash_password, hash_token, new_token
from labeler.audit.log import NOBODY, Actor, record
from labeler.config import Settings
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.accounts import ROLES, Annotator, Invite, InviteUse
from labeler.models.base import utc_now

MAX_USES, MAX_DAYS = 1000, 365
ADMIN_LINK_DAYS = 1
REMOVED = "removed-"  # what the names of anonymised accounts begin with
_CLOSED = {
    "used up": mark("This invite link is used up. Ask for a new one."),
    "expired": mark("This invite link is expired. Ask for a new one."),
    "revoked": mark("This invite link is revoked. Ask for a new one."),
}
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
    by: Actor = NOBODY,
    *,
    group_id: int | None = None,
    now: datetime | None = None,
) -> tuple[Invite, str]:
    """Create an invite; returns it and its token. Only the token's hash is stored.

    Parameters:
        role: the role of the accounts that it opens.
        max_uses: how many accounts it opens, 1 to `MAX_USES`.
        days: for how many days it works, 1 to `MAX_DAYS`.
        by: who makes it. Its link works as long as this person may make such a link.
        group_id: the group that the accounts join.

    Raises:
        InvalidInput: an unknown role, or a number out of range.
        NotFound: no such group.
    """
    now = now or utc_now()
    if group_id is not None:
        get_group(session, group_id)
    refuse_unknown_role(role)
    if not 1 <= max_uses <= MAX_USES:
        raise InvalidInput(
            _("%(uses)s uses: 1 to %(max_uses)s are allowed.", uses=max_uses, max_uses=MAX_USES)
        )
    if not 1 <= days <= MAX_DAYS:
        raise InvalidInput(
            _("%(days)s days: 1 to %(max_days)s are allowed.", days=days, max_days=MAX_DAYS)
        )
    token = new_token()
    invite = Invite(
        token_hash=hash_token(token),
        role=role,
        note=note.strip()[:200],
        max_uses=max_uses,
        created_by_id=by.id,
        group_id=group_id,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    session.add(invite)
    session.flush()
    record(
        session,
        "invite_created",
        by,
        ("invite", invite.id),
        now=now,
        role=role,
        max_uses=max_uses,
        days=days,
    )
    return invite, token


def may_invite(maker_role: str, role: str) -> bool:
    """Whether a person with one role may make a link that opens accounts with the other role.

    The pages ask it by `access.only("admin")`, and a link asks it again when it is used.
    """
    return maker_role == "admin" and role in ROLES


def find_invite(session: Session, token: str, *, now: datetime | None = None) -> Invite:
    """The invite of a link that still works.

    Raises:
        NotFound: no such invite.
        Conflict: it is used up, expired or revoked.
    """
    return _load_usable(session, token, now or utc_now(), lock=False)


def accept_invite(
    session: Session,
    token: str,
    username: str,
    password: str,
    *,
    address: str | None = None,
    now: datetime | None = None,
) -> Annotator:
    """Open an account.

    If two people use the last use of a link at the same time, only one of them gets an account.

    Raises:
        NotFound: no such invite.
        Conflict: the invite is used up, expired or revoked, or the username is taken.
        InvalidInput: the username or the password is not acceptable.
    """
    now = now or utc_now()
    username = _clean_new_username(username)
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
        raise Conflict(
            _("The user name %(username)r is taken. Choose another one.", username=username)
        ) from None
    session.add(InviteUse(annotator_id=annotator.id, invite_id=invite.id, used_at=now))
    session.flush()
    if invite.group_id is not None:
        join_group(session, invite.group_id, annotator.id)
    record(
        session,
        "account_created",
        Actor(annotator.id, address),
        ("account", annotator.id),
        now=now,
        role=invite.role,
        invite=invite.id,
    )
    return annotator


def _clean_new_username(username: str) -> str:
    cleaned = clean_username(username)
    if cleaned.startswith(REMOVED):
        raise InvalidInput(
            _("User names do not begin with %(removed)r. Choose another one.", removed=REMOVED)
        )
    return cleaned


def revoke_invite(
    session: Session, invite_id: int, by: Actor = NOBODY, *, now: datetime | None = None
) -> Invite:
    """Close an invite. Accounts that it opened stay. Closing it twice changes nothing.

    Raises:
        NotFound: no such invite.
    """
    invite = session.get(Invite, invite_id)
    if invite is None:
        raise NotFound(_("There is no invite %(invite_id)s.", invite_id=invite_id))
    if invite.revoked_at is None:
        _revoke(session, invite, by, now or utc_now())
    session.flush()
    return invite


def revoke_links_of(
    session: Session, maker: Annotator, by: Actor = NOBODY, *, now: datetime | None = None
) -> int:
    """Revoke the open links that this person may no longer make; returns how many.

    Called when a person's role or account has changed.
    """
    now = now or utc_now()
    lost = links_beyond(session, maker.id, maker.deactivated_at, maker.role, now=now)
    for invite in lost:
        _revoke(session, invite, by, now)
    session.flush()
    return len(lost)


def links_beyond(
    session: Session,
    maker_id: int,
    closed: datetime | None,
    role: str,
    *,
    now: datetime | None = None,
) -> list[Invite]:
    """The open links of a person that somebody with this account may not make.

    Parameters:
        closed: when the account was or will be closed, None if it is open.
        role: the role that the person has or will have.
    """
    now = now or utc_now()
    return [
        status.invite
        for status in _statuses(session, Invite.created_by_id == maker_id, now)
        if status.invite.revoked_at is None
        and status.uses < status.invite.max_uses
        and status.invite.expires_at > now
        and not _still_allowed(status.invite, closed, role)
    ]


def get_status(session: Session, invite_id: int, *, now: datetime | None = None) -> InviteStatus:
    """An invite, how many accounts it has opened, and whether it still works.

    Raises:
        NotFound: no such invite.
    """
    found = _statuses(session, Invite.id == invite_id, now or utc_now())
    if not found:
        raise NotFound(_("There is no invite %(invite_id)s.", invite_id=invite_id))
    return found[0]


def list_invites(session: Session, *, now: datetime | None = None) -> Sequence[InviteStatus]:
    """All invites, newest first."""
    return _statuses(session, true(), now or utc_now())


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
    _, token = create_invite(session, "admin", 1, ADMIN_LINK_DAYS, note, now=now)
    return invite_address(settings.address, token)


def invite_address(site: str, token: str) -> str:
    """The address where the holder of a token signs up.

    Parameters:
        site: the address of the site, without a slash at the end.
    """
    return f"{site}/join/{token}"


def is_local(address: str) -> bool:
    """Whether an address of the site works only on the machine that runs it."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:  # the name that a browser gave the site may be no address at all
        return False
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return number.is_loopback or number.is_unspecified


def clean_username(username: str) -> str:
    """The username as it is stored: trimmed and in lower case.

    Raises:
        InvalidInput: it does not have 2 to 60 characters, or it has others than the allowed ones.
    """
    cleaned = username.strip().casefold()
    if not _USERNAME.fullmatch(cleaned):
        raise InvalidInput(
            _(
                "A user name has 2 to 60 characters: letters a to z, digits and . _ - without "
                "blanks."
            )
        )
    return cleaned


def refuse_unknown_role(role: str) -> None:
    """Refuse a role that does not exist.

    Raises:
        InvalidInput: the role is not one of `ROLES`.
    """
    if role not in ROLES:
        raise InvalidInput(
            _(
                "%(role)r is not a role; allowed are %(allowed)s.",
                role=role,
                allowed=", ".join(ROLES),
            )
        )


def _load_usable(session: Session, token: str, now: datetime, lock: bool) -> Invite:
    query = select(Invite).where(Invite.token_hash == hash_token(token))
    invite = session.scalar(query.with_for_update() if lock else query)
    if invite is None:
        raise NotFound(_("This invite link does not exist. Ask for a new one."))
    (status,) = _statuses(session, Invite.id == invite.id, now)
    if status.state != "open":
        raise Conflict(_(_CLOSED[status.state]))
    return invite


def _statuses(
    session: Session, condition: ColumnElement[bool], now: datetime
) -> list[InviteStatus]:
    """The invites that meet a condition, newest first."""
    rows = session.execute(
        select(Invite, func.count(InviteUse.annotator_id), Annotator.deactivated_at, Annotator.role)
        .outerjoin(InviteUse, InviteUse.invite_id == Invite.id)
        .outerjoin(Annotator, Annotator.id == Invite.created_by_id)
        .where(condition)
        .group_by(Invite.id, Annotator.id)
        .order_by(Invite.id.desc())
    )
    return [
        InviteStatus(invite, uses, _state(invite, uses, _still_allowed(invite, closed, role), now))
        for invite, uses, closed, role in rows
    ]


def _still_allowed(invite: Invite, maker_closed: datetime | None, maker_role: str | None) -> bool:
    """Whether who made the link may make it now. One who is gone or was demoted may not.

    Links of the command line have no maker.
    """
    if invite.created_by_id is None:
        return True
    return maker_closed is None and may_invite(maker_role or "", invite.role)


def _state(invite: Invite, uses: int, allowed: bool, now: datetime) -> str:
    if invite.revoked_at is not None:
        return "revoked"
    if uses >= invite.max_uses:
        return "used up"
    if invite.expires_at <= now:
        return "expired"
    return "open" if allowed else "revoked"


def _revoke(session: Session, invite: Invite, by: Actor, now: datetime) -> None:
    invite.revoked_at = now
    record(session, "invite_revoked", by, ("invite", invite.id), now=now)
