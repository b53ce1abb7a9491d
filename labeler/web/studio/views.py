"""Parts that several pages of the studio show: a turned head, its frames and its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import url_for
from sqlalchemy.orm import Session

from labeler.languages.texts import gettext as _
from labeler.models.studio import HeadTurn
from labeler.studio.files import result_folder
from labeler.studio.pictures import SOURCE, measure_pictures
from labeler.studio.results import TurnResult, read_result
from labeler.web.context import manages, settings
from labeler.web.person_name import PersonName, name_person
from labeler.web.studio.engine import tell_engine
from labeler.web.studio.files import address_of
from labeler.web.studio.settings import Setting, describe_settings
from labeler.web.studio.words import name_angle, name_measured_angle


@dataclass(frozen=True, slots=True)
class FrameView:
    """A frame. `picture`: its address as pages show it; `file`: that of its file.

    `doubt`: why it may not be good, "" if nothing speaks against it.
    """

    yaw_deg: float
    angle: str
    picture: str
    file: str
    doubt: str


@dataclass(frozen=True, slots=True)
class TurnerView:
    """What turns under the slider: the source, and the frames by their yaw.

    `width`, `height`: of each picture, in pixels. `first`: the place of the frame that is shown
    at first.
    """

    source: str
    source_angle: str
    frames: Sequence[FrameView]
    width: int
    height: int
    first: int
    strip_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TurnView:
    """A turned head as pages name it: what it is, who made it, and its settings in words.

    `source_address`: of the page about the source, "" without one, or if the reader may not see it.
    """

    id: int
    name: str
    source_name: str
    source_address: str
    owner: PersonName
    created_at: datetime
    finished_at: datetime | None
    settings: Sequence[Setting]

    @property
    def short_source(self) -> str:
        """Return the name of the source without its folders."""
        return self.source_name.rpartition("/")[2]


def view_turn(session: Session, turn: HeadTurn) -> TurnView:
    """Return how pages name a turned head."""
    linked = turn.image_id is not None and manages()
    return TurnView(
        turn.id,
        turn.name,
        turn.source_name,
        url_for("image_history.image", image_id=turn.image_id) if linked else "",
        name_person(turn.owner),
        turn.created_at,
        turn.finished_at,
        describe_settings(session, turn),
    )


def view_turner(turn: HeadTurn, result: TurnResult) -> TurnerView | None:
    """Return source and frames of a result; None if its strip is damaged."""
    sizes = measure_pictures(result_folder(settings().home, turn), result)
    if sizes is None:
        return None
    frames = [
        FrameView(
            frame.yaw_deg,
            name_angle(frame.yaw_deg),
            address_of(turn, "picture", number=number),
            address_of(turn, "file", result_file=frame.file),
            _doubt(frame.doubt, frame.reached),
        )
        for number, frame in enumerate(result.frames, SOURCE + 1)
    ]
    return TurnerView(
        address_of(turn, "picture", number=SOURCE),
        name_measured_angle(result.source_yaw_deg),
        sorted(frames, key=lambda one: one.yaw_deg),
        *sizes.picture,
        len(frames) // 2,
        sizes.strip,
    )


def load_turner(turn: HeadTurn) -> tuple[TurnResult, TurnerView] | None:
    """Return the result of a turn and how it is shown; None if its files are gone or damaged."""
    result = read_result(result_folder(settings().home, turn))
    turner = view_turner(turn, result) if result is not None else None
    return (result, turner) if result is not None and turner is not None else None


def new_turn_address(turn: HeadTurn | None = None) -> str:
    """Return the address of the form that turns a head.

    Parameters:
        turn: the form begins with its source and settings.
    """
    return url_for("studio_new.new_turn", turn=turn.id if turn is not None else None)


def _doubt(doubt: str, reached: bool | None) -> str:
    """Say in words what speaks against a frame."""
    if doubt:
        told = tell_engine(doubt)
        return told[0].upper() + told[1:] + "."
    return _("The head does not reach this angle.") if reached is False else ""
