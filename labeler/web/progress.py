"""A person's own progress: number, pace, and the last answers, which can be changed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from flask import Blueprint
from sqlalchemy.orm import Session

from labeler.assignment.presentation import as_seen
from labeler.campaigns import audience
from labeler.labels import ANSWERS
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.models.voting import Vote
from labeler.progress import annotator_progress
from labeler.progress.annotator_progress import OwnProgress, Pace, Review
from labeler.progress.campaign_progress import COUNTED_UP_TO
from labeler.voting import service as voting
from labeler.web import access, request_fields
from labeler.web.context import Page, account, db, render
from labeler.web.formatting import Statistic
from labeler.web.voting import (
    ChoosableCampaign,
    PageImage,
    answered_image,
    choosable_campaigns,
    scaled_size,
)

bp = Blueprint("progress", __name__)
RECENT = 10
ROOM = (178, 218)  # for an image of the last answers, in pixels
ADVICE = {
    "low_gold": "Some of your answers differ from answers that are known. Please read the "
    "guide again. Left and right are meant from your side, as you look at the "
    "image.",
    "too_fast": "Many of your answers came very quickly. Please take a second to look at each "
    "image.",
}


@dataclass(frozen=True, slots=True)
class CountRow:
    """A row of the macro `balance`: a word, and how often it occurs."""

    word: str
    count: int


@dataclass(frozen=True, slots=True)
class RecentVote:
    """One of the last answers, as the person saw it. `request_id`: for a new answer.

    `changed`: the person has just changed it here.
    """

    image: PageImage
    width: int
    height: int
    filename: str
    answer: str
    at: datetime
    request_id: str
    changed: bool


@dataclass(frozen=True, slots=True)
class OwnProgressPage(Page):
    """The own progress. Without votes the page shows how to start.

    `campaigns`: those in which the person may label, the current one first.
    """

    template = "progress/own.html"
    campaign: str
    votes: int
    statistics: list[Statistic]
    answers: list[CountRow]
    days: list[CountRow]
    recent: list[RecentVote]
    advice: list[str]
    paused_for: str | None
    campaigns: list[ChoosableCampaign]
    choices: tuple[str, ...] = ANSWERS


@bp.get("/me")
@access.signed_in
def own() -> tuple[str, int]:
    """The person's own progress, and that of the campaign."""
    with db().read() as session:
        campaign = audience.current_campaign(session, account().id)
        page = _page(session, campaign) if campaign else _empty()
    return render(page)


def _page(session: Session, campaign: Campaign) -> OwnProgressPage:
    me = account().id
    done = annotator_progress.own_progress(session, me)
    speed = annotator_progress.own_pace(session, me, campaign.id, now=utc_now())
    review = annotator_progress.own_review(session, me, campaign)
    return OwnProgressPage(
        campaign=campaign.name,
        votes=done.votes,
        statistics=_statistics(done, speed, review),
        answers=[CountRow(answer, speed.answers.get(answer, 0)) for answer in ANSWERS],
        days=[CountRow(_day(day), count) for day, count in speed.days],
        recent=[_recent(session, vote) for vote in voting.recent_answers(session, me, RECENT)],
        advice=[ADVICE[code] for code in review.advice],
        paused_for=review.paused_for,
        campaigns=choosable_campaigns(session),
    )


def _empty() -> OwnProgressPage:
    return OwnProgressPage("", 0, [], [], [], [], [], None, [])


def _left(done: OwnProgress) -> str:
    return f"over {COUNTED_UP_TO:,}" if done.remaining is None else f"{done.remaining:,}"


def _statistics(done: OwnProgress, speed: Pace, review: Review) -> list[Statistic]:
    figures = [
        Statistic("answers so far", f"{done.votes:,}"),
        Statistic("today (UTC)", f"{done.today:,}"),
        Statistic("images left for you", _left(done)),
    ]
    if speed.median_s is not None:
        figures.append(Statistic("median time per answer", f"{speed.median_s:.1f} s"))
    if speed.per_hour is not None:
        figures.append(Statistic("answers per hour today", f"{speed.per_hour:,}"))
    if review.gold_asked:
        known = f"{review.gold_right} of {review.gold_asked}"
        figures.append(Statistic("right on images with a known answer", known))
    return figures


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b}"


def _recent(session: Session, vote: Vote) -> RecentVote:
    image = session.get_one(Image, vote.image_id)
    shown = answered_image(vote.campaign_id, image, vote.mirrored)
    return RecentVote(
        shown,
        *scaled_size(shown.width, shown.height, ROOM),
        filename=image.filename,
        answer=as_seen(vote.answer, vote.mirrored) or "",
        at=vote.created_at,
        request_id=str(uuid.uuid4()),
        changed=image.id == request_fields.row_number("changed"),
    )
