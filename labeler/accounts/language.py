"""The language of the site, as each person chooses."""

from __future__ import annotations

from sqlalchemy.orm import Session

from labeler.errors import InvalidInput
from labeler.languages.current import LANGUAGES
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator


def check_language(wanted: str) -> str:
    """Return the choice.

    Raises:
        InvalidInput: it is none of `LANGUAGES`.
    """
    if wanted not in LANGUAGES:
        raise InvalidInput(
            _(
                "%(given)r is not a language of this site; allowed are %(allowed)s.",
                given=wanted[:20],
                allowed=", ".join(LANGUAGES),
            )
        )
    return wanted


def save_language(session: Session, annotator_id: int, wanted: str) -> None:
    """Store the choice of a person.

    Raises:
        InvalidInput: it is none of `LANGUAGES`.
    """
    session.get_one(Annotator, annotator_id).language = check_language(wanted)
    session.flush()
