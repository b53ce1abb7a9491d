"""Background jobs: put into a file of their own, taken out by `manage.py worker`.

The queue must never share the SQLite file of the votes: a job that is taken or finished would
wait for the same lock as every vote.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from huey import SqliteHuey, crontab
from huey.api import Task
from huey.exceptions import HueyException

from labeler.campaigns import service as campaigns
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import SidelightError
from rotation.errors import RotationError

log = logging.getLogger(__name__)


TICK = "tick"
TICK_EXPIRES_S = 50  # the next one asks the same


@dataclass(frozen=True, slots=True)
class TickReport:
    """What a tick did: the campaigns that it refreshed, and the one whose model it trained."""

    refreshed: Sequence[int] = ()
    trained: int | None = None


def propose_labels(settings: Settings, campaign_id: int, annotator_id: int | None = None) -> None:
    """Queue a training on the votes of a campaign so far, and new proposals.

    One that waits already sees all votes until it begins, so it is not queued a second time.
    """
    queue = _queue(settings)
    wanted = (queue.propose.task_class.__name__, campaign_id)
    if wanted not in [(one.name, one.args[0]) for one in queue.pending() if one.args]:
        queue.propose(campaign_id, annotator_id)


def restore_run(settings: Settings, run_id: int, annotator_id: int) -> None:
    """Queue the return to an older model run whose proposals have to be made again."""
    _queue(settings).restore(run_id, annotator_id)


def queue_dataset_refresh(settings: Settings, dataset_id: int) -> None:
    """Queue the consensus of all campaigns of a data set: another run is current."""
    _queue(settings).refresh_dataset(dataset_id)


def fill_campaign(settings: Settings, campaign_id: int) -> None:
    """Queue the admission of the images that a campaign selects."""
    _queue(settings).fill(campaign_id)


def queue_refresh(settings: Settings, campaign_id: int) -> None:
    """Queue a refresh of annotator skills and of all images: after new rules, gold or decisions.

    Votes need no job: `tick` finds that a refresh is due. A refresh that waits already sees what
    has changed until it begins, so it is not queued a second time.
    """
    queue = _queue(settings)
    wanted = (queue.refresh_all.task_class.__name__, (campaign_id,))
    if wanted not in [(one.name, one.args) for one in queue.pending()]:
        queue.refresh_all(campaign_id)


def draw_mean_faces(settings: Settings, campaign_id: int, choices: dict[str, Any]) -> None:
    """Queue the mean-face figure of a campaign; `choices` of `mean_faces_files.Choices`."""
    _queue(settings).mean_faces(campaign_id, choices)


def count_waiting(settings: Settings) -> int:
    """How many jobs wait for a worker."""
    return sum(one.name != TICK for one in _queue(settings).pending())


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; one job at a time, since each uses all processors."""
    consumer = _queue(settings).huey.create_consumer(workers=1, worker_type="thread", max_delay=2.0)
    consumer.run()


class _Queue:
    """The queue of one set of settings, with the tasks registered in it."""

    def __init__(self, settings: Settings) -> None:
        settings.home.mkdir(parents=True, exist_ok=True)
        self.settings = settings
        self.huey = SqliteHuey("sidelight", filename=str(settings.jobs_path), results=False)
        self.propose = self._task("propose_labels", _propose)
        self.fill = self._task("fill_campaign", _fill)
        self.refresh_all = self._task("refresh_all_images", _refresh_all)
        self.mean_faces = self._task("draw_mean_faces", _mean_faces)
        self.restore = self._task("restore_run", _restore)
        self.refresh_dataset = self._task("refresh_dataset", _refresh_dataset)
        each_minute = self.huey.periodic_task(crontab(), name=TICK, expires=TICK_EXPIRES_S)
        self.tick = each_minute(lambda: tick(settings))

    def pending(self) -> list[Task]:
        """The jobs that wait; without those that another version of the program has queued."""
        found = []
        for stored in self.huey.storage.enqueued_items():
            try:
                found.append(self.huey.deserialize_task(stored))
            except HueyException:
                log.warning("A job of another version of the program waits; it will be dropped.")
        return found

    def _task(self, name: str, work: Callable[..., None]) -> Any:
        def task(number: int, *more: Any) -> None:
            db = Database(self.settings.database_url)
            try:
                work(db, self.settings, number, *more)
                log.info("%s %s is done", name, number)
            except (SidelightError, RotationError) as error:
                # Expected: too few votes, a folder that has moved. The log is where people look.
                log.error("%s %s: %s", name, number, error)
            finally:
                db.dispose()

        return self.huey.task(name=name)(task)


def tick(settings: Settings) -> TickReport:
    """Refresh each campaign, and train the model of the active one, if enough votes have come.

    The worker asks every minute. What is due follows from the votes that are stored, whatever
    stored them. A step that fails is logged, tried again by the next tick, and stops no other.
    """
    db = Database(settings.database_url)
    try:
        return TickReport(_refresh_due(db), _retrain_due(db, settings))
    finally:
        db.dispose()


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
    """A part of the tick whose failure is logged and goes no further."""
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
    annotator_id: int | None = None,
    *,
    automatic: bool = False,
) -> None:
    from labeler.proposals.service import train_and_propose  # late: scikit-learn takes seconds

    train_and_propose(
        db, campaign_id, cache=_cache(settings), annotator_id=annotator_id, automatic=automatic
    )
    with db.read() as session:
        dataset_id = campaigns.get_campaign(session, campaign_id).dataset_id
    _refresh_dataset(db, settings, dataset_id)


def _restore(db: Database, settings: Settings, run_id: int, annotator_id: int) -> None:
    from labeler.proposals.rollback import restore_run as restore  # late: as above
    from labeler.proposals.runs import get_run

    restore(db, run_id, annotator_id, _cache(settings))
    with db.read() as session:
        dataset_id = get_run(session, run_id).dataset_id
    _refresh_dataset(db, settings, dataset_id)


def _refresh_dataset(db: Database, settings: Settings, dataset_id: int) -> None:
    from labeler.quality.refresh import refresh_dataset

    refresh_dataset(db, dataset_id)


def _cache(settings: Settings) -> Any:
    from labeler.proposals.feature_cache import FILE, FeatureCache

    return FeatureCache(settings.home / FILE)


def _fill(db: Database, settings: Settings, campaign_id: int) -> None:
    campaigns.fill_campaign(db, campaign_id)


def _refresh_all(db: Database, settings: Settings, campaign_id: int) -> None:
    from labeler.quality.refresh import refresh_campaign

    refresh_campaign(db, campaign_id, all_images=True)


def _mean_faces(
    db: Database, settings: Settings, campaign_id: int, choices: dict[str, Any]
) -> None:
    from labeler.mean_faces import files  # late: NumPy and Pillow

    files.make(db, settings.home, campaign_id, files.Choices(**choices))


@lru_cache(maxsize=4)
def _queue(settings: Settings) -> _Queue:
    return _Queue(settings)
