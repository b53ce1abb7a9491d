"""A person's own progress in their current campaign. Nobody is ranked or named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from itertools import pairwise
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, literal, select
from sqlalchemy.orm import Session

from labeler.assignment.presentation import as_seen
from labeler.campaigns.audience import current_campaign_of
from labeler.labels import ANSWERS
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Consensus, Skill
from labeler.models.voting import Vote
from labeler.progress.campaign_progress import COUNTED_UP_TO
from labeler.progress.days import midnights

TIMED = 200  # newest answers used for the median time
PAUSE_S = 120  # a longer gap between answers is a pause
DAYS = 7
ADVICE = ("low_gold", "too_fast")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a person answers.

    Attributes:
        median_s: median time of the last answers in seconds.
        per_hour: answers per hour of work today.
        days: number of answers on each of the last `DAYS` days with any, oldest first.
        answers: how often each answer was given.
    """

    median_s: float | None = None
    per_hour: int | None = None
    days: Sequence[tuple[date, int]] = ()
    answers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Review:
    """What a person may know about the quality of their answers.

    Attributes:
        gold_right, gold_asked: answers to gold questions; None if people are not told.
        advice: codes of `annotator_flags` for which advice helps.
        paused_for: why the person is paused; None: the person is not.
    """

    gold_right: int | None
    gold_asked: int | None
    advice: Sequence[str]
    paused_for: str | None


def own_pace(
    session: Session,
    annotator_id: int,
    campaign_id: int,
    *,
    now: datetime,
    zone: tzinfo = UTC,
) -> Pace:
    """Return how fast the person answers, and what; four statements.

    Parameters:
        zone: days start at midnight of this time zone.
    """
    mine = _counted(annotator_id, campaign_id)
    days = midnights(now, DAYS, zone)
    elapsed = session.scalars(
        select(Vote.elapsed_ms)
        .where(mine, Vote.elapsed_ms.is_not(None))
        .order_by(Vote.id.desc())
        .limit(TIMED)
    ).all()
    today = session.scalars(
        select(Vote.created_at).where(mine, Vote.created_at >= days[-2]).order_by(Vote.created_at)
    ).all()
    return Pace(
        median_s=median(ms for ms in elapsed if ms is not None) / 1000 if elapsed else None,
        per_hour=answers_per_hour(today),
        days=_days(session, mine, days, zone),
        answers=_answers(session, mine),
    )


def answers_per_hour(times: Sequence[datetime]) -> int | None:
    """Return answers per hour without pauses, or None without two answers in a row.

    Parameters:
        times: of the answers, in order.
    """
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    worked = [gap for gap in gaps if gap <= PAUSE_S]
    return round(3600 * len(worked) / sum(worked)) if sum(worked) > 0 else None


def own_review(session: Session, annotator_id: int, campaign: Campaign) -> Review:
    """Return what the person may know; at most three statements.

    The counts are those of the last refresh. Newer ones would reveal which image was gold.
    """
    who = campaign.id, annotator_id
    skill = session.get(Skill, who)
    flagged = [code for code, _ in skill.flags] if skill else []
    told = skill is not None and _may_know(session, campaign)
    return Review(
        gold_right=skill.figures.get("gold_right") if skill and told else None,
        gold_asked=skill.figures.get("gold_asked") if skill and told else None,
        advice=[code for code in ADVICE if code in flagged],
        paused_for=paused_for(session, annotator_id, campaign.id),
    )


def paused_for(session: Session, annotator_id: int, campaign_id: int) -> str | None:
    """Return why a person is paused in a campaign; None if they are not."""
    participation = session.get(Participation, (campaign_id, annotator_id))
    paused = participation is not None and participation.status == "paused"
    return participation.reason if participation is not None and paused else None


def _may_know(session: Session, campaign: Campaign) -> bool:
    """Whether people see their results on gold: with a qualification, or after the campaign."""
    is_open = exists().where(Consensus.campaign_id == campaign.id, Consensus.status == "open")
    return campaign.parsed_rules.training > 0 or not session.scalar(select(is_open))


