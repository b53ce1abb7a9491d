"""The training: a picture, an answer, what is right, the next. Plain forms; no script needed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from labeler.services import training
from labeler.services.desk import load_desk
from labeler.services.training import Lesson, Round
from labeler.services.voting import Ballot
from labeler.web import access, forms
from labeler.web.routing import MAX_ID
from labeler.web.showing import Picture, answered_picture, picture_of, whole_size
from labeler.web.state import Page, account, db, render, settings

bp = Blueprint("training", __name__, url_prefix="/label/training")

PLACES = {
    "left": "the light comes from the left",
    "center": "neither side is clearly brighter, so the answer is center",
    "right": "the light comes from the right",
}


@dataclass(frozen=True, slots=True)
class TrainingPage(Page):
    """An exercise, or with `lesson` what is right of the one just answered."""

    template = "label/training.html"
    image: Picture
    image_width: int
    image_height: int
    round: Round
    needed: int
    lesson: Lesson | None
    sentence: str
    request_id: str


@bp.get("")
@access.signed_in
def exercise() -> Response | tuple[str, int]:
    """The next exercise; who is not in training goes on labelling."""
    vote_id = request.args.get("after", 0, type=int)
    if 0 < vote_id <= MAX_ID:
        return _lesson(vote_id)
    with db().write() as session:
        leased = training.next_exercise(session, account().id, settings=settings())
    if leased is None:
        return redirect(url_for("labelling.label"))
    return _page(picture_of(leased), None)


@bp.post("")
@access.signed_in
def answer() -> Response:
    """Check the answer to an exercise and explain it."""
    ballot = Ballot(forms.whole("image_id"), forms.text("answer"), forms.text("request_id"))
    with db().write() as session:
        vote = training.answer_exercise(session, account().id, ballot, settings=settings())
    return redirect(url_for("training.exercise", after=vote.vote_id), 303)


def _lesson(vote_id: int) -> tuple[str, int]:
    with db().read() as session:
        lesson = training.read_lesson(session, account().id, vote_id)
    return _page(answered_picture(lesson.image, mirrored=False), lesson)


def _page(image: Picture, lesson: Lesson | None) -> tuple[str, int]:
    with db().read() as session:
        desk = load_desk(session, account().id)
        done = training.read_round(session, desk) if desk else Round(0, 0, 0)
    needed = done.needed(desk.rules.pass_share) if desk else 0
    sentence = _sentence(lesson) if lesson else ""
    size = whole_size(image.width, image.height)
    return render(TrainingPage(image, *size, done, needed, lesson, sentence, str(uuid.uuid4())))


def _sentence(lesson: Lesson) -> str:
    """What to say of an answer."""
    if lesson.is_right:
        return f"Right: {PLACES[lesson.label]}."
    return f"Not quite: {PLACES[lesson.label]}. You answered {lesson.answer}."
