"""How a person gets on in the active campaign, for their own eyes: no ranking, no names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, literal, select
from sqlalchemy.orm import Session

from labeler.assignment.presentation import as_seen
from labeler.labels import ANSWERS
from labeler.models import Campaign, Consensus, Participation, Skill, Vote, utc_now
from labeler.progress.campaign_progress import COUNTED_UP_TO

TIMED = 200  # newest answers whose median is taken
PAUSE_S = 120  # who answers nothing for so long is taken not to work
DAYS = 7
_DAY = timedelta(days=1)
ADVICE = ("low_gold", "too_fast")


@dataclass(frozen=True, slots=True)
class Pace:
    """`median_s`: of the last answers, from the picture to the answer; `per_hour`: answers per
    hour of work today; `days`: answers of each of the last `DAYS` days with any, oldest first."""

    median_s: float | None = None
    per_hour: int | None = None
    days: Sequence[tuple[date, int]] = ()
    answers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Review:
    """What the person may know of how good their answers are.

    `gold_right` of `gold_asked`: None where people are not told. `advice`: codes of
    `statistics.annotator_flags` for which a word helps.
    """

    gold_right: int | None
    gold_asked: int | None
    advice: Sequence[str]
    paused_for: str | None


def own_pace(session: Session, annotator_id: int, campaign_id: int, *, now: datetime) -> Pace:
    """How fast the person answers, and what; four statements."""
    mine = _counted(annotator_id, campaign_id)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    elapsed = session.scalars(
        select(Vote.elapsed_ms)
        .where(mine, Vote.elapsed_ms.is_not(None))
        .order_by(Vote.id.desc())
        .limit(TIMED)
    ).all()
    today = session.scalars(
        select(Vote.created_at).where(mine, Vote.created_at >= midnight).order_by(Vote.created_at)
    ).all()
    return Pace(
        median_s=median(ms for ms in elapsed if ms is not None) / 1000 if elapsed else None,
        per_hour=answers_per_hour(today),
        days=_days(session, mine, midnight),
        answers=_answers(session, mine),
    )


def answers_per_hour(times: Sequence[datetime]) -> int | None:
    """Answers per hour of work, without the pauses; None for fewer than 2 answers in a row.

    Parameters:
        times: of the answers, in order.
    """
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    worked = [gap for gap in gaps if gap <= PAUSE_S]
    return round(3600 * len(worked) / sum(worked)) if sum(worked) > 0 else None


def own_review(session: Session, annotator_id: int, campaign: Campaign) -> Review:
    """What the person may know; three statements at most.

    The counts are those of the last refresh: fresh ones would tell which picture was gold.
    """
    who = campaign.id, annotator_id
    status = session.get(Participation, who)
    skill = session.get(Skill, who)
    flagged = [code for code, _ in skill.flags] if skill else []
    told = skill is not None and _may_know(session, campaign)
    paused = status is not None and status.status == "paused"
    return Review(
        gold_right=skill.figures.get("gold_right") if skill and told else None,
        gold_asked=skill.figures.get("gold_asked") if skill and told else None,
        advice=[code for code in ADVICE if code in flagged],
        paused_for=status.reason if status is not None and paused else None,
    )


def _may_know(session: Session, campaign: Campaign) -> bool:
    """Whether people are told how they do on gold: where they are taught, or when all is done."""
    is_open = exists().where(Consensus.campaign_id == campaign.id, Consensus.status == "open")
    return campaign.parsed_rules.training > 0 or not session.scalar(select(is_open))


def _days(
    session: Session, mine: ColumnElement[bool], midnight: datetime
) -> list[tuple[date, int]]:
    starts = [midnight - timedelta(days=back) for back in reversed(range(DAYS))]
    counts = session.execute(
        select(
            *(
                func.count(
                    case(
                        (and_(Vote.created_at >= start, Vote.created_at < start + _DAY), 1),
                    )
                )
                for start in starts
            )
        ).where(mine, Vote.created_at >= starts[0])
    ).one()
    return [(start.date(), n) for start, n in zip(starts, counts, strict=True) if n]


def _answers(session: Session, mine: ColumnElement[bool]) -> dict[str, int]:
    """How often each answer was given, as the person saw the pictures."""
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


@dataclass(frozen=True, slots=True)
class OwnProgress:
    """`votes` that count in the active campaign; `today` since midnight UTC; `remaining`: images
    that are open and that the person has not answered, None if more than `COUNTED_UP_TO`."""

    votes: int
    today: int
    remaining: int | None


def own_progress(
    session: Session,
    annotator_id: int,
    *,
    now: datetime | None = None,
    counted_up_to: int = COUNTED_UP_TO,
) -> OwnProgress:
    """The progress of one person in the active campaign; two statements at most.

    Parameters:
        counted_up_to: with more images left, `remaining` is None.
    """
    midnight = (now or utc_now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
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
        .where(Campaign.active)
        .group_by(Campaign.id)
    ).one_or_none()
    if row is None:
        return OwnProgress(0, 0, 0)
    most = row.answered_open + counted_up_to
    n_open = _count_open(session, row.id, most + 1)
    remaining = None if n_open > most else max(0, n_open - row.answered_open)
    return OwnProgress(row.votes, row.today, remaining)


def _count_open(session: Session, campaign_id: int, limit: int) -> int:
    """How many images of a campaign are open, `limit` at most: a short walk along the index."""
    found = (
        select(literal(1))
        .where(Consensus.campaign_id == campaign_id, Consensus.status == "open")
        .limit(limit)
        .subquery()
    )
    return session.scalar(select(func.count()).select_from(found)) or 0
