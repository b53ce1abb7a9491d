"""Signing in and out.

A browser holds a random token, and the database its hash. So a session can be revoked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.orm import Session

from labeler.accounts import attempts, devices
from labeler.accounts.passwords import (
    hash_password,
    hash_token,
    is_outdated,
    new_token,
    verify_password,
)
from labeler.audit.log import NOBODY, Actor, record
from labeler.config import Settings
from labeler.database.engine import Database, built_once, connection_of
from labeler.errors import AccountClosed, NotFound, WrongPassword
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.accounts import Annotator, LoginSession
from labeler.models.base import UtcDateTime, utc_now

TOUCH_AFTER = timedelta(minutes=5)
_WRONG = mark("The user name or the password is wrong.")
_CLOSED = mark(
    "Your account is closed. Your answers stay. Ask the person who runs the labelling to open it "
    "again."
)

_CLOCK_TOLERANCE = timedelta(seconds=10)
"""By how much the clocks of two servers may differ."""


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser that a request comes from.

    `device`: the token by which it is known, "" if it has none. `session`: the token of its
    session until now, "" if it has none.
    """

    address: str = ""
    user_agent: str = ""
    device: str = ""
    session: str = ""

    def acting(self, annotator_id: int | None = None) -> Actor:
        """Who acts in it, for the audit log."""
        return Actor(annotator_id, self.address)


@dataclass(frozen=True, slots=True)
class Opened:
    """A person who has just signed in, and the tokens for the cookies of the browser.

    `token` is that of the session. `device` tells at the next sign-in that the browser is known.
    """

    annotator: Annotator
    token: str
    device: str


def sign_in(
    db: Database,
    username: str,
    password: str,
    browser: Browser,
    settings: Settings,
    *,
    now: datetime | None = None,
) -> Opened:
    """Check a password and open a session. The browser's session until now ends.

    An unknown account and a wrong password give the same error after the same time. That an
    account is closed is told only after the right password.

    The function takes the database and not a session. One transaction counts the attempt, and
    another one opens the session. The password is checked between the two: that takes some
    25 ms, and SQLite has one writer at a time. An attempt counts before the check, so that many
    attempts at once cannot exceed the limit.

    Raises:
        WrongPassword: the account or the password is wrong.
        AccountClosed: the password is right, and the account is closed.
        TooManyAttempts: too many failures on this account or from this address. From a known
            browser only its own failures count.
    """
    now = now or utc_now()
    name = username.strip().casefold()[:60]
    with db.write() as session:
        account = session.scalar(select(Annotator).where(Annotator.username == name))
        known = account and devices.find_device(session, account.id, browser.device, now)
        limits = (
            {attempts.device_key(known): settings.login_attempts}
            if known
            else attempts.limits_of_stranger(name, browser.address, settings)
        )
        attempt = attempts.count_attempt(session, limits, settings, now)
    stored = account.password_hash if account else None
    if not verify_password(stored, password) or account is None:
        _record_failure(db, "sign_in_failed", attempt, account, browser.acting(), now)
        raise WrongPassword(_(_WRONG))
    if account.deactivated_at is not None:
        _record_failure(db, "sign_in_failed", attempt, account, browser.acting(), now)
        raise AccountClosed(_(_CLOSED))
    renewed = hash_password(password) if is_outdated(account.password_hash) else None
    with db.write() as session:
        annotator = session.get_one(Annotator, account.id, with_for_update=True)
        if annotator.deactivated_at is not None:  # closed during the check
            raise AccountClosed(_(_CLOSED))
        if annotator.password_hash != stored:  # changed during the check
            raise WrongPassword(_(_WRONG))
        annotator.password_hash = renewed or annotator.password_hash
        attempts.forgive(session, attempt)
        seen = "known" if known else "new"
        record(session, "sign_in", browser.acting(annotator.id), now=now, browser=seen)
        return welcome(session, annotator, browser, settings, now=now)


