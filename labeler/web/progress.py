"""A person's own page: how much they have done, and what they answered last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint
from sqlalchemy.orm import Session

from labeler.domain.labels import ANSWERS
from labeler.models import Image, Vote
from labeler.services import overview, progress, voting
from labeler.services.viewing import as_seen
from labeler.web import access
from labeler.web.pictures import address_of
from labeler.web.state import Page, account, db, render

bp = Blueprint("progress", __name__)

RECENT = 10


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with the word for it."""

    word: str
    value: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How often an answer was given."""

    word: str
    count: int


@dataclass(frozen=True, slots=True)
class RecentVote:
    """One of the last answers, with its picture."""

    url: str
    width: int
    height: int
    mirrored: bool
    filename: str
    answer: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OwnProgressPage(Page):
    """`votes` 0 shows how to begin."""

    template = "label/progress.html"
    votes: int
    figures: list[Figure]
    answers: list[Tally]
    recent: list[RecentVote]


@bp.get("/me")
@access.signed_in
def own() -> tuple[str, int]:
    with db().read() as session:
        done = progress.own_progress(session, account().id)
        counts = overview.count_answers(session, account().id)
        recent = [
            _recent(session, vote) for vote in voting.recent_votes(session, account().id, RECENT)
        ]
    figures = [
        Figure("answers so far", f"{done.votes:,}"),
        Figure("today", f"{done.today:,}"),
        Figure("pictures left for you", f"{done.remaining:,}"),
    ]
    tallies = [Tally(answer, counts.get(answer, 0)) for answer in ANSWERS]
    return render(OwnProgressPage(done.votes, figures, tallies, recent))


def _recent(session: Session, vote: Vote) -> RecentVote:
    image = session.get_one(Image, vote.image_id)
    address = address_of(image.id, image.sha256)
    size = image.width or 0, image.height or 0
    answer = as_seen(vote.answer, vote.mirrored) or ""
    return RecentVote(address, *size, vote.mirrored, image.filename, answer, vote.created_at)
