"""The privacy notice: read, replaced, and set back to the default one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.config import Settings
from labeler.errors import InvalidInput
from labeler.models.base import utc_now
from labeler.models.privacy import PrivacyNotice
from labeler.privacy.default_notice import default_notice

MAX_NOTICE = 20_000
_ROW = 1


@dataclass(frozen=True, slots=True)
class Notice:
    """The notice that people read, in Markdown. `changed_at`: None if it is the default one."""

    text: str
    changed_at: datetime | None = None

    @property
    def is_default(self) -> bool:
        """Whether nobody has replaced it."""
        return self.changed_at is None


def get_notice(session: Session, settings: Settings) -> Notice:
    """The notice that is shown at present."""
    stored = session.get(PrivacyNotice, _ROW)
    if stored is None:
        return Notice(default_notice(settings))
    return Notice(stored.text, stored.changed_at)


def change_notice(
    session: Session,
    settings: Settings,
    text: str,
    by: Actor = NOBODY,
    *,
    now: datetime | None = None,
) -> bool:
    """Replace the notice; returns whether that changed anything.

    An empty text, or that of the default notice, sets it back.

    Raises:
        InvalidInput: the text is too long.
    """
    check_length(text)
    text = text.strip()
    if text in ("", default_notice(settings)):
        return restore_default(session, by)
    stored = session.get(PrivacyNotice, _ROW)
    if stored is not None and stored.text == text:
        return False
    now = now or utc_now()
    if stored is None:
        session.add(PrivacyNotice(id=_ROW, text=text, changed_at=now))
    else:
        stored.text, stored.changed_at = text, now
    session.flush()
    record(session, "privacy_changed", by, now=now, characters=len(text))
    return True


def restore_default(session: Session, by: Actor = NOBODY) -> bool:
    """Delete the own notice, so that the default one is shown; returns whether there was one."""
    stored = session.get(PrivacyNotice, _ROW)
    if stored is None:
        return False
    session.delete(stored)
    session.flush()
    record(session, "privacy_restored", by)
    return True


def check_length(text: str) -> None:
    """Refuse a text that is too long to be stored or shown.

    Raises:
        InvalidInput: it has more than `MAX_NOTICE` characters.
    """
    if len(text) > MAX_NOTICE:
        raise InvalidInput(f"The text has {len(text):,} characters. The limit is {MAX_NOTICE:,}.")
