"""The limiter of wrong passwords.

An attempt counts before the password is checked, so that many attempts at once cannot exceed a
limit. A success takes it back.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from labeler.config import Settings
from labeler.database.engine import AdvisoryLock, take_advisory_lock
from labeler.errors import TooManyAttempts
from labeler.languages.texts import gettext as _
from labeler.models.accounts import LoginFailure

ADDRESS_FACTOR = 20  # an address may have so many times more attempts: a whole class may share it
NETWORK_V6 = 64  # one customer has a whole network of IPv6 addresses


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that has been counted.

    `rows`: its rows, by what they count against. `filled`: what has reached its limit by it.
    """

    rows: dict[str, int]
    filled: tuple[str, ...]


def count_attempt(
    session: Session, limits: Mapping[str, int], settings: Settings, now: datetime
) -> Attempt:
    """Count an attempt against each of the keys of `limits`.

    The advisory lock keeps two attempts from passing the same limit together.

    Raises:
        TooManyAttempts: one of the limits was reached before.
    """
    take_advisory_lock(session, AdvisoryLock.SIGN_IN)
    window = timedelta(seconds=settings.login_window_seconds)
    counts = {key: _count(session, key, limit, window, now) for key, limit in limits.items()}
    session.execute(delete(LoginFailure).where(LoginFailure.at <= now - window))
    added = {key: LoginFailure(key=key, at=now) for key in limits}
    session.add_all(added.values())
    session.flush()
    return Attempt(
        {key: failure.id for key, failure in added.items()},
        tuple(key for key, limit in limits.items() if counts[key] + 1 == limit),
    )


def forgive(session: Session, attempt: Attempt) -> None:
    """After a success, delete all failures of the account or browser, but of the address only this.

    Otherwise a person with an account could guess the passwords of others without a limit.
    """
    whole = [key for key in attempt.rows if not key.startswith("address:")]
    session.execute(
        delete(LoginFailure).where(
            or_(LoginFailure.key.in_(whole), LoginFailure.id.in_(attempt.rows.values()))
        )
    )


def forget_failures(session: Session, *keys: str) -> None:
    """Delete all failures that count against these keys."""
    session.execute(delete(LoginFailure).where(LoginFailure.key.in_(keys)))


def limits_of_stranger(name: str, address: str, settings: Settings) -> dict[str, int]:
    """What an attempt from an unknown browser counts against: the account, and the address."""
    return {
        account_key(name): settings.login_attempts,
        f"address:{network_of(address)}": settings.login_attempts * ADDRESS_FACTOR,
    }


def account_key(name: str) -> str:
    """The key of failures for an account from unknown browsers."""
    return f"account:{name}"


def device_key(device_id: int) -> str:
    """The key of failures from a known browser."""
    return f"device:{device_id}"


def confirm_key(annotator_id: int) -> str:
    """The key of failures of a signed-in person who gives the present password again."""
    return f"confirm:{annotator_id}"


def network_of(address: str) -> str:
    """The address, or for IPv6 the network that one customer has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:60]
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found.packed, NETWORK_V6), strict=False))


def _count(session: Session, key: str, limit: int, window: timedelta, now: datetime) -> int:
    count, oldest = session.execute(
        select(func.count(), func.min(LoginFailure.at)).where(
            LoginFailure.key == key, LoginFailure.at > now - window
        )
    ).one()
    if count >= limit:
        wait = max(1, math.ceil((oldest + window - now).total_seconds()))
        raise TooManyAttempts(
            _("Too many wrong passwords. Try again in %(wait)s seconds.", wait=wait), wait
        )
    return int(count)
