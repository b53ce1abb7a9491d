"""Background jobs: put into a file of their own, taken out by `manage.py worker`.

The queue must never share the SQLite file of the votes: a job that is taken or finished would
wait for the same lock as every vote.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from huey import SqliteHuey, crontab

from labeler.config import Settings
from labeler.db import Database
from labeler.errors import SidelightError
from labeler.services import campaigns
from rotation.errors import RotationError

log = logging.getLogger(__name__)


TICK = "retrain_if_due"
TICK_EXPIRES_S = 50  # the next one asks the same


def propose_labels(settings: Settings, campaign_id: int, annotator_id: int | None = None) -> None:
    """Queue a training on the votes of a campaign so far, and new proposals.

    One that waits already sees all votes until it begins, so it is not queued a second time.
    """
    queue = _queue(settings)
    wanted = (queue.propose.task_class.__name__, campaign_id)
    if wanted not in [(one.name, one.args[0]) for one in queue.huey.pending() if one.args]:
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


def queue_refresh(settings: Settings, campaign_id: int, *, all_images: bool = False) -> None:
    """Queue a refresh of skills and consensus; with `all_images` after new rules, gold, proposals.

    Without, it is only done if enough votes have come since the last one. A refresh that waits
    already sees what has changed until it begins, so it is not queued a second time.
    """
    queue = _queue(settings)
    task = queue.refresh_all if all_images else queue.refresh
    wanted = (task.task_class.__name__, (campaign_id,))
    if wanted not in [(one.name, one.args) for one in queue.huey.pending()]:
        task(campaign_id)


def draw_mean_faces(settings: Settings, campaign_id: int, choices: dict[str, Any]) -> None:
    """Queue the mean-face figure of a campaign; `choices` of `mean_faces_files.Choices`."""
    _queue(settings).mean_faces(campaign_id, choices)


def count_waiting(settings: Settings) -> int:
    """How many jobs wait for a worker."""
    return sum(one.name != TICK for one in _queue(settings).huey.pending())


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
        self.refresh = self._task("refresh_campaign", _refresh)
        self.refresh_all = self._task("refresh_all_images", _refresh_all)
        self.mean_faces = self._task("draw_mean_faces", _mean_faces)
        self.restore = self._task("restore_run", _restore)
        self.refresh_dataset = self._task("refresh_dataset", _refresh_dataset)
        each_minute = self.huey.periodic_task(crontab(), name=TICK, expires=TICK_EXPIRES_S)
        self.tick = each_minute(lambda: retrain_if_due(settings))

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


def retrain_if_due(settings: Settings) -> bool:
    """Train the model of the campaign that is handed out, if enough votes have come.

    The worker asks every minute, so that votes of every kind count and none waits for it.
    """
    from labeler.services.retraining import find_due

    db = Database(settings.database_url)
    try:
        with db.read() as session:
            campaign_id = find_due(session)
        if campaign_id is not None:
            _propose(db, settings, campaign_id, None, automatic=True)
            log.info("%s %s is done", TICK, campaign_id)
    except (SidelightError, RotationError) as error:
        log.error("%s: %s", TICK, error)
        return False
    finally:
        db.dispose()
    return campaign_id is not None


def _propose(
    db: Database,
    settings: Settings,
    campaign_id: int,
    annotator_id: int | None = None,
    *,
    automatic: bool = False,
) -> None:
    from labeler.services.proposing import train_and_propose  # late: scikit-learn takes seconds

    train_and_propose(
        db, campaign_id, cache=_cache(settings), annotator_id=annotator_id, automatic=automatic
    )
    with db.read() as session:
        dataset_id = campaigns.get_campaign(session, campaign_id).dataset_id
    _refresh_dataset(db, settings, dataset_id)


def _restore(db: Database, settings: Settings, run_id: int, annotator_id: int) -> None:
    from labeler.services.restoring import restore_run as restore  # late: as above
    from labeler.services.runs import get_run

    restore(db, run_id, annotator_id, _cache(settings))
    with db.read() as session:
        dataset_id = get_run(session, run_id).dataset_id
    _refresh_dataset(db, settings, dataset_id)


def _refresh_dataset(db: Database, settings: Settings, dataset_id: int) -> None:
    from labeler.services.refreshing import refresh_dataset

    refresh_dataset(db, dataset_id)


def _cache(settings: Settings) -> Any:
    from labeler.services.feature_cache import FILE, FeatureCache

    return FeatureCache(settings.home / FILE)


def _fill(db: Database, settings: Settings, campaign_id: int) -> None:
    campaigns.fill_campaign(db, campaign_id)


def _refresh(db: Database, settings: Settings, campaign_id: int) -> None:
    from labeler.services.refreshing import is_due, refresh_campaign  # late: NumPy

    with db.read() as session:
        due = is_due(session, campaign_id)
    if due:
        refresh_campaign(db, campaign_id)


def _refresh_all(db: Database, settings: Settings, campaign_id: int) -> None:
    from labeler.services.refreshing import refresh_campaign

    refresh_campaign(db, campaign_id, all_images=True)


def _mean_faces(
    db: Database, settings: Settings, campaign_id: int, choices: dict[str, Any]
) -> None:
    from labeler.services import mean_faces_files  # late: NumPy and Pillow

    mean_faces_files.make(db, settings.home, campaign_id, mean_faces_files.Choices(**choices))


@lru_cache(maxsize=4)
def _queue(settings: Settings) -> _Queue:
    return _Queue(settings)
