"""Known browsers: those in which somebody has signed in to an account before.

The pattern is OWASP's "device cookie". Strangers who try passwords for an account lock out only
unknown browsers.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from labeler.accounts.passwords import hash_token, new_token
from labeler.models.accounts import KnownDevice

DEVICE_DAYS = 365  # a browser is forgotten so many days after its last sign-in


def find_device(session: Session, annotator_id: int, token: str, now: datetime) -> int | None:
    """The id of this browser among those that the account knows, or None."""
    if not token:
        return None
    return session.scalar(
        select(KnownDevice.id).where(
            KnownDevice.token_hash == hash_token(token),
            KnownDevice.annotator_id == annotator_id,
            KnownDevice.last_used_at > now - timedelta(days=DEVICE_DAYS),
        )
    )


def remember_device(session: Session, annotator_id: int, token: str, now: datetime) -> str:
    """Make a browser known to an account; returns its new token.

    The token changes each time, also for other accounts that know the browser. So a cookie that was
    copied or planted is worth nothing after the next sign-in.

    Parameters:
        token: the browser's present token, or "".
    """
    fresh = new_token()
    if token:
        session.execute(
            update(KnownDevice)
            .where(KnownDevice.token_hash == hash_token(token))
            .values(token_hash=hash_token(fresh))
            .execution_options(synchronize_session=False)
        )
    known = session.scalar(
        select(KnownDevice).where(
            KnownDevice.token_hash == hash_token(fresh), KnownDevice.annotator_id == annotator_id
        )
    )
    if known is None:
        known = KnownDevice(token_hash=hash_token(fresh), annotator_id=annotator_id)
        session.add(known)
    known.last_used_at = now
    session.flush()
    return fresh


def forget_devices(session: Session, annotator_id: int, *, keep: str = "") -> None:
    """Make all browsers unknown to an account, except the one with the token `keep`."""
    condition = KnownDevice.annotator_id == annotator_id
    if keep:
        condition &= KnownDevice.token_hash != hash_token(keep)
    session.execute(
        delete(KnownDevice).where(condition).execution_options(synchronize_session=False)
    )
