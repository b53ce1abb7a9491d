"""The kinds of background jobs: what each does, and which of them are due by themselves.

To add a kind, write a function of (context, subject, **parameters) and mark it with `@job(NAME)`.
Then `FUNCTION.queue(session, subject, ...)` queues it, in the transaction of whatever it follows
from. A job may be taken again after its process has died, so its function must be able to begin
anew or to continue: it runs at least once, not exactly once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from labeler.campaigns import deletion as campaign_deletion
from labeler.campaigns import service as campaigns
from labeler.config import Settings
from labeler.database.engine import AdvisoryLock, Database, take_advisory_lock
from labeler.database.work_lock import work_lock
from labeler.errors import Conflict, Interrupted, SidelightError
from labeler.images import deletion as dataset_deletion
from labeler.jobs import queue as jobs_queue
from labeler.languages.texts import mark
from labeler.mean_faces.files import remove as remove_figures
from labeler.models.base import utc_now
from labeler.models.studio import HeadTurn

# A worker may take only some queues. So a long training can leave the labels to another worker.
LABELS, TURNING = "labels", "turning"
QUEUES = (LABELS, "training", "figures", TURNING)
RETRY_DUE_AFTER = timedelta(minutes=10)  # a due job that has failed is not queued again before


class Cancelled(Conflict):
    """The job is no longer this worker's: it was cancelled, or handed back."""

    code = "job_cancelled"


@dataclass(slots=True)
class JobContext:
    """What a job gets from its worker.

    Attributes:
        job_id: the number of the job.
        attempt: 1 at first.
        owner_id: who asked for the job; None: it was due.
        progress: the last report; the worker stores it with each sign of life.
        stop: set by the worker: the reason for which the job must end.
        worker: the name under which this attempt reports.
    """

    db: Database
    settings: Settings
    job_id: int
    attempt: int = 1
    owner_id: int | None = None
    progress: dict[str, Any] | None = None
    stop: Exception | None = None
    worker: str = ""

    def report(self, step: str, done: int = 0, total: int = 0) -> None:
        """Say how far the job is.

        Parameters:
            step: what it does now, marked for translation.
            done, total: progress of the step; total 0 if it is not known.

        Raises:
            Cancelled, Interrupted: the job must end now.
        """
        began = time.time()
        if self.progress is not None and self.progress["step"] == step:
            began = self.progress["began"]
        # Replaced as a whole, so that the thread that stores it never sees a partial state.
        self.progress = {"step": step, "done": done, "total": total, "began": began}
        if self.stop is not None:
            raise self.stop

    def counter(self, step: str) -> Callable[[int, int], None]:
        """Return a function of (done, total) that reports this step."""
        return lambda done, total: self.report(step, done, total)


@dataclass(frozen=True, slots=True)
class JobKind:
    """A function that the worker runs.

    Attributes:
        name: how the kind is stored; it must not change between versions.
        title: what it does, marked for translation.
        subject: the table of the number that it works on: campaign, dataset, run, import or turn.
        work: the function; it may return JSON values, the result of the job.
        queue_name: one of `QUEUES`.
        once: while a job for the same subject is queued, another one is not queued. It would
            find nothing left to do.
    """

    name: str
    title: str
    subject: str
    work: Callable[..., dict[str, Any] | None]
    queue_name: str
    once: bool

    def queue(
        self, session: Session, subject: int, owner_id: int | None = None, **parameters: Any
    ) -> int | None:
        """Queue the job; returns its number, or None if one is queued already."""
        return jobs_queue.add(
            session,
            self.name,
            subject,
            parameters,
            queue=self.queue_name,
            owner_id=owner_id,
            once=self.once,
        )


KINDS: dict[str, JobKind] = {}


def job(
    name: str, title: str, *, subject: str, queue: str = LABELS, once: bool = False
) -> Callable[[Callable[..., dict[str, Any] | None]], JobKind]:
    """Make a function a `JobKind`, and register it."""

    def register(work: Callable[..., dict[str, Any] | None]) -> JobKind:
        KINDS[name] = JobKind(name, title, subject, work, queue, once)
        return KINDS[name]

    return register


