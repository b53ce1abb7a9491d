"""Go back to an older model run: it is published again, and newer runs stay.

Proposals of the last runs are stored. Those of older runs, and those for images added later, are
computed again by the stored model of the run, before the run becomes current.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from labeler.audit.log import Actor, record
from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.images import Dataset, Image
from labeler.models.proposals import ModelRun, Proposal, Publication
from labeler.proposals import training
from labeler.proposals.feature_cache import FeatureCache
from labeler.proposals.runs import current_run, get_run, prune_proposals
from labeler.proposals.service import Progress, ProposalBatch, landmarks_of, propose
from labeler.proposals.training import FeatureReader

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
    """Make a published run current again.

    The caller must derive the labels again afterwards (`quality.refresh.refresh_dataset`).

    Parameters:
        annotator_id: who requested it; None: the command line.
        cache, progress, processes: as for `train_and_propose`.

    Returns:
        The number of proposals that were computed again.

    Raises:
        NotFound: there is no such run.
        Conflict: the run was never published, is current already, or has no usable model.
        DatasetError: images cannot be read.
    """
    with db.read() as session:
        run = check_restorable(session, run_id)
        missing = list_missing(session, run)
        dataset = session.get_one(Dataset, run.dataset_id)
        model = _model_of(run) if missing else None
        landmarks = landmarks_of(session, dataset.id) if missing else {}
    made = ProposalBatch()
    if model is not None:
        crops = training.reads_crops(run.method)
        read = FeatureReader(dataset.path, processes, cache, landmarks, crops)
        made = propose(db, run_id, read, missing, model, progress=progress)
    with db.write() as session:
        if len(list_missing(session, get_run(session, run_id))) > len(made.unreadable):
            raise Conflict(
                _(
                    "Another run was published in the meantime. Go back to run %(run)s again.",
                    run=run_id,
                )
            )
        republish_run(session, run_id, Actor(annotator_id))
    prune_proposals(db, dataset.id)
    return len(made.image_ids)


def republish_run(session: Session, run_id: int, by: Actor) -> None:
    """Make a run with stored proposals current, and record who did it and when.

    Raises:
        NotFound, Conflict: as `restore_run`.
    """
    run = check_restorable(session, run_id)
    run.published_at = utc_now()
    session.add(Publication(model_run_id=run_id, annotator_id=by.id, at=run.published_at))
    record(session, "run_restored", by, ("run", run_id))
    session.flush()


def check_restorable(session: Session, run_id: int) -> ModelRun:
    """Return a run that can become current.

    Raises:
        NotFound, Conflict: as `restore_run`.
    """
    run = get_run(session, run_id)
    if run.status != "published":
        raise Conflict(
            _("Model run %(run)s was never published, so you cannot go back to it.", run=run_id)
        )
    current = current_run(session, run.dataset_id)
    if current is not None and current.id == run_id:
        raise Conflict(_("Model run %(run)s is already the current one.", run=run_id))
    return run


def list_missing(session: Session, run: ModelRun) -> Sequence[tuple[int, str]]:
    """Return number and name of the images without a proposal of the run, by name.

    The result is empty if no more images are missing than the run could not read. It is also empty
    for a run that has proposals but no stored model, because nothing could compute others.
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
    """Return how many proposals are stored of each of these runs."""
    rows = session.execute(
        select(Proposal.model_run_id, func.count())
        .where(Proposal.model_run_id.in_(run_ids))
        .group_by(Proposal.model_run_id)
    )
    return dict(rows.all())


def list_publications(
    session: Session, dataset_id: int, limit: int
) -> Sequence[tuple[Publication, str | None]]:
    """Return which run became current and by whom, the newest first. The name may be None."""
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

    if run.model is None or run.method not in training.methods():
        raise Conflict(
            _(
                "The proposals of model run %(run)s were deleted, and it has no stored model that "
                "this version can use. Choose a later run, or train a new one.",
                run=run.id,
            )
        )
    return model_from_bytes(run.model, run.method)
