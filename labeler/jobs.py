"""Background jobs: pages queue them, and `manage.py worker` runs them.

The queue has its own SQLite file, never the one with the votes. Otherwise taking or finishing a
job would wait for the same lock as every vote.

To add a job, write a function of (db, settings, number, ...) and mark it with `@job(NAME)`. Then
`FUNCTION.queue(settings, number, ...)` queues it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Concatenate, Generic, ParamSpec

from huey import SqliteHuey, crontab
from huey.api import Task
from huey.exceptions import HueyException

from labeler.campaigns import service as campaigns
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import SidelightError
from rotation.errors import RotationError

TICK = "tick"
TICK_EXPIRES_S = 50  # a tick that waited longer is dropped, because the next one is due

log = logging.getLogger(__name__)
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Job(Generic[P]):
    """A function that the worker runs.

    Parameters:
        name: how the job is stored in the queue; it must not change between versions.
        work: the function; its third argument is the number of what it works on.
        once: while a job for the same number waits, another one is not queued. It would find
            nothing left to do.
    """

    name: str
    work: Callable[Concatenate[Database, Settings, int, P], None]
    once: bool

    def queue(self, settings: Settings, number: int, *more: P.args, **options: P.kwargs) -> None:
        """Queue the job for the worker."""
        queue = _queue(settings)
        waiting = ((task.name, task.args[0]) for task in queue.pending() if task.args)
        if self.once and (self.name, number) in waiting:
            return
        queue.tasks[self.name](number, *more, **options)


JOBS: list[Job[Any]] = []


def job(
    name: str, *, once: bool = False
) -> Callable[[Callable[Concatenate[Database, Settings, int, P], None]], Job[P]]:
    """Make a function a `Job`, and register it."""

    def register(work: Callable[Concatenate[Database, Settings, int, P], None]) -> Job[P]:
        made = Job(name, work, once)
        JOBS.append(made)
        return made

    return register


@job("propose_labels", once=True)
def propose_labels(
    db: Database, settings: Settings, campaign_id: int, annotator_id: int | None = None
) -> None:
    """Train a model on the votes of a campaign, and publish its proposals."""
    _propose(db, settings, campaign_id, annotator_id)


@job("restore_run")
def restore_run(db: Database, settings: Settings, run_id: int, annotator_id: int) -> None:
    """Make an older model run current again, and compute its missing proposals."""
    from labeler.proposals.rollback import restore_run as restore  # late: scikit-learn
    from labeler.proposals.runs import get_run

    restore(db, run_id, annotator_id, _feature_cache(settings))
    with db.read() as session:
        dataset_id = get_run(session, run_id).dataset_id
    _refresh_dataset(db, dataset_id)


@job("refresh_dataset")
def refresh_dataset(db: Database, settings: Settings, dataset_id: int) -> None:
    """Derive all labels of a data set again, because another model run is current."""
    _refresh_dataset(db, dataset_id)


@job("refresh_all_images", once=True)
def refresh_campaign(db: Database, settings: Settings, campaign_id: int) -> None:
    """Derive annotator skills and all labels again, after new rules, gold or decisions.

    Votes need no job: `tick` finds campaigns with enough new votes.
    """
    from labeler.quality.refresh import refresh_campaign as refresh  # late: NumPy

    refresh(db, campaign_id, all_images=True)


@job("fill_campaign")
def fill_campaign(db: Database, settings: Settings, campaign_id: int) -> None:
    """Add the images that a campaign selects."""
    campaigns.fill_campaign(db, campaign_id)


@job("draw_mean_faces")
def draw_mean_faces(
    db: Database, settings: Settings, campaign_id: int, options: dict[str, Any]
) -> None:
    """Draw the mean faces of a campaign; `options` are those of `mean_faces.files.Options`."""
    from labeler.mean_faces import files  # late: NumPy and Pillow

    files.make(db, settings.home, campaign_id, files.Options(**options))


@dataclass(frozen=True, slots=True)
class TickReport:
    """What a tick did: the campaigns it refreshed, and the campaign whose model it trained."""

    refreshed: Sequence[int] = ()
    trained: int | None = None


def tick(settings: Settings) -> TickReport:
    """Refresh the campaigns and train the model that have enough new votes.

    The worker does this every minute. Only the stored votes decide what is due. A step that fails
    is logged and tried again by the next tick. It stops no other step.
    """
    db = Database(settings.database_url)
    try:
        return TickReport(_refresh_due(db), _retrain_due(db, settings))
    finally:
        db.dispose()


def count_waiting(settings: Settings) -> int:
    """Return how many jobs wait for the worker."""
    return sum(task.name != TICK for task in _queue(settings).pending())


def run_worker(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT, one at a time, since each uses all processors."""
    consumer = _queue(settings).huey.create_consumer(workers=1, worker_type="thread", max_delay=2.0)
    consumer.run()


