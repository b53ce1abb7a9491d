"""The qualification: an image, an answer, an explanation, the next image."""

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
from labeler.web.voting import PageImage, answered_image, page_image, scaled_size

bp = Blueprint("qualification", __name__, url_prefix="/label/training")
PLACES = {
    "left": "the light comes from the left",
    "center": "neither side is clearly brighter, so the answer is center",
    "right": "the light comes from the right",
}


@dataclass(frozen=True, slots=True)
class ExercisePage(Page):
    """An exercise. With `lesson`: the explanation of the exercise just answered."""

    template = "qualification/exercise.html"
    image: PageImage
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
    """The next exercise. People who need no qualification go to the labelling page."""
    vote_id = request.args.get("after", 0, type=int)
    if 0 < vote_id <= MAX_ID:
        return _lesson(vote_id)
    with db().write() as session:
        leased = qualification.next_exercise(session, account().id, settings=settings())
    if leased is None:
        return redirect(url_for("voting.label"))
    return _page(page_image(leased), None)


@bp.post("")
@access.signed_in
def answer() -> Response:
    """Check the answer to an exercise, and open its explanation."""
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
    return _page(answered_image(lesson.image, mirrored=False), lesson)


def _page(image: PageImage, lesson: Lesson | None) -> tuple[str, int]:
    with db().read() as session:
        annotator = load_annotator_state(session, account().id)
        done = qualification.read_round(session, annotator) if annotator else Round(0, 0, 0)
    needed = done.needed(annotator.rules.pass_share) if annotator else 0
    sentence = _sentence(lesson) if lesson else ""
    size = scaled_size(image.width, image.height)
    return render(ExercisePage(image, *size, done, needed, lesson, sentence, str(uuid.uuid4())))


def _sentence(lesson: Lesson) -> str:
    """Say whether an answer is right, and what the light shows."""
    if lesson.is_right:
        return f"Right: {PLACES[lesson.label]}."
    return f"Not quite: {PLACES[lesson.label]}. You answered {lesson.answer}."
