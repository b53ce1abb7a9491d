"""Votes by stretch of time, people at work, the forecast: against a plain recount."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Decision, Gold
from labeler.models.voting import Vote
from labeler.progress.campaign_progress import CampaignProgress, campaign_progress
from labeler.progress.throughput import PERIODS, count_active, count_throughput, make_forecast
from labeler.rules.campaign_rules import Rules
from labeler.voting.service import undo_vote
from tests.conftest import CountQueries, MakeAnnotator, MakeDataset
from tests.labeler.acting import NOON, after, ids, lease, set_rules, vote

MINUTE, HOUR = 60, 3600
IMAGES = 12


@pytest.fixture
def voted(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, make_dataset: MakeDataset
) -> Database:
    """Three people over two days: 30 votes, one of them taken back."""
    make_dataset(any_db, IMAGES)
    set_rules(any_db, required_votes=3)
    answers = ("left", "left", "center", "right", "unsure")
    for number in range(3):
        who = make_annotator(any_db).id
        for place, image_id in enumerate(ids(lease(any_db, who, 10, settings))):
            at = after(-place * place * 17 * MINUTE - number * 50)
            answer = answers[(place + number * (place % 2)) % 5]
            cast = vote(any_db, who, image_id, answer, settings, at)
    with any_db.write() as session:
        undo_vote(session, who, cast.vote_id, settings=settings)
    return any_db


def recount(db: Database) -> CampaignProgress:
    """The progress by looking at every row in Python."""
    with db.read() as session:
        rows = session.scalars(select(Consensus)).all()
        votes = [one for one in session.scalars(select(Vote)) if one.superseded_at is None]
    by_image = Counter(one.image_id for one in votes)
    by_hand = ("gold-1", "decision-1")
    after_votes = {
        status: Counter(
            by_image[row.image_id]
            for row in rows
            if (row.status == "open") == (status == "open") and row.method not in by_hand
        )
        for status in ("open", "done")
    }
    statuses = Counter(row.status for row in rows)
    labels = Counter(row.label for row in rows if row.label)
    answers = Counter(one.answer for one in votes)
    return CampaignProgress(
        **{status: statuses[status] for status in ("open", "agreed", "contested")},
        gold=sum(row.method == "gold-1" for row in rows),
        undecided=sum(row.status == "contested" and row.method not in by_hand for row in rows),
        votes=len(votes),
        labels={label: labels[label] for label in ("left", "center", "right")},
        answers={answer: answers[answer] for answer in ("left", "center", "right", "unsure")},
        open_after=dict(after_votes["open"]),
        finished_after=dict(after_votes["done"]),
    )


def test_the_progress_is_what_a_plain_recount_says(
    voted: Database, make_annotator: MakeAnnotator
) -> None:
    with voted.read() as session:
        found = campaign_progress(session, 1)
    assert found == recount(voted)
    assert found.undecided > 0
    boss = make_annotator(voted, role="supervisor").id
    with voted.write() as session:
        contested = session.scalars(
            select(Consensus.image_id).where(Consensus.status == "contested")
        ).first()
        assert contested is not None
        session.add(Decision(campaign_id=1, image_id=contested, annotator_id=boss, label="left"))
        other = session.scalars(
            select(Consensus.image_id).where(Consensus.status == "open")
        ).first()
        assert other is not None
        session.add(Gold(campaign_id=1, image_id=other, label="right", source="csv"))
        session.flush()
        rebuild(session, 1)
    with voted.read() as session:
        again = campaign_progress(session, 1)
    assert again == recount(voted)
    assert (again.gold, again.undecided) == (1, found.undecided - 1)


@pytest.mark.parametrize("period", sorted(PERIODS))
def test_votes_by_stretch_of_time(
    voted: Database, period: str, count_queries: CountQueries
) -> None:
    now = NOON + timedelta(minutes=1)
    with count_queries(voted) as statements, voted.read() as session:
        found = count_throughput(session, 1, period, now=now)
    with voted.read() as session:
        times = session.scalars(select(Vote.created_at)).all()
    assert [
        sum(start <= time < start + found.width for time in times) for start in found.starts
    ] == list(found.counts)
    assert found.starts[-1] <= now < found.starts[-1] + found.width
    assert sum(found.counts) > 0
    assert len(found.counts) == PERIODS[period].bins
    assert len([one for one in statements if one.startswith("SELECT")]) == 1


@pytest.mark.parametrize("hours", [-11, 0, 5.5, 14])
def test_days_begin_at_midnight_of_the_zone(voted: Database, hours: float) -> None:
    zone = timezone(timedelta(hours=hours))
    with voted.read() as session:
        found = count_throughput(session, 1, "day", zone=zone, now=NOON)
        times = session.scalars(select(Vote.created_at)).all()
    days = [start.astimezone(zone) for start in found.starts]
    assert {(day.hour, day.minute) for day in days} == {(0, 0)}
    assert days[-1].date() == NOON.astimezone(zone).date()
    by_day = Counter(at.astimezone(zone).date() for at in times)
    assert [by_day[day.date()] for day in days] == list(found.counts)
    assert len(by_day) > 1


def test_a_day_with_25_hours_is_counted_once(voted: Database) -> None:
    """In Berlin the clocks go back on 25 October 2026."""
    end = datetime(2026, 10, 27, 12, tzinfo=UTC)
    with voted.read() as session:
        found = count_throughput(session, 1, "day", zone=ZoneInfo("Europe/Berlin"), now=end)
    hours = [(after - before) / timedelta(hours=1) for before, after in pairwise(found.starts)]
    assert hours[-3:] == [24, 25, 24]


def test_people_at_work(voted: Database) -> None:
    with voted.read() as session:
        assert count_active(session, 1, now=NOON) == 3
        assert count_active(session, 1, now=after(9.5 * MINUTE)) == 1
        assert count_active(session, 1, now=after(11 * MINUTE)) == 0


def test_the_forecast(voted: Database) -> None:
    with voted.read() as session:
        rules = Rules.from_dict(session.get_one(Campaign, 1).rules)
        done = campaign_progress(session, 1)
        now = make_forecast(session, 1, rules, done, now=after(1))
        late = make_forecast(session, 1, rules, done, now=after(30 * HOUR))
        missing = sum(
            3 - row.votes_left - row.votes_center - row.votes_right - row.votes_unsure
            for row in session.scalars(select(Consensus).where(Consensus.status == "open"))
        )
    assert now.needed.estimate == missing > 0
    assert now.hours is not None
    assert now.hours.low < now.hours.estimate < now.hours.high
    assert now.hours.estimate == pytest.approx(missing / now.per_hour.estimate)
    assert late.hours is None
