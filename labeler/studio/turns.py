"""Turns of heads as rows: created, listed, found, and who may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session

from labeler.audit.log import Actor, record
from labeler.config import Settings
from labeler.errors import InvalidInput, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.base import MAX_ID
from labeler.models.studio import MAX_TURN_NAME, HeadTurn

SEE_ALL = ("supervisor", "admin")  # the roles that see the turns of everybody
PAGE = 24


class Viewer(Protocol):
    """Somebody who looks: an account, by its id and role."""

    @property
    def id(self) -> int: ...

    @property
    def role(self) -> str: ...


@dataclass(frozen=True, slots=True)
class NewTurn:
    """What `create_turn` stores; see `HeadTurn`. `settings`: the choices as JSON values."""

    name: str
    source_name: str
    settings: dict[str, Any] = field(default_factory=dict)
    dataset_id: int | None = None
    campaign_id: int | None = None
    image_id: int | None = None
    subset_id: int | None = None
    keeps_upload: bool = False


def may_use_studio(viewer: Viewer, settings: Settings) -> bool:
    """Whether the studio is open to somebody: to annotators only if the site allows it."""
    return viewer.role in SEE_ALL or settings.studio_for_annotators


def get_turn(session: Session, turn_id: int, viewer: Viewer) -> HeadTurn:
    """Return a turn that the viewer may see.

    Supervisors and admins see all turns, annotators their own. Whether annotators may use the
    studio at all is asked by `may_use_studio`.

    Raises:
        NotFound: there is no such turn, or it is somebody else's.
    """
    turn = session.get(HeadTurn, turn_id) if 0 < turn_id <= MAX_ID else None
    if turn is None or not (viewer.role in SEE_ALL or turn.owner_id == viewer.id):
        raise NotFound(
            _("There is no turned head %(number)s. It may have been deleted.", number=turn_id)
        )
    return turn


def list_turns(
    session: Session,
    viewer: Viewer,
    *,
    finished: bool | None = None,
    own: bool = False,
    limit: int = PAGE,
    before_id: int | None = None,
) -> Sequence[HeadTurn]:
    """List the turns that the viewer may see, the newest first.

    Parameters:
        finished: only those with a result, or only those without; None: both.
        own: only the viewer's.
        before_id: only those that are older than this one, for the next page.
    """
    conditions = [_visible(viewer, own)]
    if finished is not None:
        ended = HeadTurn.finished_at
        conditions.append(ended.is_not(None) if finished else ended.is_(None))
    if before_id is not None:
        conditions.append(HeadTurn.id < min(before_id, MAX_ID))
    found = select(HeadTurn).where(*conditions).order_by(HeadTurn.id.desc())
    return session.scalars(found.limit(limit)).all()


def create_turn(session: Session, wanted: NewTurn, owner_id: int, by: Actor) -> HeadTurn:
    """Store a turn without a result. The caller queues its job and sets `job_id`.

    Raises:
        InvalidInput: the name is empty or too long.
    """
    turn = HeadTurn(
        owner_id=owner_id,
        name=check_name(wanted.name),
        dataset_id=wanted.dataset_id,
        campaign_id=wanted.campaign_id,
        image_id=wanted.image_id,
        subset_id=wanted.subset_id,
        source_name=wanted.source_name,
        keeps_upload=wanted.keeps_upload,
        settings=wanted.settings,
    )
    session.add(turn)
    session.flush()
    record(session, "turn_created", by, ("turn", turn.id), upload=wanted.image_id is None)
    return turn


def check_name(name: str) -> str:
    """Return the name of a turn as it is stored: trimmed.

    Raises:
        InvalidInput: it is empty, too long or has more than one line.
    """
    name = name.strip()
    if not 1 <= len(name) <= MAX_TURN_NAME or not name.isprintable():
        raise InvalidInput(
            _("Enter a name of 1 to %(most)s characters, in one line.", most=MAX_TURN_NAME)
        )
    return name


def _visible(viewer: Viewer, own: bool) -> ColumnElement[bool]:
    if own or viewer.role not in SEE_ALL:
        return HeadTurn.owner_id == viewer.id
    return true()