class _Queue:
    """The queue of one site, with a huey task for each job."""

    def __init__(self, settings: Settings) -> None:
        settings.home.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.huey = SqliteHuey("sidelight", filename=str(settings.jobs_path), results=False)
        self.tasks = {each.name: self._register(each) for each in JOBS}
        each_minute = self.huey.periodic_task(crontab(), name=TICK, expires=TICK_EXPIRES_S)
        each_minute(lambda: tick(settings))

    def pending(self) -> list[Task]:
        """Return the jobs that wait, without those that only another version knows."""
        found = []
        for stored in self.huey.storage.enqueued_items():
            try:
                found.append(self.huey.deserialize_task(stored))
            except HueyException:
                log.warning("A job of another version of the program waits; it will be dropped.")
        return found

    def _register(self, job: Job[Any]) -> Any:
        def task(number: int, *more: Any, **options: Any) -> None:
            db = Database(self.settings.database_url)
            try:
                job.work(db, self.settings, number, *more, **options)
                log.info("%s %s is done", job.name, number)
            except (SidelightError, RotationError) as error:
                # Expected, for example too few votes: a message is enough, without a traceback.
                log.error("%s %s: %s", job.name, number, error)
            finally:
                db.dispose()

        return self.huey.task(name=job.name)(task)


@lru_cache(maxsize=4)
def _queue(settings: Settings) -> _Queue:
    return _Queue(settings)


def _refresh_due(db: Database) -> list[int]:
    from labeler.quality.refresh import find_due, refresh_campaign  # late: NumPy

    refreshed = []
    with _step("refresh"):
        with db.read() as session:
            due = find_due(session)
        for campaign_id in due:
            with _step("refresh"):
                refresh_campaign(db, campaign_id)
                refreshed.append(campaign_id)
                log.info("%s: refresh of campaign %s is done", TICK, campaign_id)
    return refreshed


def _retrain_due(db: Database, settings: Settings) -> int | None:
    from labeler.proposals.schedule import find_due

    trained = None
    with _step("retrain"):
        with db.read() as session:
            due = find_due(session)
        if due is not None:
            _propose(db, settings, due, None, automatic=True)
            trained = due
            log.info("%s: training for campaign %s is done", TICK, due)
    return trained


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Log a failure of this part of the tick, and go on."""
    try:
        yield
    except (SidelightError, RotationError) as error:
        log.error("%s, %s: %s", TICK, name, error)
    except Exception:
        log.exception("%s, %s failed", TICK, name)


def _propose(
    db: Database,
    settings: Settings,
    campaign_id: int,
    annotator_id: int | None,
    *,
    automatic: bool = False,
) -> None:
    from labeler.proposals.service import train_and_propose  # late: scikit-learn takes seconds

    cache = _feature_cache(settings)
    train_and_propose(db, campaign_id, cache=cache, annotator_id=annotator_id, automatic=automatic)
    with db.read() as session:
        dataset_id = campaigns.get_campaign(session, campaign_id).dataset_id
    _refresh_dataset(db, dataset_id)


def _refresh_dataset(db: Database, dataset_id: int) -> None:
    from labeler.quality.refresh import refresh_dataset

    refresh_dataset(db, dataset_id)


def _feature_cache(settings: Settings) -> Any:
    from labeler.proposals.feature_cache import FILE, FeatureCache

    return FeatureCache(settings.home / FILE)