def _days(
    session: Session, mine: ColumnElement[bool], edges: Sequence[datetime], zone: tzinfo
) -> list[tuple[date, int]]:
    counts = session.execute(
        select(
            *(
                func.count(case((and_(Vote.created_at >= start, Vote.created_at < end), 1)))
                for start, end in pairwise(edges)
            )
        ).where(mine, Vote.created_at >= edges[0])
    ).one()
    dates = [start.astimezone(zone).date() for start in edges[:-1]]
    return [(day, n) for day, n in zip(dates, counts, strict=True) if n]


def _answers(session: Session, mine: ColumnElement[bool]) -> dict[str, int]:
    """Count the answers, as the person saw the images."""
    counts = dict.fromkeys(ANSWERS, 0)
    rows: Any = session.execute(
        select(Vote.answer, Vote.mirrored, func.count())
        .where(mine)
        .group_by(Vote.answer, Vote.mirrored)
    )
    for answer, mirrored, n in rows:
        counts[as_seen(answer, mirrored) or ""] += n
    return counts


def _counted(annotator_id: int, campaign_id: int) -> ColumnElement[bool]:
    return and_(
        Vote.annotator_id == annotator_id,
        Vote.campaign_id == campaign_id,
        Vote.counts,
    )


def count_votes(
    session: Session,
    campaign_id: int | None = None,
    annotator_id: int | None = None,
    among: Sequence[int] | None = None,
) -> dict[int, int]:
    """Return how many votes of each person count, by id; people without any are missing.

    Superseded votes and exercises of the qualification do not count, as in `own_progress` and in
    the figures of quality.

    Parameters:
        campaign_id: only votes in this campaign; None: in all campaigns.
        annotator_id: only votes of this person; None: of everybody.
        among: only votes of these people; None: of everybody.
    """
    # Everybody is named too, since the index has the votes by person.
    people: Any = select(Annotator.id) if among is None else among
    query = select(Vote.annotator_id, func.count()).where(
        Vote.counts, Vote.annotator_id.in_(people)
    )
    if annotator_id is not None:
        query = query.where(Vote.annotator_id == annotator_id)
    if campaign_id is not None:
        query = query.where(Vote.campaign_id == campaign_id)
    return dict(session.execute(query.group_by(Vote.annotator_id)).all())


@dataclass(frozen=True, slots=True)
class OwnProgress:
    """How much a person has done.

    Attributes:
        votes: votes that count in the current campaign of the person.
        today: votes since midnight.
        remaining: open images that the person has not answered; None: more than `COUNTED_UP_TO`.
    """

    votes: int
    today: int
    remaining: int | None


def own_progress(
    session: Session,
    annotator_id: int,
    *,
    now: datetime | None = None,
    zone: tzinfo = UTC,
    counted_up_to: int = COUNTED_UP_TO,
) -> OwnProgress:
    """Return the progress of a person in their current campaign; at most two statements.

    Parameters:
        zone: today starts at midnight of this time zone.
        counted_up_to: with more images left, `remaining` is None.
    """
    now = now or utc_now()
    midnight, _ = midnights(now, 1, zone)
    mine = and_(
        Vote.campaign_id == Campaign.id,
        Vote.annotator_id == annotator_id,
        Vote.counts,
    )
    row = session.execute(
        select(
            Campaign.id,
            func.count(Vote.id).label("votes"),
            func.count(case((Vote.created_at >= midnight, 1))).label("today"),
            func.count(case((Consensus.status == "open", 1))).label("answered_open"),
        )
        .outerjoin(Vote, mine)
        .outerjoin(
            Consensus,
            and_(Consensus.campaign_id == Campaign.id, Consensus.image_id == Vote.image_id),
        )
        .where(Campaign.id == current_campaign_of(annotator_id, now))
        .group_by(Campaign.id)
    ).one_or_none()
    if row is None:
        return OwnProgress(0, 0, 0)
    most = row.answered_open + counted_up_to
    n_open = _count_open(session, row.id, most + 1)
    remaining = None if n_open > most else max(0, n_open - row.answered_open)
    return OwnProgress(row.votes, row.today, remaining)


def _count_open(session: Session, campaign_id: int, limit: int) -> int:
    """Count the open images of a campaign up to `limit`, so that the index scan stays short."""
    found = (
        select(literal(1))
        .where(Consensus.campaign_id == campaign_id, Consensus.status == "open")
        .limit(limit)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(found)) or 0
