"""Light or dark pages, as each person chooses."""

from __future__ import annotations

from sqlalchemy.orm import Session

from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.accounts import APPEARANCES, Annotator

FOLLOW_SYSTEM = "system"  # light or dark as the system of the browser is


def check_appearance(wanted: str) -> str:
    """Return the choice.

    Raises:
        InvalidInput: it is none of `APPEARANCES`.
    """
    if wanted not in APPEARANCES:
        allowed = ", ".join(APPEARANCES)
        raise InvalidInput(
            _(
                "%(wanted)r is not an appearance; allowed are %(allowed)s.",
                wanted=wanted[:20],
                allowed=allowed,
            )
        )
    return wanted


def save_appearance(session: Session, annotator_id: int, wanted: str) -> None:
    """Store the choice of a person.

    Raises:
        InvalidInput: it is none of `APPEARANCES`.
    """
    session.get_one(Annotator, annotator_id).appearance = check_appearance(wanted)
    session.flush()
