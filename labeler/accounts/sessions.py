"""Signing in and out.

A browser holds a random token, and the database its hash. So a session can be revoked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, or_, select, update
from sqlalchemy.orm import Session

from labeler.accounts.passwords import (
    hash_password,
    hash_token,
    is_outdated,
    new_token,
    verify_password,
)
from labeler.config import Settings
from labeler.database.engine import (
    AdvisoryLock,
    Database,
    built_once,
    connection_of,
    take_advisory_lock,
)
from labeler.errors import NotFound, TooManyAttempts, WrongPassword
from labeler.models.accounts import Annotator, LoginFailure, LoginSession
from labeler.models.base import UtcDateTime, utc_now

ADDRESS_FACTOR = 20  # an address may have so many times more attempts: a whole class may share it
TOUCH_AFTER = timedelta(minutes=5)
_WRONG = "The user name or the password is wrong."


def sign_in(
    db: Database,
    username: str,
    password: str,
    address: str,
    user_agent: str,
    settings: Settings,
    *,
    now: datetime | None = None,
) -> tuple[Annotator, str]:
    """Check a password and open a session; returns the person and the token for the cookie.

    An unknown account, a closed account and a wrong password give the same error after the same
    time.

    The function takes the database and not a session. One transaction counts the attempt, and
    another one opens the session. The password is checked between the two: that takes some
    25 ms, and SQLite has one writer at a time. An attempt counts before the check, so that many
    attempts at once cannot exceed the limit.

    Parameters:
        address: the IP address of the browser.

    Raises:
        WrongPassword: the account or the password is wrong, or the account is closed.
        TooManyAttempts: too many failures on this account or from this address.
    """
    now = now or utc_now()
    name = username.strip().casefold()[:60]
    with db.write() as session:
        attempt = _count_attempt(session, name, address, settings, now)
        account = session.scalar(select(Annotator).where(Annotator.username == name))
    stored = account.password_hash if account and account.deactivated_at is None else None
    if not verify_password(stored, password) or account is None:
        raise WrongPassword(_WRONG)
    renewed = hash_password(password) if is_outdated(account.password_hash) else None
    with db.write() as session:
        annotator = session.get_one(Annotator, account.id, with_for_update=True)
        if annotator.deactivated_at is not None or annotator.password_hash != stored:
            raise WrongPassword(_WRONG)  # the account was closed or changed during the check
        annotator.password_hash = renewed or annotator.password_hash
        _forgive(session, name, attempt)
        return annotator, open_session(session, annotator, user_agent, settings, now=now)


def open_session(
    session: Session,
    annotator: Annotator,
    user_agent: str,
    settings: Settings,
    *,
    now: datetime | None = None,
) -> str:
    """Sign a person in without a password, just after sign-up; returns the token."""
    now = now or utc_now()
    token = new_token()
    session.add(
        LoginSession(
            token_hash=hash_token(token),
            annotator_id=annotator.id,
            user_agent=user_agent[:200],
            created_at=now,
            last_seen_at=now,
            expires_at=now + timedelta(days=settings.session_days),
        )
    )
    session.flush()
    return token


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person whose token it is.

    `prolong_due`: the session was last prolonged at least `TOUCH_AFTER` ago.
    """

    id: int
    username: str
    pseudonym: str
    role: str
    prolong_due: bool


def authenticate(session: Session, token: str, *, now: datetime | None = None) -> SignedIn | None:
    """The person whose token it is.

    None if the token is unknown, expired or revoked, or the account is closed.
    """
    now = now or utc_now()
    found = _find(session, token, now)
    return None if found is None else _signed_in(found, now)


def prolong(session: Session, token: str, *, now: datetime | None = None) -> SignedIn | None:
    """Authenticate, and prolong the session. It is written at most once in `TOUCH_AFTER`."""
    now = now or utc_now()
    found = _find(session, token, now)
    if found is None:
        return None
    signed_in = _signed_in(found, now)
    if signed_in.prolong_due:
        login = session.get_one(LoginSession, found.login_id)
        login.last_seen_at = now
        login.expires_at = now + (found.expires_at - found.last_seen_at)
        session.flush()
    return signed_in


def _signed_in(found: Row[Any], now: datetime) -> SignedIn:
    due = now - found.last_seen_at >= TOUCH_AFTER
    return SignedIn(found.id, found.username, found.pseudonym, found.role, due)


