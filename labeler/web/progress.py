"""A person's own progress: number, pace, and all their answers, which can be changed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, request, url_for
from sqlalchemy.orm import Session

from labeler.assignment.presentation import as_seen
from labeler.campaigns import audience
from labeler.flags.service import flags_of_person
from labeler.labels import ANSWERS
from labeler.languages.numbers import write_number, write_weekday
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.messages.service import MAX_LENGTH
from labeler.models.base import MAX_VOTE_ID, utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.models.voting import Vote
from labeler.progress import annotator_progress
from labeler.progress.annotator_progress import OwnProgress, Pace, Review
from labeler.progress.campaign_progress import COUNTED_UP_TO
from labeler.returns import service as returns
from labeler.voting.answers import list_own_answers
from labeler.web import access, request_fields
from labeler.web.browser_cookies import time_zone
from labeler.web.context import Page, account, db, render
from labeler.web.flags import FlagRow, flag_row
from labeler.web.formatting import Statistic
from labeler.web.status_reasons import write_reason
from labeler.web.voting import (
    TILE_ROOM,
    ChoosableCampaign,
    PageImage,
    answered_image,
    choosable_campaigns,
    scaled_size,
)

bp = Blueprint("progress", __name__)
PAGE = 24  # answers of a page
ADVICE = {
    "low_gold": mark(
        "Some of your answers differ from answers that are known. Please read the guide again. "
        "Left and right are meant from your side, as you look at the image."
    ),
    "too_fast": mark(
        "Many of your answers came very quickly. Please take a second to look at each image."
    ),
}


@dataclass(frozen=True, slots=True)
class CountRow:
    """A row of the macro `balance`: a word, and how often it occurs."""

    word: str
    count: int


@dataclass(frozen=True, slots=True)
class OwnVote:
    """An answer as the person saw it. `request_id`: for a new answer.

    `back`: the place on the page to return to. `changed`: the person has just changed it here.
    `flag`: the address of the form to flag the image.
    """

    image: PageImage
    width: int
    height: int
    filename: str
    answer: str
    at: datetime
    request_id: str
    back: str
    flag: str
    changed: bool


@dataclass(frozen=True, slots=True)
class ReturnedVoteRow:
    """An answer that a supervisor has sent back, and the name of its campaign."""

    vote: OwnVote
    campaign: str


@dataclass(frozen=True, slots=True)
class OwnAnswers:
    """A page of the own answers. `answer`: the filter. `next`, `first`: addresses, or ""."""

    answer: str
    recent: Sequence[OwnVote] = ()
    next: str = ""
    first: str = ""
    flags: Sequence[FlagRow] = ()


@dataclass(frozen=True, slots=True)
class OwnProgressPage(Page):
    """The own progress. Without votes the page shows how to start.

    `campaigns`: those in which the person may label, the current one first. `returned`: answers
    that a supervisor has sent back, of all campaigns; there are `returned_count` of them in all.
    `names_campaigns`: not all of them are of the campaign that the page is about.
    """

    template = "progress/own.html"
    campaign: str
    votes: int
    statistics: Sequence[Statistic]
    answers: Sequence[CountRow]
    days_title: str
    days: Sequence[CountRow]
    own: OwnAnswers
    advice: Sequence[str]
    paused_for: str | None
    campaigns: list[ChoosableCampaign]
    returned: Sequence[ReturnedVoteRow]
    returned_count: int
    names_campaigns: bool
    choices: tuple[str, ...] = ANSWERS
    max_message: int = MAX_LENGTH


@bp.get("/me")
@access.signed_in
def own() -> tuple[str, int]:
    """The person's own progress, and that of the campaign."""
    with db().read() as session:
        campaign = audience.current_campaign(session, account().id)
        page = _page(session, campaign) if campaign else _empty(session)
    return render(page)


