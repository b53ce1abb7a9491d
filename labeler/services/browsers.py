"""The browsers in which a person is signed in, and signing one of them out from afar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.errors import NotFound
from labeler.models import LoginSession, utc_now
from labeler.services.passwords import hash_token


def list_browsers(
    session: Session, annotator_id: int, *, now: datetime | None = None
) -> Sequence[LoginSession]:
    """The person's valid sessions, the one used last first."""
    return session.scalars(
        select(LoginSession)
        .where(
            LoginSession.annotator_id == annotator_id,
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > (now or utc_now()),
        )
        .order_by(LoginSession.last_seen_at.desc(), LoginSession.id.desc())
    ).all()


def revoke_browser(
    session: Session, annotator_id: int, session_id: int, *, now: datetime | None = None
) -> None:
    """Sign one of the person's browsers out. Doing so twice changes nothing.

    Raises:
        NotFound: no such session, or somebody else's.
    """
    found = session.get(LoginSession, session_id)
    if found is None or found.annotator_id != annotator_id:
        raise NotFound(f"You have no session {session_id}.")
    found.revoked_at = found.revoked_at or now or utc_now()
    session.flush()


def is_browser_of(login: LoginSession, token: str) -> bool:
    """Whether this is the session that the token opens."""
    return login.token_hash == hash_token(token)