def welcome(
    session: Session,
    annotator: Annotator,
    browser: Browser,
    settings: Settings,
    *,
    now: datetime | None = None,
) -> Opened:
    """Sign a person in whose identity is clear: after the password check, or after sign-up."""
    now = now or utc_now()
    if browser.session:
        sign_out(session, browser.session, now=now)
    return Opened(
        annotator,
        open_session(session, annotator, browser.user_agent, settings, now=now),
        devices.remember_device(session, annotator.id, browser.device, now),
    )


def confirm_password(
    db: Database,
    annotator_id: int,
    password: str,
    browser: Browser,
    settings: Settings,
    *,
    now: datetime | None = None,
) -> str:
    """Check the present password of a signed-in person; returns its hash.

    The limit is that of the sign-in. So an unattended browser does not tell the password. The
    browser's session keeps the time, for `password_is_old`.

    Raises:
        NotFound: no such account.
        WrongPassword: the password is wrong.
        TooManyAttempts: too many failures on this account.
    """
    now = now or utc_now()
    with db.write() as session:
        annotator = session.get(Annotator, annotator_id)
        if annotator is None:
            raise NotFound(
                _(
                    "The account with the number %(annotator_id)s does not exist.",
                    annotator_id=annotator_id,
                )
            )
        limits = {attempts.confirm_key(annotator_id): settings.login_attempts}
        attempt = attempts.count_attempt(session, limits, settings, now)
    if not verify_password(annotator.password_hash, password):
        by = browser.acting(annotator_id)
        _record_failure(db, "password_failed", attempt, annotator, by, now)
        raise WrongPassword(_("The current password is wrong."))
    with db.write() as session:
        attempts.forgive(session, attempt)
        this_one = LoginSession.token_hash == hash_token(browser.session)
        session.execute(
            update(LoginSession)
            .where(this_one)
            .values(password_at=now)
            .execution_options(synchronize_session=False)
        )
        record(session, "password_confirmed", browser.acting(annotator_id), now=now)
    return annotator.password_hash


def renew_token(session: Session, token: str) -> str:
    """Give a session a new token, which is returned. The former one opens nothing any more."""
    renewed = new_token()
    this_one = LoginSession.token_hash == hash_token(token)
    session.execute(
        update(LoginSession)
        .where(this_one)
        .values(token_hash=hash_token(renewed))
        .execution_options(synchronize_session=False)
    )
    return renewed


def password_is_old(
    password_at: datetime | None, settings: Settings, *, now: datetime | None = None
) -> bool:
    """Whether a dangerous change needs the password again.

    Parameters:
        password_at: when it was last entered in this session; None: nobody knows.
    """
    limit = timedelta(minutes=settings.confirm_minutes)
    if password_at is None:
        return True
    age = (now or utc_now()) - password_at
    return not -_CLOCK_TOLERANCE <= age <= limit  # a moment to come: the clock was set back


