"""Model runs: started, filled by a proposer, published or marked as failed, and pruned.

The run of a data set that was published last is the current one. Nobody looks at a run before it
is published, so that its proposals may come in many short transactions. One run of a data set is
in training at a time: the database refuses a second.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, cast

from sqlalchemy import CursorResult, delete, exists, func, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound
from labeler.models import ModelRun, Proposal, Publication, published_runs, utc_now

KEEP_RUNS = 3  # published runs whose proposals are kept
ABANDONED_AFTER = timedelta(minutes=2)  # without a word of the process that trains


def current_run(session: Session, dataset_id: int) -> ModelRun | None:
    """The run of the data set that was published last."""
    return session.scalars(published_runs(dataset_id).limit(1)).first()


def previous_run(session: Session, dataset_id: int) -> ModelRun | None:
    """The run that was published before the current one."""
    return session.scalars(published_runs(dataset_id).offset(1).limit(1)).first()


def running_run(session: Session, dataset_id: int, now: datetime | None = None) -> ModelRun | None:
    """The run of the data set that is in training, by a process that is still there."""
    heard = func.coalesce(ModelRun.beat_at, ModelRun.created_at)
    return session.scalars(
        select(ModelRun).where(
            ModelRun.dataset_id == dataset_id,
            ModelRun.status == "training",
            heard >= (now or utc_now()) - ABANDONED_AFTER,
        )
    ).first()


def get_run(session: Session, run_id: int) -> ModelRun:
    """The run of that number.

    Raises:
        NotFound: there is none.
    """
    run = session.get(ModelRun, run_id)
    if run is None:
        raise NotFound(f"There is no model run {run_id}.")
    return run


def start_run(db: Database, dataset_id: int, method: str, settings: dict[str, Any]) -> int:
    """Make a run with status `training`; runs whose process is gone become `failed`.

    Raises:
        Conflict: another run of the data set is in training.
    """
    try:
        with db.write() as session:
            _end_abandoned(session)
            run = ModelRun(
                dataset_id=dataset_id, method=method, settings=settings, metrics={},
                beat_at=utc_now(),
            )  # fmt: skip
            session.add(run)
            session.flush()
            return run.id
    except IntegrityError:
        raise Conflict(
            "Another run of this data set is in training. Wait until it is finished, or stop "
            "it on the page “Model runs”."
        ) from None


def _end_abandoned(session: Session) -> None:
    heard = func.coalesce(ModelRun.beat_at, ModelRun.created_at)
    session.execute(
        update(ModelRun)
        .where(ModelRun.status == "training", heard < utc_now() - ABANDONED_AFTER)
        .values(status="failed", problem="interrupted: its process has ended")
    )


@contextmanager
def working(db: Database, run_id: int) -> Iterator[RunHeartbeat]:
    """Tell how far the run is; mark it as failed when anything at all leaves the block."""
    done = False
    try:
        with RunHeartbeat(db, run_id) as heartbeat:
            yield heartbeat
        done = True
    finally:
        if not done:
            problem = f"{type(sys.exception()).__name__}: {sys.exception()}"
            with db.write() as session:
                session.execute(
                    update(ModelRun)
                    .where(ModelRun.id == run_id, ModelRun.status == "training")
                    .values(status="failed", problem=problem)
                )


def stop_run(session: Session, run_id: int, who: str) -> None:
    """Give a run in training up; its process finds out within seconds.

    Raises:
        NotFound: no such run.
        Conflict: it is not in training.
    """
    run = get_run(session, run_id)
    if run.status != "training":
        raise Conflict(f"Model run {run_id} is not in training.")
    run.status, run.problem = "failed", f"stopped by {who}"


def publish_run(
    db: Database,
    run_id: int,
    metrics: dict[str, Any],
    model: bytes | None = None,
    annotator_id: int | None = None,
) -> None:
    """Make the run the current one of its data set.

    Parameters:
        model: with which it can propose again when its proposals are gone.
        annotator_id: who asked for the run; None: nobody did.

    Raises:
        Conflict: it is not in training any more.
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
            raise Conflict(f"Model run {run_id} was stopped or has failed. Start another run.")
        session.add(Publication(model_run_id=run_id, annotator_id=annotator_id, at=now))


def prune_proposals(db: Database, dataset_id: int) -> int:
    """Delete the proposals of failed runs and of all but the last `KEEP_RUNS` published ones.

    The runs themselves stay for ever: votes refer to them, and each vote holds the label that
    was shown. Returns how many proposals went.
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


BEAT_S = 2.0

log = logging.getLogger(__name__)


class RunHeartbeat:
    """Writes `ModelRun.progress` every `BEAT_S`, from a thread of its own.

    A fit can take minutes without a word, and yet the run is not to be taken for abandoned. The
    work itself never waits for the database here.
    """

    def __init__(self, db: Database, run_id: int) -> None:
        self._db, self._run_id = db, run_id
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
        """How far the run is: `done` of `total` in this step; total 0: that cannot be told.

        Raises:
            Conflict: the run was stopped.
        """
        began = time.time()
        if self._progress.get("step") == step:
            began = self._progress["began"]
        # Replaced as a whole: the other thread sees one state or the next.
        self._progress = {"step": step, "done": done, "total": total, "began": began}
        self.check()

    def check(self) -> None:
        """Raises `Conflict` if the run was stopped."""
        if self._stopped:
            raise Conflict(f"Model run {self._run_id} was stopped.")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self._write()
            except OperationalError as error:  # the database is busy: the next beat will do
                log.warning("run %s: %s", self._run_id, error.orig)

    def _write(self) -> None:
        with self._db.write() as session:
            result = session.execute(
                update(ModelRun)
                .where(ModelRun.id == self._run_id, ModelRun.status == "training")
                .values(beat_at=utc_now(), progress=self._progress)
            )
        self._stopped = cast(CursorResult[Any], result).rowcount != 1


def list_runs(session: Session, dataset_id: int, limit: int) -> Sequence[ModelRun]:
    """The last `limit` model runs of a data set, newest first."""
    return session.scalars(
        select(ModelRun)
        .where(ModelRun.dataset_id == dataset_id)
        .order_by(ModelRun.id.desc())
        .limit(limit)
    ).all()


def latest_run(session: Session, dataset_id: int) -> ModelRun | None:
    """The model run of a data set that began last, whatever became of it."""
    return next(iter(list_runs(session, dataset_id, 1)), None)