@job(
    "propose_labels",
    mark("train a model and propose labels"),
    subject="campaign",
    queue="training",
    once=True,
)
def propose_labels(
    context: JobContext, campaign_id: int, automatic: bool = False
) -> dict[str, Any] | None:
    """Train a model on the votes of a campaign, publish its proposals, and derive all labels.

    An attempt after the publication only derives the labels. An earlier attempt has measured most
    images already, and the feature cache has kept that.
    """
    from labeler.proposals.runs import published_by_job
    from labeler.proposals.service import (  # late: scikit-learn takes seconds
        RunOrigin,
        train_and_propose,
    )

    db = context.db
    with db.read() as session:
        dataset_id = campaigns.get_campaign(session, campaign_id).dataset_id
        run_id = published_by_job(session, dataset_id, context.job_id)
    if run_id is None:
        run_id = train_and_propose(
            db,
            campaign_id,
            cache=_feature_cache(context.settings),
            origin=RunOrigin(context.owner_id, automatic, context.job_id),
            report=context.report,
        ).run_id
    _refresh_dataset(context, dataset_id)
    return {mark("run"): run_id}


@job(
    "restore_run",
    mark("compute the proposals of an older run again"),
    subject="run",
    queue="training",
)
def restore_run(context: JobContext, run_id: int) -> None:
    """Make an older model run current again, and compute its missing proposals."""
    from labeler.proposals.rollback import restore_run as restore  # late: scikit-learn
    from labeler.proposals.runs import current_run, get_run

    with context.db.read() as session:
        dataset_id = get_run(session, run_id).dataset_id
        current = current_run(session, dataset_id)
    if current is None or current.id != run_id:  # an earlier attempt may have come so far
        cache = _feature_cache(context.settings)
        progress = context.counter(mark("proposing labels"))
        restore(context.db, run_id, context.owner_id, cache, progress)
    _refresh_dataset(context, dataset_id)


@job("refresh_dataset", mark("compute the labels of a data set again"), subject="dataset")
def refresh_dataset(context: JobContext, dataset_id: int) -> None:
    """Derive all labels of a data set again, because another model run is current."""
    _refresh_dataset(context, dataset_id)


@job("refresh_all_images", mark("compute all labels again"), subject="campaign", once=True)
def refresh_all_images(context: JobContext, campaign_id: int) -> None:
    """Derive annotator skills and all labels again, after new rules, gold or decisions."""
    from labeler.quality.refresh import refresh_campaign as refresh  # late: NumPy

    progress = context.counter(mark("computing labels"))
    refresh(context.db, campaign_id, all_images=True, progress=progress)


@job("refresh_campaign", mark("evaluate new votes"), subject="campaign", once=True)
def refresh_campaign(context: JobContext, campaign_id: int) -> None:
    """Derive annotator skills and the labels of images with votes again, after new votes."""
    from labeler.quality.refresh import refresh_campaign as refresh  # late: NumPy

    refresh(context.db, campaign_id, progress=context.counter(mark("computing labels")))


@job("fill_campaign", mark("add the images of a campaign"), subject="campaign", once=True)
def fill_campaign(context: JobContext, campaign_id: int) -> None:
    """Add the images that a campaign selects."""
    campaigns.fill_campaign(context.db, campaign_id, context.counter(mark("adding images")))


@job("delete_campaign", mark("delete a campaign"), subject="campaign", once=True)
def delete_campaign(context: JobContext, campaign_id: int) -> None:
    """Delete the rows and figures of a campaign that is marked."""
    campaign_deletion.remove_rows(context.db, campaign_id, context.counter(mark("deleting rows")))
    remove_figures(context.settings.home, campaign_id)


@job("delete_dataset", mark("delete a data set"), subject="dataset", once=True)
def delete_dataset(context: JobContext, dataset_id: int) -> None:
    """Delete the rows of a data set that is marked, its poses, and the figures of its campaigns."""
    from labeler.images.pose_measuring import remove_poses  # late: NumPy

    counter, home = context.counter(mark("deleting rows")), context.settings.home
    with work_lock(context.db, AdvisoryLock.IMPORT):
        for campaign_id in dataset_deletion.remove_rows(context.db, dataset_id, counter):
            remove_figures(home, campaign_id)
        remove_poses(home, dataset_id)


@job("draw_mean_faces", mark("draw the mean faces"), subject="campaign", queue="figures")
def draw_mean_faces(context: JobContext, campaign_id: int, options: dict[str, Any]) -> None:
    """Draw the mean faces of a campaign; `options` are those of `mean_faces.files.Options`."""
    from labeler.mean_faces import files  # late: NumPy and Pillow

    progress = context.counter(mark("adding up images"))
    chosen = files.Options(**options)
    files.make(context.db, context.settings.home, campaign_id, chosen, progress)