def _record_failure(
    db: Database,
    action: str,
    attempt: attempts.Attempt,
    account: Annotator | None,
    by: Actor,
    now: datetime,
) -> None:
    """Log a wrong password, and that a limit is reached by it. What was typed is not kept."""
    subject = ("account", account.id) if account else None
    with db.write() as session:
        record(session, action, by, subject, now=now)
        for key in attempt.filled:
            record(session, "locked_out", by, subject, now=now, of=key.partition(":")[0])


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
            expires_at=_end(settings, now, now),
            password_at=now,
        )
    )
    session.flush()
    return token


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The person whose token it is.

    `password_at`: when the password was last entered in this session.
    `prolong_due`: the session was last prolonged at least `TOUCH_AFTER` ago.
    `keys`, `appearance`, `language`: those of `Annotator`.
    """

    id: int
    username: str
    pseudonym: str
    role: str
    password_at: datetime | None
    prolong_due: bool
    keys: dict[str, str] | None
    appearance: str | None
    language: str | None


def authenticate(
    session: Session, token: str, settings: Settings, *, now: datetime | None = None
) -> SignedIn | None:
    """The person whose token it is.

    None if the token is unknown, expired or revoked, or the account is closed.
    """
    now = now or utc_now()
    found = _find(session, token, settings, now)
    return None if found is None else _signed_in(found, now)


def prolong(
    session: Session, token: str, settings: Settings, *, now: datetime | None = None
) -> SignedIn | None:
    """Authenticate, and prolong the session. It is written at most once in `TOUCH_AFTER`.

    It ends `session_max_days` after the sign-in at the latest.
    """
    now = now or utc_now()
    found = _find(session, token, settings, now)
    if found is None:
        return None
    signed_in = _signed_in(found, now)
    if signed_in.prolong_due:
        login = session.get_one(LoginSession, found.login_id)
        login.last_seen_at = now
        login.expires_at = _end(settings, login.created_at, now)
        session.flush()
    return signed_in


def _signed_in(found: Row[Any], now: datetime) -> SignedIn:
    due = now - found.last_seen_at >= TOUCH_AFTER
    return SignedIn(
        found.id,
        found.username,
        found.pseudonym,
        found.role,
        found.password_at,
        due,
        found.own_keys,
        found.appearance,
        found.language,
    )


def sign_out(session: Session, token: str, *, now: datetime | None = None) -> None:
    """Sign out the browser with this token. An unknown token is no error."""
    _revoke(session, LoginSession.token_hash == hash_token(token), now)


def _end(settings: Settings, signed_in_at: datetime, now: datetime) -> datetime:
    idle = now + timedelta(days=settings.session_days)
    return min(idle, signed_in_at + timedelta(days=settings.session_max_days))


def revoke_sessions(
    session: Session, annotator_id: int, *, keep: str | None = None, now: datetime | None = None
) -> None:
    """Sign a person out of all browsers, except the one that holds the token `keep`."""
    condition = LoginSession.annotator_id == annotator_id
    if keep is not None:
        condition &= LoginSession.token_hash != hash_token(keep)
    _revoke(session, condition, now)


def _find(session: Session, token: str, settings: Settings, now: datetime) -> Row[Any] | None:
    # The row's end is not enough: the setting may have been lowered since.
    oldest = now - timedelta(days=settings.session_max_days)
    asked = {"hash": hash_token(token), "now": now, "oldest": oldest}
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
            Annotator.keys.label("own_keys"),  # `keys` is a method of a row
            Annotator.appearance,
            Annotator.language,
            LoginSession.id.label("login_id"),
            LoginSession.last_seen_at,
            LoginSession.password_at,
        )
        .join(LoginSession, LoginSession.annotator_id == Annotator.id)
        .where(
            LoginSession.token_hash == bindparam("hash"),
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > bindparam("now", type_=UtcDateTime),
            LoginSession.created_at > bindparam("oldest", type_=UtcDateTime),
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
    session: Session,
    annotator_id: int,
    session_id: int,
    by: Actor = NOBODY,
    *,
    now: datetime | None = None,
) -> None:
    """Sign out one of the person's browsers. A repeated sign-out changes nothing.

    Raises:
        NotFound: there is no such session, or it is somebody else's.
    """
    found = session.get(LoginSession, session_id)
    if found is None or found.annotator_id != annotator_id:
        raise NotFound(_("You have no session %(session_id)s.", session_id=session_id))
    if found.revoked_at is None:
        found.revoked_at = now or utc_now()
        subject = ("account", annotator_id)
        record(session, "browser_signed_out", by, subject, now=now, browser=session_id)
    session.flush()


def revoke_other_browsers(
    session: Session, annotator_id: int, keep: str, by: Actor, *, now: datetime | None = None
) -> None:
    """Sign a person out of all browsers but the one with the token `keep`."""
    revoke_sessions(session, annotator_id, keep=keep, now=now)
    subject = ("account", annotator_id)
    record(session, "browser_signed_out", by, subject, now=now, browser="all others")


def is_browser_of(login: LoginSession, token: str) -> bool:
    """Whether the token belongs to this session."""
    return login.token_hash == hash_token(token)
