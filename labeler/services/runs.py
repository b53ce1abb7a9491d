"""Model runs: started, filled by a proposer, published or marked as failed, and pruned.

The run of a data set that was published last is the current one. Nobody looks at a run before it
is published, so that its proposals may come in many short transactions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Select, delete, exists, select, update
from sqlalchemy.orm import Session

from labeler.db import Database
from labeler.errors import Conflict
from labeler.models import ModelRun, Proposal, utc_now

KEEP_RUNS = 3  # published runs whose proposals are kept
ABANDONED_AFTER = timedelta(hours=6)


def current_run(session: Session, dataset_id: int) -> ModelRun | None:
    """The run of the data set that was published last."""
    return session.scalars(_published(dataset_id).limit(1)).first()


def start_run(db: Database, dataset_id: int, method: str, settings: dict[str, Any]) -> int:
    """Make a run with status `training`; runs whose process is long gone become `failed`."""
    with db.write() as session:
        session.execute(
            update(ModelRun)
            .where(ModelRun.status == "training", ModelRun.created_at < utc_now() - ABANDONED_AFTER)
            .values(status="failed", problem="interrupted: its process is gone")
        )
        run = ModelRun(dataset_id=dataset_id, method=method, settings=settings, metrics={})
        session.add(run)
        session.flush()
        return run.id


@contextmanager
def failing(db: Database, run_id: int) -> Iterator[None]:
    """Mark the run as failed when anything at all, an interrupt included, leaves the block."""
    done = False
    try:
        yield
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


def publish_run(db: Database, run_id: int, metrics: dict[str, Any]) -> None:
    """Make the run the current one of its data set.

    Raises:
        Conflict: it is not in training any more.
    """
    with db.write() as session:
        result = session.execute(
            update(ModelRun)
            .where(ModelRun.id == run_id, ModelRun.status == "training")
            .values(status="published", published_at=utc_now(), metrics=metrics)
        )
        if cast(CursorResult[Any], result).rowcount != 1:
            raise Conflict(f"Model run {run_id} took too long and was given up; start another.")


def prune_proposals(db: Database, dataset_id: int) -> int:
    """Delete the proposals of failed runs and of all but the last `KEEP_RUNS` published ones.

    The runs themselves stay for ever: votes refer to them, and each vote holds the label that
    was shown. Returns how many proposals went.
    """
    kept = _published(dataset_id).with_only_columns(ModelRun.id).limit(KEEP_RUNS)
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


def _published(dataset_id: int) -> Select[ModelRun]:
    return (
        select(ModelRun)
        .where(ModelRun.dataset_id == dataset_id, ModelRun.status == "published")
        .order_by(ModelRun.published_at.desc(), ModelRun.id.desc())
    )