def sign_out(session: Session, token: str, *, now: datetime | None = None) -> None:
    """Sign out the browser with this token. An unknown token is no error."""
    _revoke(session, LoginSession.token_hash == hash_token(token), now)


def revoke_sessions(
    session: Session, annotator_id: int, *, keep: str | None = None, now: datetime | None = None
) -> None:
    """Sign a person out of all browsers, except the one that holds the token `keep`."""
    condition = LoginSession.annotator_id == annotator_id
    if keep is not None:
        condition &= LoginSession.token_hash != hash_token(keep)
    _revoke(session, condition, now)


def _find(session: Session, token: str, now: datetime) -> Row[Any] | None:
    asked = {"hash": hash_token(token), "now": now}
    return connection_of(session).execute(_find_statement(), asked).one_or_none()


@built_once
def _find_statement() -> Any:
    """Built once: it runs with each request."""
    return (
        select(
            Annotator.id,
            Annotator.username,
            Annotator.pseudonym,
            Annotator.role,
            LoginSession.id.label("login_id"),
            LoginSession.last_seen_at,
            LoginSession.expires_at,
        )
        .join(LoginSession, LoginSession.annotator_id == Annotator.id)
        .where(
            LoginSession.token_hash == bindparam("hash"),
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > bindparam("now", type_=UtcDateTime),
            Annotator.deactivated_at.is_(None),
        )
    )


def _revoke(session: Session, condition: object, now: datetime | None) -> None:
    session.execute(
        update(LoginSession)
        .where(condition, LoginSession.revoked_at.is_(None))  # type: ignore[arg-type]
        .values(revoked_at=now or utc_now())
        .execution_options(synchronize_session=False)
    )


def _refuse_too_many(
    session: Session, key: str, limit: int, settings: Settings, now: datetime
) -> None:
    window = timedelta(seconds=settings.login_window_seconds)
    count, oldest = session.execute(
        select(func.count(), func.min(LoginFailure.at)).where(
            LoginFailure.key == key, LoginFailure.at > now - window
        )
    ).one()
    if count >= limit:
        wait = max(1, math.ceil((oldest + window - now).total_seconds()))
        raise TooManyAttempts(f"Too many wrong passwords. Try again in {wait} seconds.", wait)


def _count_attempt(
    session: Session, name: str, address: str, settings: Settings, now: datetime
) -> list[int]:
    """Count a failure for the account and for the address; returns the ids of the two rows.

    `_forgive` deletes them after a success. The advisory lock keeps two attempts from passing the
    same limit together.
    """
    take_advisory_lock(session, AdvisoryLock.SIGN_IN)
    limits = {
        f"account:{name}": settings.login_attempts,
        f"address:{address[:60]}": settings.login_attempts * ADDRESS_FACTOR,
    }
    for key, limit in limits.items():
        _refuse_too_many(session, key, limit, settings, now)
    window = timedelta(seconds=settings.login_window_seconds)
    session.execute(delete(LoginFailure).where(LoginFailure.at <= now - window))
    attempt = [LoginFailure(key=key, at=now) for key in limits]
    session.add_all(attempt)
    session.flush()
    return [failure.id for failure in attempt]


def _forgive(session: Session, name: str, attempt: list[int]) -> None:
    """After a success, delete all failures of the account, but only this attempt of the address.

    Otherwise a person with an account could guess the passwords of others without a limit.
    """
    forgiven = or_(LoginFailure.key == f"account:{name}", LoginFailure.id.in_(attempt))
    session.execute(delete(LoginFailure).where(forgiven))


def list_browsers(
    session: Session, annotator_id: int, *, now: datetime | None = None
) -> Sequence[LoginSession]:
    """The person's valid sessions, the most recently used first."""
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
    """Sign out one of the person's browsers. A repeated sign-out changes nothing.

    Raises:
        NotFound: there is no such session, or it is somebody else's.
    """
    found = session.get(LoginSession, session_id)
    if found is None or found.annotator_id != annotator_id:
        raise NotFound(f"You have no session {session_id}.")
    found.revoked_at = found.revoked_at or now or utc_now()
    session.flush()


def is_browser_of(login: LoginSession, token: str) -> bool:
    """Whether the token belongs to this session."""
    return login.token_hash == hash_token(token)