@job("measure_poses", mark("measure head poses"), subject="dataset", queue="figures", once=True)
def measure_poses(context: JobContext, dataset_id: int) -> dict[str, Any]:
    """Measure how far the heads of a data set are turned, where that is not known."""
    from labeler.images.pose_measuring import measure_missing_yaw  # late: NumPy

    progress = context.counter(mark("measuring poses"))
    report = measure_missing_yaw(context.db, context.settings.home, dataset_id, progress)
    return {
        mark("images with a yaw"): report.stored,
        mark("without a clear face"): report.faceless,
    }


@job(
    "import_images", mark("check and register images"), subject="import", queue="figures", once=True
)
def import_images(context: JobContext, import_id: int) -> dict[str, Any] | None:
    """Check and register the images of an upload, or of a folder of the server."""
    from labeler.image_imports.service import register_images  # late: NumPy

    with work_lock(context.db, AdvisoryLock.IMPORT):
        return register_images(context.db, context.settings, import_id, context.report)


@job("remove_import", mark("remove a cancelled import"), subject="import", once=True)
def remove_import(context: JobContext, import_id: int) -> None:
    """Remove what a cancelled import has left, once no other job works on it."""
    from labeler.image_imports.service import remove_import as remove

    with work_lock(context.db, AdvisoryLock.IMPORT):
        remove(context.db, context.settings, import_id)


@job("turn_head", mark("turn a head"), subject="turn", queue=TURNING, once=True)
def turn_head(context: JobContext, turn_id: int) -> dict[str, Any]:
    """Turn a head as it was ordered in the studio. If it is refused, its upload is removed.

    An attempt that has lost the job removes nothing: another attempt may need the upload.
    `labeler.jobs.turning.tidy_studio` removes it once the job has ended.
    """
    from labeler.studio import files
    from labeler.studio.turning import turn_head as turn  # late: NumPy

    try:
        return turn(context.db, context.settings, turn_id, context.report)
    except (Cancelled, Interrupted):
        raise
    except SidelightError:
        with context.db.read() as session:
            stored = session.get(HeadTurn, turn_id)
            held = jobs_queue.is_held(session, context.job_id, context.worker)
        if stored is not None and stored.finished_at is not None:
            return {"turn": turn_id}  # another attempt was quicker
        if held and (stored is None or not stored.keeps_upload):
            files.remove_source(context.settings.home, turn_id)
        raise


def queue_due(db: Database) -> list[str]:
    """Queue the jobs that follow from what is stored; returns what was queued, in words.

    The workers that take the queue `LABELS` call this every minute. Only the database decides what
    is due: new votes, rules that some rows do not follow yet, enough votes for another training, a
    deletion or the removal of a cancelled import that was interrupted. A due job that has failed is
    queued again after `RETRY_DUE_AFTER`. A step that fails stops no other step.
    """
    from labeler.image_imports.service import find_cancelled  # late: NumPy
    from labeler.proposals import schedule
    from labeler.quality.refresh import find_due  # late: NumPy

    with db.read() as session:
        wanted: list[tuple[JobKind, int, dict[str, Any]]] = [
            (refresh_all_images if all_images else refresh_campaign, campaign_id, {})
            for campaign_id, all_images in find_due(session)
        ]
        wanted += [
            (propose_labels, campaign_id, {"automatic": True})
            for campaign_id in schedule.find_due(session)
        ]
        wanted += [(delete_dataset, one, {}) for one in dataset_deletion.find_marked(session)]
        wanted += [(delete_campaign, one, {}) for one in campaign_deletion.find_marked(session)]
        wanted += [(remove_import, one, {}) for one in find_cancelled(session)]
        wanted = [each for each in wanted if _may_start(session, *each[:2])]  # takes no lock
    queued = []
    for kind, subject, parameters in wanted:
        with db.write() as session:
            # Another worker may have queued it meanwhile.
            take_advisory_lock(session, AdvisoryLock.DUE_JOBS)
            if not _may_start(session, kind, subject):
                continue
            if kind.queue(session, subject, **parameters) is not None:
                queued.append(f"{kind.name} {subject}")
    return queued


def _may_start(session: Session, kind: JobKind, subject: int) -> bool:
    if jobs_queue.is_open(session, kind.name, subject):
        return False
    failed = jobs_queue.last_failure(session, kind.name, subject)
    # A clock that was set back must not stop it either.
    return failed is None or abs(utc_now() - failed.created_at) > RETRY_DUE_AFTER


def _refresh_dataset(context: JobContext, dataset_id: int) -> None:
    from labeler.quality.refresh import refresh_dataset

    refresh_dataset(context.db, dataset_id, context.counter(mark("computing labels")))


def _feature_cache(settings: Settings) -> Any:
    from labeler.proposals.feature_cache import FILE, FeatureCache

    return FeatureCache(settings.home / FILE)
