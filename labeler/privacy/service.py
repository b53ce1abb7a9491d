"""The privacy notice: read, replaced, and set back to the default one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.config import Settings
from labeler.database.engine import AdvisoryLock, take_advisory_lock
from labeler.errors import InvalidInput
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.privacy import PrivacyNotice
from labeler.privacy.default_notice import default_notice, is_default

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
    """The notice that is shown at present: the default one in the language of the moment."""
    return _notice(session.get(PrivacyNotice, _ROW), settings)


def change_notice(
    session: Session,
    settings: Settings,
    text: str,
    by: Actor = NOBODY,
    *,
    now: datetime | None = None,
) -> Notice | None:
    """Replace the notice; returns the one that it replaced, or None if nothing changed.

    An empty text, or that of the default notice, sets it back.

    Raises:
        InvalidInput: the text is too long.
    """
    check_length(text)
    text = text.strip()
    if not text or is_default(text, settings):
        return restore_default(session, settings, by)
    stored = _locked_row(session)
    before = _notice(stored, settings)
    if stored is not None and stored.text == text:
        return None
    now = now or utc_now()
    if stored is None:
        session.add(PrivacyNotice(id=_ROW, text=text, changed_at=now))
    else:
        stored.text, stored.changed_at = text, now
    session.flush()
    record(session, "privacy_changed", by, now=now, characters=len(text))
    return before


def restore_default(session: Session, settings: Settings, by: Actor = NOBODY) -> Notice | None:
    """Delete the own notice, so that the default one is shown.

    Returns:
        The notice that was deleted, or None if there was none.
    """
    stored = _locked_row(session)
    if stored is None:
        return None
    before = _notice(stored, settings)
    session.delete(stored)
    session.flush()
    record(session, "privacy_restored", by)
    return before


def check_length(text: str) -> None:
    """Refuse a text that is too long to be stored or shown.

    Raises:
        InvalidInput: it has more than `MAX_NOTICE` characters.
    """
    if len(text) > MAX_NOTICE:
        raise InvalidInput(
            _(
                "The text has %(count)s characters. The limit is %(max_notice)s.",
                count=write_number(len(text)),
                max_notice=write_number(MAX_NOTICE),
            )
        )


def _notice(stored: PrivacyNotice | None, settings: Settings) -> Notice:
    if stored is None:
        return Notice(default_notice(settings))
    return Notice(stored.text, stored.changed_at)


def _locked_row(session: Session) -> PrivacyNotice | None:
    """The row as it is now, which nobody else changes before the commit.

    There may be no row to lock, so the lock is on the notice as a whole.
    """
    take_advisory_lock(session, AdvisoryLock.PRIVACY_NOTICE)
    return session.get(PrivacyNotice, _ROW, populate_existing=True)
