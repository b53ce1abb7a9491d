"""Actions of tests: lease images, vote, publish a run, count rows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.assignment.leases import lease_images
from labeler.assignment.presentation import LeasedImage
from labeler.campaigns.service import active_campaign
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.gold.service import NewGold, add_gold
from labeler.jobs import kinds
from labeler.jobs.worker import Worker
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.jobs import Job
from labeler.models.proposals import ModelRun, Proposal
from labeler.models.voting import Lease, Vote
from labeler.rules.campaign_rules import Rules
from labeler.voting.service import CastVote, SubmittedAnswer, cast_vote

T = TypeVar("T")
SETTLED_S = 0.5  # by then a second transaction waits for the first
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """Return the time this many seconds after `NOON`."""
    return NOON + timedelta(seconds=seconds)


def lease(
    db: Database, annotator_id: int, count: int, settings: Settings, now: datetime = NOON
) -> list[LeasedImage]:
    """Lease the next images of a person."""
    with db.write() as session:
        return lease_images(session, annotator_id, count, settings=settings, now=now)


def set_rules(db: Database, **changes: Any) -> None:
    """Change rules of the active campaign."""
    with db.write() as session:
        campaign = active_campaign(session)
        assert campaign is not None
        campaign.rules = Rules.from_dict({**campaign.rules, **changes}).as_dict()


def ids(leased: Sequence[LeasedImage]) -> list[int]:
    """Return the image numbers of leases."""
    return [one.image_id for one in leased]


def vote(
    db: Database,
    annotator_id: int,
    image_id: int,
    answer: str,
    settings: Settings,
    now: datetime = NOON,
    request_id: str | None = None,
) -> CastVote:
    """Store an answer of a person."""
    with db.write() as session:
        submitted = SubmittedAnswer(image_id, answer, request_id or str(uuid.uuid4()))
        return cast_vote(session, annotator_id, submitted, settings=settings, now=now)


def consensus_row(db: Database, image_id: int) -> Consensus:
    """Return the consensus of an image in the active campaign."""
    with db.read() as session:
        campaign = active_campaign(session)
        assert campaign is not None
        return session.get_one(Consensus, (campaign.id, image_id))


def current_votes(db: Database) -> int:
    """Count the votes that are not superseded."""
    with db.read() as session:
        counted = select(func.count()).select_from(Vote).where(Vote.superseded_at.is_(None))
        return session.scalar(counted) or 0


def lease_count(db: Database) -> int:
    """Count the leases."""
    with db.read() as session:
        return session.scalar(select(func.count()).select_from(Lease)) or 0


def publish_run(
    db: Database, dataset_id: int, chances: dict[int, tuple[float, float, float]], at: datetime
) -> int:
    """Publish a model run with the given probabilities by image; returns its number."""
    with db.write() as session:
        run = ModelRun(
            dataset_id=dataset_id,
            method="test",
            status="published",
            settings={},
            metrics={},
            published_at=at,
        )
        session.add(run)
        session.flush()
        session.add_all(
            Proposal(
                model_run_id=run.id, image_id=image_id, p_left=p[0], p_center=p[1], p_right=p[2]
            )
            for image_id, p in chances.items()
        )
        return run.id


def queue(db: Database) -> list[int]:
    """Return the images of the active campaign in the order of assignment."""
    with db.read() as session:
        return list(
            session.scalars(
                select(Consensus.image_id)
                .join(Campaign, Campaign.id == Consensus.campaign_id)
                .where(Campaign.active)
                .order_by(Consensus.priority, Consensus.random_key)
            )
        )


def make_gold(db: Database, known: dict[int, str]) -> None:
    """Make gold questions of the active campaign: label by image."""
    with db.write() as session:
        campaign = active_campaign(session)
        assert campaign is not None
        new = [NewGold(image_id, label) for image_id, label in known.items()]
        add_gold(session, campaign.id, new, "supervisor")


def overtaken(db: Database, first: Callable[[Session], object], second: Callable[[], T]) -> T:
    """`second` begins before `first` has committed, and ends after it."""
    with ThreadPoolExecutor(1) as pool:
        with db.write() as session:
            first(session)
            waiting = pool.submit(second)
            time.sleep(SETTLED_S)
            assert not waiting.done()
        return waiting.result(timeout=60)


def at_once(work: Callable[[int], T], count: int = 8) -> list[T | Exception]:
    """Run `work(0)`, `work(1)`, … at the same time in `count` threads. Errors are returned."""
    barrier = Barrier(count)

    def start(number: int) -> T | Exception:
        barrier.wait()
        try:
            return work(number)
        except Exception as error:  # noqa: BLE001  the test checks it
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def waiting(db: Database) -> int:
    """How many jobs wait for the worker."""
    with db.read() as session:
        return session.scalar(select(func.count()).where(Job.state == "queued")) or 0


def due(settings: Settings) -> list[str]:
    """What the worker does in a minute: queue what is due, and run all jobs; returns the due ones.

    A job is named by its kind and its subject: `refresh_campaign 1`.
    """
    db = Database(settings.database_url)
    found = kinds.queue_due(db)
    db.dispose()
    work(settings)
    return found


def work(settings: Settings) -> None:
    """Run all jobs that wait, as the worker does."""
    with closing(Worker(settings)) as worker:
        while worker.run_next():
            pass
