"""Going back to an older model run: it is published again, and the newer ones stay.

The proposals of the last runs are kept. Those of an older run, and those for images that came
later, are made again by the model that the run left, before anybody sees any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.models import Annotator, Dataset, Image, ModelRun, Proposal, Publication, utc_now
from labeler.proposals import training
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.runs import current_run, get_run, prune_proposals
from labeler.proposals.service import Made, Progress, propose
from labeler.proposals.training import Reading

if TYPE_CHECKING:
    from labeler.light_classifier.mirror_logistic import MirrorLogistic


def restore_run(
    db: Database,
    run_id: int,
    annotator_id: int | None = None,
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
    processes: int | None = None,
) -> int:
    """Make a published run the current one again; returns how many proposals were made for it.

    The consensus is to be derived anew afterwards (`refreshing.refresh_dataset`).

    Parameters:
        annotator_id: who wants it; None: somebody at the command line.
        cache, progress, processes: as for `train_and_propose`.

    Raises:
        NotFound: no such run.
        Conflict: it was never published, is the current one, or can propose nothing any more.
        DatasetError: its images cannot be read.
    """
    with db.read() as session:
        run = check_restorable(session, run_id)
        missing = list_missing(session, run)
        dataset = session.get_one(Dataset, run.dataset_id)
        model = _model_of(run) if missing else None
    made = Made()
    if model is not None:
        read = Reading(dataset.path, processes, cache)
        made = propose(db, run_id, read, missing, model, progress=progress)
    with db.write() as session:
        if len(list_missing(session, get_run(session, run_id))) > len(made.unreadable):
            raise Conflict(
                f"Another run was published in the meantime. Go back to run {run_id} again."
            )
        republish_run(session, run_id, annotator_id)
    prune_proposals(db, dataset.id)
    return len(made.image_ids)


def republish_run(session: Session, run_id: int, annotator_id: int | None) -> None:
    """Make a run whose proposals are there the current one, and note who did it and when.

    Raises: NotFound, Conflict as `restore_run`.
    """
    run = check_restorable(session, run_id)
    run.published_at = utc_now()
    session.add(Publication(model_run_id=run_id, annotator_id=annotator_id, at=run.published_at))
    session.flush()


def check_restorable(session: Session, run_id: int) -> ModelRun:
    """The run, if it can become the current one; raises as `restore_run`."""
    run = get_run(session, run_id)
    if run.status != "published":
        raise Conflict(f"Model run {run_id} was never published, so you cannot go back to it.")
    current = current_run(session, run.dataset_id)
    if current is not None and current.id == run_id:
        raise Conflict(f"Model run {run_id} is already the current one.")
    return run


def list_missing(session: Session, run: ModelRun) -> Sequence[tuple[int, str]]:
    """Images without a proposal of the run: number and name, by name.

    Empty for a run that left no model and still has proposals: there is nothing to add them with.
    Images that the run could not read are not counted as long as there are no more than these.
    """
    has_one = exists().where(Proposal.model_run_id == run.id, Proposal.image_id == Image.id)
    rows = session.execute(
        select(Image.id, Image.filename)
        .where(Image.dataset_id == run.dataset_id, Image.status == "ok", ~has_one)
        .order_by(Image.filename)
    ).all()
    if len(rows) <= run.metrics.get("n_unreadable", 0):
        return []
    if run.model is None and _has_proposals(session, run.id):
        return []
    return [(image_id, filename) for image_id, filename in rows]


def count_proposals(session: Session, run_ids: Sequence[int]) -> dict[int, int]:
    """How many proposals are kept of each of these runs."""
    rows = session.execute(
        select(Proposal.model_run_id, func.count())
        .where(Proposal.model_run_id.in_(run_ids))
        .group_by(Proposal.model_run_id)
    )
    return dict(rows.all())


def list_publications(
    session: Session, dataset_id: int, limit: int
) -> Sequence[tuple[Publication, str | None]]:
    """Who made which run the current one, the last first; the name is None for nobody."""
    rows = session.execute(
        select(Publication, Annotator.username)
        .join(ModelRun, ModelRun.id == Publication.model_run_id)
        .outerjoin(Annotator, Annotator.id == Publication.annotator_id)
        .where(ModelRun.dataset_id == dataset_id)
        .order_by(Publication.id.desc())
        .limit(limit)
    )
    return [(publication, name) for publication, name in rows]


def _has_proposals(session: Session, run_id: int) -> bool:
    return bool(session.scalar(select(exists().where(Proposal.model_run_id == run_id))))


def _model_of(run: ModelRun) -> MirrorLogistic:
    from labeler.light_classifier.storage import model_from_bytes

    if run.model is None or run.method != training.method():
        raise Conflict(
            f"The proposals of model run {run.id} were deleted, and it has no stored model that "
            "this version can use. Choose a later run, or train a new one."
        )
    return model_from_bytes(run.model)