def _page(session: Session, campaign: Campaign) -> OwnProgressPage:
    me, now, zone = account().id, utc_now(), time_zone()
    done = annotator_progress.own_progress(session, me, now=now, zone=zone)
    speed = annotator_progress.own_pace(session, me, campaign.id, now=now, zone=zone)
    review = annotator_progress.own_review(session, me, campaign)
    return OwnProgressPage(
        campaign=campaign.name,
        votes=done.votes,
        statistics=_statistics(done, speed, review, _utc_mark()),
        answers=[CountRow(_(answer), speed.answers.get(answer, 0)) for answer in ANSWERS],
        days_title=_("By day") + _utc_mark(),
        days=[CountRow(write_weekday(day), count) for day, count in speed.days],
        own=_own_answers(session, campaign),
        advice=[_(ADVICE[code]) for code in review.advice],
        paused_for=write_reason(review.paused_for) if review.paused_for else review.paused_for,
        campaigns=choosable_campaigns(session),
        **_returned(session, campaign),
    )


def _empty(session: Session) -> OwnProgressPage:
    returned = _returned(session, None)
    return OwnProgressPage("", 0, (), (), "", (), OwnAnswers(""), (), None, [], **returned)


def _returned(session: Session, campaign: Campaign | None) -> dict[str, Any]:
    """Return what the page says of answers that were sent back.

    Parameters:
        campaign: the one that the rest of the page is about.
    """
    found = returns.list_returned(session, account().id, limit=PAGE)
    return {
        "returned": [
            ReturnedVoteRow(_own_vote(one.vote, one.image, {}), one.campaign.name) for one in found
        ],
        "returned_count": returns.count_returned(session, account().id),
        "names_campaigns": any(campaign is None or one.campaign.id != campaign.id for one in found),
    }


def _utc_mark() -> str:
    """Return what follows the word for a day if the time zone of the browser is not known."""
    return " (UTC)" if time_zone() is UTC else ""


def _own_answers(session: Session, campaign: Campaign) -> OwnAnswers:
    """Return the answers that the address asks for, and the open flags."""
    me = account().id
    answer = request.args.get("answer", "")
    before = request_fields.row_number("before", MAX_VOTE_ID)
    found = list_own_answers(session, me, campaign.id, answer=answer, before=before, limit=PAGE + 1)
    shown = found[:PAGE]
    query: dict[str, Any] = {"answer": answer} if answer else {}
    here = {**query, "before": before} if before else query
    return OwnAnswers(
        answer,
        [_own_vote(one.vote, one.image, here) for one in shown],
        url_for("progress.own", **query, before=shown[-1].place) if len(found) > PAGE else "",
        url_for("progress.own", **query) if before else "",
        [flag_row(one) for one in flags_of_person(session, me, campaign.id, limit=PAGE)],
    )


def _left(done: OwnProgress) -> str:
    if done.remaining is None:
        return _("over %(count)s", count=write_number(COUNTED_UP_TO))
    return write_number(done.remaining)


def _statistics(done: OwnProgress, speed: Pace, review: Review, utc: str) -> list[Statistic]:
    figures = [
        Statistic(_("answers so far"), write_number(done.votes)),
        Statistic(_("today") + utc, write_number(done.today)),
        Statistic(_("images left for you"), _left(done)),
    ]
    if speed.median_s is not None:
        figures.append(
            Statistic(_("median time per answer"), f"{write_number(speed.median_s, 1)} s")
        )
    if speed.per_hour is not None:
        figures.append(Statistic(_("answers per hour today"), write_number(speed.per_hour)))
    if review.gold_asked:
        known = _("%(part)s of %(whole)s", part=review.gold_right, whole=review.gold_asked)
        figures.append(Statistic(_("right on images with a known answer"), known))
    return figures


def _own_vote(vote: Vote, image: Image, here: dict[str, Any]) -> OwnVote:
    shown = answered_image(vote.campaign_id, image, vote.mirrored)
    anchor = f"answer-{image.id}"
    return OwnVote(
        shown,
        *scaled_size(shown.width, shown.height, TILE_ROOM),
        filename=image.filename,
        answer=as_seen(vote.answer, vote.mirrored) or "",
        at=vote.created_at,
        request_id=str(uuid.uuid4()),
        back=url_for("progress.own", **here, changed=image.id, _anchor=anchor),
        flag=url_for(
            "flags.new",
            image=image.id,
            of=vote.campaign_id,
            back=url_for("progress.own", **here, _anchor=anchor),
        ),
        changed=image.id == request_fields.row_number("changed"),
    )
