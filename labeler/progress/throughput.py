"""The throughput of a campaign: votes over time, people at work, and the forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from labeler.models.base import utc_now
from labeler.models.voting import Vote
from labeler.progress.campaign_progress import CampaignProgress
from labeler.progress.days import midnights
from labeler.rules.campaign_rules import Rules
from labeler.statistics.completion_forecast import pace, remaining_time, remaining_votes
from labeler.statistics.intervals import Interval

ACTIVE_WITHIN = timedelta(minutes=10)
PACE_BIN, PACE_BINS = timedelta(minutes=10), 18  # the last three hours


@dataclass(frozen=True, slots=True)
class Period:
    """A series of time bins: their width, and how many of the last ones are counted."""

    width: timedelta
    bins: int


PERIODS = {
    "10min": Period(timedelta(minutes=10), 36),
    "hour": Period(timedelta(hours=1), 48),
    "day": Period(timedelta(days=1), 30),
}


@dataclass(frozen=True, slots=True)
class Throughput:
    """Answers by time bin, also undone ones and those of the qualification.

    `starts`: the start of each bin, ascending. The last bin is not over yet.
    """

    width: timedelta
    starts: Sequence[datetime]
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a campaign will be finished.

    Attributes:
        needed: votes that the open images still need, with answers to gold questions.
        per_hour: the pace since people started, within the last three hours.
        hours: the remaining time; None without a vote in the last three hours.
    """

    needed: Interval
    per_hour: Interval
    hours: Interval | None


def count_throughput(
    session: Session,
    campaign_id: int,
    period: str,
    *,
    zone: tzinfo = UTC,
    now: datetime | None = None,
) -> Throughput:
    """Count the votes in the last time bins of one of the `PERIODS`.

    Bins start on UTC times.

    Parameters:
        zone: days start at midnight of this time zone. A day may have 23 or 25 hours there.
    """
    chosen, now = PERIODS[period], now or utc_now()
    edges = midnights(now, chosen.bins, zone) if period == "day" else _bins(now, chosen)
    counts = _count_between(session, campaign_id, edges)
    return Throughput(chosen.width, edges[:-1], counts)


def _bins(now: datetime, period: Period) -> list[datetime]:
    """Return the edges of the last bins of a period, the end of the running one too."""
    seconds = period.width.total_seconds()
    running = now.timestamp() // seconds
    return [
        datetime.fromtimestamp((running - back) * seconds, UTC)
        for back in range(period.bins - 1, -2, -1)
    ]


def count_active(session: Session, campaign_id: int, *, now: datetime | None = None) -> int:
    """Count the people who answered within the last ten minutes."""
    since = (now or utc_now()) - ACTIVE_WITHIN
    counted = select(func.count(Vote.annotator_id.distinct())).where(
        Vote.campaign_id == campaign_id, Vote.created_at >= since
    )
    return session.scalar(counted) or 0


def make_forecast(
    session: Session,
    campaign_id: int,
    rules: Rules,
    done: CampaignProgress,
    *,
    now: datetime | None = None,
) -> Forecast:
    """Forecast when a campaign is finished, at the pace of the last hours; one statement."""
    end = now or utc_now()
    edges = [end - PACE_BIN * back for back in reversed(range(PACE_BINS + 1))]
    counts = _count_between(session, campaign_id, edges)
    begun = next((bin for bin, count in enumerate(counts) if count), len(counts))
    per_bin = pace(counts[begun:])
    gold = rules.gold_rate if done.gold else 0.0
    left = remaining_votes(
        done.finished_after, done.open_after, first=rules.required_votes, cap=rules.votes_needed
    )
    needed = _scaled(left, 1 / (1 - min(gold, 0.9)))
    seconds = remaining_time(needed, per_bin, PACE_BIN.total_seconds())
    return Forecast(
        needed,
        _scaled(per_bin, timedelta(hours=1) / PACE_BIN),
        seconds and _scaled(seconds, 1 / 3600),
    )


def _count_between(session: Session, campaign_id: int, edges: Sequence[datetime]) -> list[int]:
    """Count the votes between neighbouring times.

    Each count only scans an index. Grouping by a function of the time takes six times as long.
    """
    times = {f"edge_{place}": edge for place, edge in enumerate(edges)}
    row = session.execute(_counting(len(edges)), {"campaign": campaign_id, **times}).one()
    return [count or 0 for count in row]


@lru_cache(maxsize=8)
def _counting(edges: int) -> Select[Any]:
    """Build the statement that counts between so many times."""
    times: list[Any] = [bindparam(f"edge_{place}") for place in range(edges)]
    counts = [
        select(func.count())
        .where(
            Vote.campaign_id == bindparam("campaign"),
            Vote.created_at >= start,
            Vote.created_at < end,
        )
        .scalar_subquery()
        for start, end in pairwise(times)
    ]
    return select(*counts)


def _scaled(interval: Interval, factor: float) -> Interval:
    return Interval(interval.estimate * factor, interval.low * factor, interval.high * factor)
