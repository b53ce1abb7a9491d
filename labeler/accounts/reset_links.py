"""Links by which a person chooses a new password. An admin makes one and hands it over.

A link works once, and only until it expires. The newest link of a person is the only one that
works. It also ends when the password changes otherwise, when the account is closed, and when its
maker may no longer make it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labeler.accounts.attempts import account_key, confirm_key, forget_failures
from labeler.accounts.devices import forget_devices
from labeler.accounts.passwords import check_password_policy, hash_password, hash_token, new_token
from labeler.accounts.sessions import revoke_sessions
from labeler.audit.log import Actor, record
from labeler.errors import Conflict, NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.accounts import Annotator, PasswordReset
from labeler.models.base import utc_now

RESET_HOURS = 24
_GONE = mark("This link no longer works. Ask the person who runs the labelling for another one.")


def create_reset_link(
    session: Session, annotator_id: int, by: Actor, *, now: datetime | None = None
) -> str:
    """Make a link for a person; returns its token. Only the token's hash is stored.

    Earlier links of the person end. The password stays until the link is used.

    Parameters:
        by: the admin who makes it.

    Raises:
        NotFound: no such account.
        Conflict: the account is closed or was anonymised.
    """
    now = now or utc_now()
    annotator = session.get(Annotator, annotator_id, with_for_update={"key_share": True})
    if annotator is None:
        raise NotFound(
            _(
                "The account with the number %(annotator_id)s does not exist.",
                annotator_id=annotator_id,
            )
        )
    if annotator.deactivated_at is not None:
        raise Conflict(
            _("The account %(username)r is closed. Reopen it first.", username=annotator.username)
        )
    revoke_reset_links(session, annotator_id, now=now)
    token = new_token()
    link = PasswordReset(
        token_hash=hash_token(token),
        annotator_id=annotator_id,
        created_by_id=by.id,
        created_at=now,
        expires_at=now + timedelta(hours=RESET_HOURS),
    )
    session.add(link)
    session.flush()
    subject = ("account", annotator_id)
    record(session, "reset_link_created", by, subject, now=now, hours=RESET_HOURS)
    return token


def find_person_of_link(session: Session, token: str, *, now: datetime | None = None) -> Annotator:
    """The person whose password a link sets.

    Raises:
        NotFound: no such link.
        Conflict: it was used, has expired, or no longer works for another reason.
    """
    return _load_usable(session, token, now or utc_now(), lock=False)[1]


def use_reset_link(
    session: Session,
    token: str,
    password: str,
    *,
    address: str | None = None,
    now: datetime | None = None,
) -> Annotator:
    """Set a new password by a link. The person is signed out everywhere.

    If two browsers use a link at the same time, only one of them sets the password.

    Raises:
        NotFound, Conflict: as `find_person_of_link`.
        InvalidInput: the password is too easy.
    """
    now = now or utc_now()
    username = find_person_of_link(session, token, now=now).username
    check_password_policy(password, username)
    password_hash = hash_password(password)
    link, annotator = _load_usable(session, token, now, lock=True)
    link.used_at = now
    annotator.password_hash = password_hash
    revoke_sessions(session, annotator.id, now=now)
    forget_devices(session, annotator.id)
    forget_failures(session, account_key(annotator.username), confirm_key(annotator.id))
    by = Actor(annotator.id, address)
    record(session, "password_reset", by, ("account", annotator.id), now=now, link=link.id)
    session.flush()
    return annotator


def revoke_reset_links(session: Session, annotator_id: int, *, now: datetime | None = None) -> None:
    """End the open links of a person."""
    session.execute(
        update(PasswordReset)
        .where(
            PasswordReset.annotator_id == annotator_id,
            PasswordReset.used_at.is_(None),
            PasswordReset.revoked_at.is_(None),
        )
        .values(revoked_at=now or utc_now())
        .execution_options(synchronize_session="fetch")
    )


def _load_usable(
    session: Session, token: str, now: datetime, *, lock: bool
) -> tuple[PasswordReset, Annotator]:
    query = select(PasswordReset).where(PasswordReset.token_hash == hash_token(token))
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    link = session.scalar(query)
    if link is None:
        raise NotFound(_("This link does not exist. Check that you have copied all of it."))
    if link.used_at or link.revoked_at or link.expires_at <= now or not _may_make(session, link):
        raise Conflict(_(_GONE))
    annotator = session.get_one(Annotator, link.annotator_id)
    if annotator.deactivated_at is not None:
        raise Conflict(_(_GONE))
    return link, annotator


def _may_make(session: Session, link: PasswordReset) -> bool:
    """Whether the maker of a link is still an admin; a command always may."""
    if link.created_by_id is None:
        return True
    maker = session.get_one(Annotator, link.created_by_id)
    return maker.role == "admin" and maker.deactivated_at is None
