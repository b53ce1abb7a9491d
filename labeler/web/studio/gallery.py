"""The gallery of turned heads, and two of them in one view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.errors import InvalidInput, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.rules.validation import read_whole
from labeler.studio.turns import PAGE, list_turns
from labeler.web import access, request_fields
from labeler.web.context import Page, db, render
from labeler.web.studio.access import find_turn, viewer
from labeler.web.studio.files import GONE, address_of
from labeler.web.studio.settings import (
    ComparedSetting,
    compare_settings,
    in_one_line,
)
from labeler.web.studio.views import TurnerView, TurnView, load_turner, new_turn_address, view_turn
from labeler.web.studio.words import TURNED, name_state, state_of

bp = Blueprint("studio_gallery", __name__, url_prefix="/studio")
CHOSEN = 2  # results that a comparison has


@dataclass(frozen=True, slots=True)
class GalleryRow:
    """A turned head of the gallery, with its state as a code and as a word.

    `thumbnail`: the address of a frame, "" without a result.
    """

    turn: TurnView
    state: str
    word: str
    settings: str
    thumbnail: str


@dataclass(frozen=True, slots=True)
class GalleryPage(Page):
    """The turned heads, a page at a time, the newest first.

    `own`: only those of the reader. `older`: first number of the next page, 0 at the end.
    `new`: the address of the form that turns a head.
    """

    template = "studio/gallery.html"
    rows: Sequence[GalleryRow]
    own: bool
    sees_all: bool
    older: int
    is_later: bool
    new: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two results that are compared."""

    turn: TurnView
    turner: TurnerView


@dataclass(frozen=True, slots=True)
class ComparisonPage(Page):
    """Two results in one view. `rows`: their settings, those that differ first."""

    template = "studio/compare.html"
    sides: tuple[Side, Side]
    rows: Sequence[ComparedSetting]


@bp.get("", endpoint="gallery")
@access.signed_in
def show_gallery() -> tuple[str, int]:
    """The turned heads, the newest first."""
    with db().read() as session:
        return render(_gallery(session))


@bp.get("/compare")
@access.signed_in
def compare() -> tuple[str, int] | Response:
    """Two results in one view; `result` twice, as the gallery sends them, or `a` and `b`."""
    ticked = request.args.getlist("result")
    try:
        if ticked:
            first, second = _two(ticked)
            return redirect(url_for("studio_gallery.compare", a=first, b=second), 303)
        numbers = request_fields.optional_row("a"), request_fields.optional_row("b")
        first, second = _two([str(one) for one in numbers if one is not None])
    except InvalidInput as error:
        with db().read() as session:
            return render(_gallery(session, error.message), error.status)
    with db().read() as session:
        return render(_comparison(session, first, second))


def _two(given: Sequence[str]) -> tuple[int, int]:
    numbers = [one for one in dict.fromkeys(map(read_whole, given)) if one is not None]
    if len(numbers) != CHOSEN:
        raise InvalidInput(_("Tick exactly two turned heads to compare them."))
    return numbers[0], numbers[1]


def _gallery(session: Session, problem: str = "") -> GalleryPage:
    me = viewer()
    own = request.args.get("of") == "me"
    before = request_fields.row_number("before") or None
    found = list_turns(session, me, own=own, limit=PAGE + 1, before_id=before)
    return GalleryPage(
        _rows(session, found[:PAGE]),
        own,
        me.role != "annotator",
        found[PAGE - 1].id if len(found) > PAGE else 0,
        before is not None,
        new_turn_address(),
        problem,
    )


def _rows(session: Session, turns: Sequence[HeadTurn]) -> list[GalleryRow]:
    states = _job_states(session, turns)
    rows = []
    for turn in turns:
        view = view_turn(session, turn)
        state = state_of(turn, states.get(turn.job_id or 0, ""))
        thumbnail = address_of(turn, "thumbnail") if state == TURNED else ""
        rows.append(
            GalleryRow(view, state, name_state(state), in_one_line(view.settings), thumbnail)
        )
    return rows


def _job_states(session: Session, turns: Sequence[HeadTurn]) -> dict[int, str]:
    wanted = {one.job_id for one in turns if one.job_id and one.finished_at is None}
    return dict(session.execute(select(Job.id, Job.state).where(Job.id.in_(wanted))).all())


def _comparison(session: Session, first: int, second: int) -> ComparisonPage:
    one, other = (_side(session, find_turn(session, number)) for number in (first, second))
    return ComparisonPage((one, other), compare_settings(one.turn.settings, other.turn.settings))


def _side(session: Session, turn: HeadTurn) -> Side:
    if turn.finished_at is None:
        raise NotFound(
            _("%(name)r has not been turned yet, so it cannot be compared.", name=turn.name)
        )
    loaded = load_turner(turn)
    if loaded is None:
        raise NotFound(_("%(name)r cannot be compared. %(why)s", name=turn.name, why=_(GONE)))
    return Side(view_turn(session, turn), loaded[1])
