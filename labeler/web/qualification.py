"""The training: a picture, an answer, what is right, the next. Plain forms; no script needed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from labeler.assignment.annotator_state import load_annotator_state
from labeler.qualification import service as qualification
from labeler.qualification.service import Lesson, Round
from labeler.voting.service import SubmittedAnswer
from labeler.web import access, request_fields
from labeler.web.context import Page, account, db, render, settings
from labeler.web.converters import MAX_ID
from labeler.web.voting import Picture, answered_picture, picture_of, whole_size

bp = Blueprint("qualification", __name__, url_prefix="/label/training")

PLACES = {
    "left": "the light comes from the left",
    "center": "neither side is clearly brighter, so the answer is center",
    "right": "the light comes from the right",
}


@dataclass(frozen=True, slots=True)
class TrainingPage(Page):
    """An exercise, or with `lesson` what is right of the one just answered."""

    template = "qualification/exercise.html"
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
        leased = qualification.next_exercise(session, account().id, settings=settings())
    if leased is None:
        return redirect(url_for("voting.label"))
    return _page(picture_of(leased), None)


@bp.post("")
@access.signed_in
def answer() -> Response:
    """Check the answer to an exercise and explain it."""
    submitted = SubmittedAnswer(
        request_fields.whole("image_id"),
        request_fields.text("answer"),
        request_fields.text("request_id"),
    )
    with db().write() as session:
        vote = qualification.answer_exercise(session, account().id, submitted, settings=settings())
    return redirect(url_for("qualification.exercise", after=vote.vote_id), 303)


def _lesson(vote_id: int) -> tuple[str, int]:
    with db().read() as session:
        lesson = qualification.read_lesson(session, account().id, vote_id)
    return _page(answered_picture(lesson.image, mirrored=False), lesson)


def _page(image: Picture, lesson: Lesson | None) -> tuple[str, int]:
    with db().read() as session:
        annotator = load_annotator_state(session, account().id)
        done = qualification.read_round(session, annotator) if annotator else Round(0, 0, 0)
    needed = done.needed(annotator.rules.pass_share) if annotator else 0
    sentence = _sentence(lesson) if lesson else ""
    size = whole_size(image.width, image.height)
    return render(TrainingPage(image, *size, done, needed, lesson, sentence, str(uuid.uuid4())))


def _sentence(lesson: Lesson) -> str:
    """What to say of an answer."""
    if lesson.is_right:
        return f"Right: {PLACES[lesson.label]}."
    return f"Not quite: {PLACES[lesson.label]}. You answered {lesson.answer}."
