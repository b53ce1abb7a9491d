"""The characters that answer and act on the pages where people judge images, for each person.

Speech input and a hand that trembles press single characters by accident. So everybody can change
each of them or turn it off (WCAG 2.1.4). Arrow keys, Enter and Escape always work.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator

DEFAULT_KEYS = {
    "left": "1",
    "center": "2",
    "right": "3",
    "unsure": "u",
    "undo": "z",
    "help": "?",
    "gold": "g",
    "skip": "s",
    "flag": "f",
}
"""The character of each action, for people who have changed none."""


def keys_of(stored: Mapping[str, str] | None) -> dict[str, str]:
    """The character of each action; "" for one that is turned off.

    Parameters:
        stored: `Annotator.keys`; an action that it lacks, since it came later, keeps its default
            unless the person uses that character for another action.
    """
    chosen = stored or {}
    free = {
        action: "" if default in chosen.values() else default
        for action, default in DEFAULT_KEYS.items()
    }
    return {action: chosen.get(action, free[action]) for action in DEFAULT_KEYS}


def save_keys(session: Session, annotator_id: int, wanted: Mapping[str, str]) -> None:
    """Store the characters of a person; actions that are missing are turned off.

    Raises:
        InvalidInput: more than one character for an action, a blank, or one for two actions.
    """
    chosen = {action: _character(wanted.get(action, "")) for action in DEFAULT_KEYS}
    used = [character for character in chosen.values() if character]
    double = next((each for each in used if used.count(each) > 1), None)
    if double is not None:
        raise InvalidInput(
            _("The key %(double)s is chosen twice. Choose another one.", double=double)
        )
    session.get_one(Annotator, annotator_id).keys = None if chosen == DEFAULT_KEYS else chosen
    session.flush()


def _character(given: str) -> str:
    character = given.strip().lower()
    if len(character) > 1 or not character.isprintable():
        raise InvalidInput(
            _("%(given)r is not a key. Enter one character or nothing.", given=given.strip()[:20])
        )
    return character
