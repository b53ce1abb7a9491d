"""Model runs: start, publish, stop and list them, and delete old proposals.

The run of a data set that was published last is the current one. Nothing uses a run before it is
published, so its proposals can be stored in many short transactions. A data set has one run in
training at a time; the database refuses a second one.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, cast

from sqlalchemy import CursorResult, delete, exists, func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.database.engine import Database
from labeler.errors import Conflict, Interrupted, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.proposals import ModelRun, Proposal, Publication, published_runs

RUNS_OF_JOB = 20  # newest runs among which the run of a job is looked for
KEEP_RUNS = 3  # published runs whose proposals stay stored
ABANDONED_AFTER = timedelta(minutes=2)  # without a heartbeat of the process
BEAT_S = 2.0
INTERRUPTED = "interrupted: its process has ended"  # `ModelRun.problem`
log = logging.getLogger(__name__)
Report = Callable[[str, int, int], None]  # step, done, total
_STOPPED = "stopped by "  # begins the problem of a run that a person has stopped


class RunHeartbeat:
    """Writes `ModelRun.progress` every `BEAT_S` seconds, from its own thread.

    A fit can take minutes, and the run must not look abandoned. The work itself does not wait for
    the database.

    Parameters:
        report: also gets each progress; it may raise an error to end the run.
    """

    def __init__(self, db: Database, run_id: int, report: Report | None = None) -> None:
        self._db, self._run_id, self._report = db, run_id, report
        self._progress: dict[str, Any] = {}
        self._ended, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._beat, name=f"run-{run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def tell(self, step: str, done: int = 0, total: int = 0) -> None:
        """Report the progress of the run.

        Parameters:
            step: what the run does now.
            done, total: progress of the step; total 0 if it is not known.

        Raises:
            Conflict: the run was stopped.
        """
        began = time.time()
        if self._progress.get("step") == step:
            began = self._progress["began"]
        # Replaced as a whole, so that the other thread never sees a partial state.
        self._progress = {"step": step, "done": done, "total": total, "began": began}
        if self._report is not None:
            self._report(step, done, total)
        self.check()

    def check(self) -> None:
        """Raise `Conflict` if the run was stopped."""
        if self._stopped:
            raise Conflict(_("Model run %(run)s was stopped.", run=self._run_id))

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self._write()
            except OperationalError as error:  # the database is busy; the next beat follows soon
                log.warning("run %s: %s", self._run_id, error.orig)

    def _write(self) -> None:
        with self._db.write() as session:
            result = session.execute(
                update(ModelRun)
                .where(ModelRun.id == self._run_id, ModelRun.status == "training")
                .values(beat_at=utc_now(), progress=self._progress)
            )
        self._stopped = cast(CursorResult[Any], result).rowcount != 1


def current_run(session: Session, dataset_id: int) -> ModelRun | None:
    """Return the run of a data set that was published last."""
    return session.scalars(published_runs(dataset_id).limit(1)).first()


def previous_run(session: Session, dataset_id: int) -> ModelRun | None:
    """Return the run that was published before the current one."""
    return session.scalars(published_runs(dataset_id).offset(1).limit(1)).first()


def running_run(session: Session, dataset_id: int, now: datetime | None = None) -> ModelRun | None:
    """Return the run of a data set that is in training by a living process."""
    heard = func.coalesce(ModelRun.beat_at, ModelRun.created_at)
    return session.scalars(
        select(ModelRun).where(
            ModelRun.dataset_id == dataset_id,
            ModelRun.status == "training",
            heard >= (now or utc_now()) - ABANDONED_AFTER,
        )
    ).first()


def get_run(session: Session, run_id: int) -> ModelRun:
    """Return the run of that number.

    Raises:
        NotFound: there is no such run.
    """
    run = session.get(ModelRun, run_id)
    if run is None:
        raise NotFound(_("There is no model run %(run)s.", run=run_id))
    return run


def published_by_job(session: Session, dataset_id: int, job_id: int) -> int | None:
    """Return the id of the run that an earlier attempt of a job has published, if any."""
    recent = list_runs(session, dataset_id, RUNS_OF_JOB)
    own = (run for run in recent if run.settings.get("job") == job_id)
    return next((run.id for run in own if run.status == "published"), None)


def start_run(
    db: Database,
    dataset_id: int,
    method: str,
    settings: dict[str, Any],
    job_id: int | None = None,
) -> int:
    """Create a run with status `training`. Runs whose process has ended become `failed`.

    Parameters:
        job_id: the job that does it. A run of an earlier attempt at this job becomes `failed`.

    Raises:
        Conflict: another run of the data set is in training.
    """
    with db.write() as session:
        _end_abandoned(session)
        if job_id is not None:
            _end_earlier_attempt(session, dataset_id, job_id)
            settings = {**settings, "job": job_id}
        run = ModelRun(
            dataset_id=dataset_id,
            method=method,
            settings=settings,
            metrics={},
            beat_at=utc_now(),
        )
        session.add(run)
        session.flush()
        return run.id


@contextmanager
def working(db: Database, run_id: int, report: Report | None = None) -> Iterator[RunHeartbeat]:
    """Send heartbeats of a run, and mark it as failed if an error leaves the block.

    Parameters:
        report: as for `RunHeartbeat`.
    """
    done = False
    try:
        with RunHeartbeat(db, run_id, report) as heartbeat:
            yield heartbeat
        done = True
    finally:
        if not done:
            error = sys.exception()
            problem = f"{type(error).__name__}: {error}"
            if isinstance(error, Interrupted):
                problem = INTERRUPTED
            with db.write() as session:
                session.execute(
                    update(ModelRun)
                    .where(ModelRun.id == run_id, ModelRun.status == "training")
                    .values(status="failed", problem=problem)
                )


def stop_run(session: Session, run_id: int, who: str, by: Actor = NOBODY) -> None:
    """Stop a run in training. Its process notices within seconds.

    Parameters:
        who: the name that the run then shows; `by` is for the audit log.

    Raises:
        NotFound: there is no such run.
        Conflict: the run is not in training.
    """
    run = get_run(session, run_id)
    if run.status != "training":
        raise Conflict(_("Model run %(run)s is not in training.", run=run_id))
    run.status, run.problem = "failed", f"{_STOPPED}{who}"
    record(session, "training_stopped", by, ("run", run_id))


def was_stopped(run: ModelRun) -> bool:
    """Whether a person stopped the run. Nothing was wrong with it, although it counts as failed."""
    return run.status == "failed" and (run.problem or "").startswith(_STOPPED)


def publish_run(
    db: Database,
    run_id: int,
    metrics: dict[str, Any],
    model: bytes | None = None,
    annotator_id: int | None = None,
) -> None:
    """Make a run the current one of its data set.

    Parameters:
        metrics: the measures of the run, as JSON values.
        model: the stored model, which can compute deleted proposals again.
        annotator_id: who requested the run; None: nobody.

    Raises:
        Conflict: the run is not in training any more.
    """
    with db.write() as session:
        now = utc_now()
        result = session.execute(
            update(ModelRun)
            .where(ModelRun.id == run_id, ModelRun.status == "training")
            .values(
                status="published", published_at=now, metrics=metrics, model=model, progress=None
            )
        )
        if cast(CursorResult[Any], result).rowcount != 1:
            raise Conflict(
                _("Model run %(run)s was stopped or has failed. Start another run.", run=run_id)
            )
        session.add(Publication(model_run_id=run_id, annotator_id=annotator_id, at=now))


def prune_proposals(db: Database, dataset_id: int) -> int:
    """Delete the proposals of failed runs, and of all but the last `KEEP_RUNS` published runs.

    The runs themselves stay, because votes refer to them. Each vote stores the label it showed.

    Returns:
        The number of deleted proposals.
    """
    kept = published_runs(dataset_id).with_only_columns(ModelRun.id).limit(KEEP_RUNS)
    stale = select(ModelRun.id).where(
        ModelRun.dataset_id == dataset_id,
        ModelRun.status != "training",
        ModelRun.id.not_in(kept),
        exists().where(Proposal.model_run_id == ModelRun.id),
    )
    with db.read() as session:
        run_ids = session.scalars(stale).all()
    pruned = 0
    for run_id in run_ids:
        with db.write() as session:
            result = session.execute(delete(Proposal).where(Proposal.model_run_id == run_id))
            pruned += cast(CursorResult[Any], result).rowcount
    return pruned


def list_runs(session: Session, dataset_id: int, limit: int) -> Sequence[ModelRun]:
    """Return the last `limit` model runs of a data set, newest first."""
    return session.scalars(
        select(ModelRun)
        .where(ModelRun.dataset_id == dataset_id)
        .order_by(ModelRun.id.desc())
        .limit(limit)
    ).all()


def latest_run(session: Session, dataset_id: int) -> ModelRun | None:
    """Return the model run of a data set that started last, also a failed one."""
    return next(iter(list_runs(session, dataset_id, 1)), None)


def _end_abandoned(session: Session) -> None:
    heard = func.coalesce(ModelRun.beat_at, ModelRun.created_at)
    session.execute(
        update(ModelRun)
        .where(ModelRun.status == "training", heard < utc_now() - ABANDONED_AFTER)
        .values(status="failed", problem=INTERRUPTED)
    )


def _end_earlier_attempt(session: Session, dataset_id: int, job_id: int) -> None:
    """A job has one worker at a time, so a run of it that is still in training has lost its own."""
    training = select(ModelRun).where(
        ModelRun.dataset_id == dataset_id, ModelRun.status == "training"
    )
    for run in session.scalars(training):
        if run.settings.get("job") == job_id:
            run.status, run.problem = "failed", INTERRUPTED
    session.flush()
