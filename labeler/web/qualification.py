"""The qualification: an image, an answer, an explanation, the next image."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from labeler.assignment.annotator_state import load_annotator_state
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.base import MAX_VOTE_ID
from labeler.qualification import service as qualification
from labeler.qualification.service import ExerciseFeedback, RoundProgress
from labeler.web import access, request_fields
from labeler.web.context import Page, account, db, render, settings
from labeler.web.status_reasons import write_reason
from labeler.web.voting import (
    PageImage,
    answered_image,
    form_answer,
    page_image,
    scaled_size,
)

bp = Blueprint("qualification", __name__, url_prefix="/label/training")
# What the light of an image shows, by its label.
RIGHT = {
    "left": mark("Correct: the light comes from the left."),
    "center": mark("Correct: neither side is clearly brighter, so the answer is center."),
    "right": mark("Correct: the light comes from the right."),
}
WRONG = {
    "left": mark("Not quite: the light comes from the left. You answered %(answer)s."),
    "center": mark(
        "Not quite: neither side is clearly brighter, so the answer is center. You answered "
        "%(answer)s."
    ),
    "right": mark("Not quite: the light comes from the right. You answered %(answer)s."),
}


@dataclass(frozen=True, slots=True)
class ExercisePage(Page):
    """An exercise. With `feedback`: the explanation of the exercise just answered.

    `round_result`: a sentence about the round, if that answer ended it; else empty.
    """

    template = "qualification/exercise.html"
    image: PageImage
    image_width: int
    image_height: int
    round: RoundProgress
    needed: int
    feedback: ExerciseFeedback | None
    sentence: str
    round_result: str
    request_id: str
    tries: int


@bp.get("")
@access.signed_in
def exercise() -> Response | tuple[str, int]:
    """The next exercise. People who need no qualification go to the labelling page."""
    vote_id = request_fields.row_number("after", MAX_VOTE_ID)
    if vote_id:
        return _show_feedback(vote_id)
    with db().write() as session:
        leased = qualification.next_exercise(session, account().id, settings=settings())
    if leased is None:
        return redirect(url_for("voting.label"))
    return _page(page_image(leased), None)


@bp.post("")
@access.signed_in
def answer() -> Response:
    """Check the answer to an exercise, and open its explanation."""
    submitted = form_answer()
    with db().write() as session:
        vote = qualification.answer_exercise(session, account().id, submitted, settings=settings())
    return redirect(url_for("qualification.exercise", after=vote.vote_id), 303)


def _show_feedback(vote_id: int) -> tuple[str, int]:
    with db().read() as session:
        feedback = qualification.read_feedback(session, account().id, vote_id)
    image = answered_image(feedback.campaign_id, feedback.image, mirrored=False)
    return _page(image, feedback)


def _page(image: PageImage, feedback: ExerciseFeedback | None) -> tuple[str, int]:
    with db().read() as session:
        annotator = load_annotator_state(session, account().id, image.campaign_id)
        done = qualification.read_round(session, annotator) if annotator else RoundProgress(0, 0, 0)
    needed = done.needed(annotator.rules.pass_share) if annotator else 0
    sentence = _sentence(feedback) if feedback else ""
    size = scaled_size(image.width, image.height)
    tries = annotator.rules.tries if annotator else 1
    result = write_reason(feedback.round_result) if feedback else ""
    new = str(uuid.uuid4())
    page = ExercisePage(image, *size, done, needed, feedback, sentence, result, new, tries)
    return render(page)


def _sentence(feedback: ExerciseFeedback) -> str:
    """Say whether an answer is right, and what the light shows."""
    if feedback.is_right:
        return _(RIGHT[feedback.label])
    answer = _(feedback.answer)
    if feedback.again:
        return _("Not quite. You answered %(answer)s. You have another try.", answer=answer)
    return _(WRONG[feedback.label], answer=answer)
