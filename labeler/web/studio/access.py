"""Who may use the studio: supervisors and admins, and annotators if the site allows it."""

from __future__ import annotations

from flask import Flask
from sqlalchemy.orm import Session

from labeler.errors import Forbidden
from labeler.languages.texts import gettext as _
from labeler.models.studio import HeadTurn
from labeler.studio.turns import get_turn, may_use_studio
from labeler.web.context import Account, account, account_or_none, manages, settings
from labeler.web.studio.words import name_angle


def viewer() -> Account:
    """Return who looks.

    Raises:
        Forbidden: the studio is not open to this person.
    """
    me = account()
    if not may_use_studio(me, settings()):
        raise Forbidden(
            _(
                "The studio is not open to annotators on this site. "
                "Ask the person who runs the labelling."
            )
        )
    return me


def find_turn(session: Session, turn_id: int) -> HeadTurn:
    """Return a turn that the person of this request may see.

    Raises:
        Forbidden: the studio is not open to this person.
        NotFound: there is no such turn, or it is somebody else's.
    """
    return get_turn(session, turn_id, viewer())


def is_open_to_annotator() -> bool:
    """Return whether an annotator looks who may use the studio; others reach it by Manage."""
    me = account_or_none()
    return me is not None and not manages() and may_use_studio(me, settings())


def register(app: Flask) -> None:
    """Give the templates `studio_for_annotator`, and the filter `angle`."""
    app.jinja_env.globals["studio_for_annotator"] = is_open_to_annotator
    app.jinja_env.filters["angle"] = name_angle
