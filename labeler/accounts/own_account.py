"""What people change about their own account: the display name, and closing it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from labeler.accounts.service import deactivate, get_person
from labeler.accounts.sessions import Browser, confirm_password
from labeler.audit.log import Actor, record
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now

MAX_DISPLAY_NAME = 60


def close_own_account(
    db: Database,
    annotator_id: int,
    password: str,
    browser: Browser,
    settings: Settings,
    *,
    now: datetime | None = None,
) -> None:
    """Close the account of the person who asks for it, after a check of the password.

    Raises:
        WrongPassword: the password is wrong.
        TooManyAttempts: it was wrong too often.
        Conflict: the person is the last active admin.
    """
    now = now or utc_now()
    confirm_password(db, annotator_id, password, browser, settings, now=now)
    with db.write() as session:
        deactivate(session, annotator_id, browser.acting(annotator_id), now=now)


def change_display_name(session: Session, annotator_id: int, name: str, by: Actor) -> Annotator:
    """Change what a person is called beside their user name; "" for nothing.

    Raises:
        NotFound: no such account.
        Conflict: the account was anonymised.
        InvalidInput: the name is too long or has characters that are not shown.
    """
    clean = " ".join(name.split())
    if len(clean) > MAX_DISPLAY_NAME or not clean.isprintable():
        raise InvalidInput(
            _(
                "The display name has %(count)s characters. Enter at most %(max_display_name)s "
                "letters, digits, blanks and signs.",
                count=len(clean),
                max_display_name=MAX_DISPLAY_NAME,
            )
        )
    annotator = get_person(session, annotator_id)
    if clean != annotator.display_name:
        annotator.display_name = clean
        record(session, "display_name_changed", by, ("account", annotator_id))
        session.flush()
    return annotator
