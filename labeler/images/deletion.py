"""Deleting a data set with all its campaigns, for good. The image files stay where they are.

As with a campaign (`labeler.campaigns.deletion`) the data set is marked first and then disappears
batch by batch. The images go in one transaction at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.campaigns.deletion import BATCH, Progress
from labeler.campaigns.deletion import remove_rows as remove_campaign
from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.image_imports import OPEN_STATES, ImageImport
from labeler.models.images import Dataset, Image
from labeler.models.proposals import ModelRun, Proposal, Publication
from labeler.models.subsets import Subset, SubsetImage
from labeler.models.voting import Vote

GONE = mark("This data set does not exist any more. Somebody else may have deleted it just now.")
# Before an image goes, the database looks for rows about it, each time in the whole table.
LOOKED_FOR = ("vote", "lease", "subset_image", "image_flag")


@dataclass(frozen=True, slots=True)
class DatasetForecast:
    """What goes with a data set. `votes`: in all its campaigns, also superseded ones.

    `active`: the names of its active campaigns. `importing`: whether an import of it is open.
    """

    name: str
    path: str
    active: Sequence[str]
    images: int
    campaigns: int
    votes: int
    people: int
    runs: int
    importing: bool


def forecast_deletion(session: Session, dataset_id: int) -> DatasetForecast:
    """What `mark_deleted` will take away.

    Raises:
        NotFound: no such data set.
    """
    dataset = _existing(session, dataset_id)
    own = select(Campaign.id).where(Campaign.dataset_id == dataset_id)
    alive = Campaign.dataset_id == dataset_id, Campaign.deleted_at.is_(None)
    votes, people = session.execute(
        select(func.count(), func.count(Vote.annotator_id.distinct())).where(
            Vote.campaign_id.in_(own)
        )
    ).one()

    def count(table: Any, *conditions: Any) -> int:
        return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0

    active = select(Campaign.name).where(*alive, Campaign.active).order_by(Campaign.name)
    importing = ImageImport.name == dataset.name, ImageImport.state.in_(OPEN_STATES)
    return DatasetForecast(
        dataset.name,
        dataset.path,
        session.scalars(active).all(),
        images=count(Image, Image.dataset_id == dataset_id),
        campaigns=count(Campaign, *alive),
        votes=votes,
        people=people,
        runs=count(ModelRun, ModelRun.dataset_id == dataset_id),
        importing=count(ImageImport, *importing) > 0,
    )


def mark_deleted(session: Session, dataset_id: int, by: Actor = NOBODY) -> DatasetForecast:
    """Make a data set and its campaigns disappear, and log what went.

    `remove_rows` then deletes their rows. The name is free at once. Of two people who delete it at
    once, the second one is told.

    Raises:
        NotFound: no such data set, or somebody else has deleted it.
        Conflict: one of its campaigns is active, an import of it is open, or a model is being
            trained on it.
    """
    dataset = _existing(session, dataset_id, lock=True)
    told = forecast_deletion(session, dataset_id)
    if told.active:
        raise Conflict(
            _(
                "The campaign %(name)r of this data set is active. Deactivate it first.",
                name=told.active[0],
            )
        )
    if told.importing:
        raise Conflict(
            _(
                "The import of %(name)r has not ended. Wait until it has ended, or cancel it.",
                name=told.name,
            )
        )
    in_training = ModelRun.dataset_id == dataset_id, ModelRun.status == "training"
    if session.scalar(select(ModelRun.id).where(*in_training)) is not None:
        raise Conflict(_("A model is being trained on this data set. Stop the training first."))
    _mark(session, dataset)
    numbers: dict[str, Any] = {"images": told.images, "campaigns": told.campaigns}
    numbers |= {"votes": told.votes, "people": told.people}
    record(session, "dataset_deleted", by, ("dataset", dataset_id), **numbers)
    session.flush()
    return told


def mark_unused(session: Session, dataset_id: int) -> bool:
    """Make a data set disappear that no campaign uses; returns False if one does.

    An archived campaign uses it too, a deleted one does not. `remove_rows` then deletes the rows.

    Raises:
        NotFound: no such data set, or somebody else has deleted it.
    """
    dataset = _existing(session, dataset_id, lock=True)
    used = Campaign.dataset_id == dataset_id, Campaign.deleted_at.is_(None)
    if session.scalar(select(Campaign.id).where(*used).limit(1)) is not None:
        return False
    _mark(session, dataset)
    return True


def remove_rows(db: Database, dataset_id: int, progress: Progress | None = None) -> list[int]:
    """Delete the rows of a marked data set; returns the numbers of its campaigns.

    The call may be stopped and repeated at any time. A campaign that an earlier version has let
    somebody create after the mark goes too.

    Raises:
        Conflict: the data set is not marked.
    """
    with db.write() as session:
        dataset = session.get(Dataset, dataset_id)
        if dataset is None:
            return []
        if dataset.deleted_at is None:
            raise Conflict(_("The data set %(name)r is not to be deleted.", name=dataset.name))
        _mark_campaigns(session, dataset_id)
        of_dataset = select(Campaign.id).where(Campaign.dataset_id == dataset_id)
        campaign_ids = list(session.scalars(of_dataset))
        runs = list(session.scalars(select(ModelRun.id).where(ModelRun.dataset_id == dataset_id)))
    for campaign_id in campaign_ids:
        remove_campaign(db, campaign_id, progress)
    for run_id in runs:
        _remove_proposals(db, run_id)
    with db.write() as session:
        _remove_images(session, dataset_id, runs)
    return campaign_ids


def find_marked(session: Session) -> Sequence[int]:
    """The data sets that are marked and still there."""
    return session.scalars(
        select(Dataset.id).where(Dataset.deleted_at.is_not(None)).order_by(Dataset.id)
    ).all()


def _mark(session: Session, dataset: Dataset) -> None:
    _mark_campaigns(session, dataset.id)
    dataset.deleted_at, dataset.name = utc_now(), f"deleted data set {dataset.id}"
    session.flush()


def _mark_campaigns(session: Session, dataset_id: int) -> None:
    unmarked = Campaign.dataset_id == dataset_id, Campaign.deleted_at.is_(None)
    now = utc_now()
    for campaign in session.scalars(select(Campaign).where(*unmarked)):
        campaign.active = False
        campaign.archived_at = campaign.archived_at or now
        campaign.deleted_at = now
    session.flush()


def _remove_proposals(db: Database, run_id: int) -> None:
    of_run = select(Proposal.image_id).where(Proposal.model_run_id == run_id)
    while True:
        with db.write() as session:
            batch = session.scalars(of_run.order_by(Proposal.image_id).limit(BATCH)).all()
            if not batch:
                return
            _delete(
                session, Proposal, Proposal.model_run_id == run_id, Proposal.image_id.in_(batch)
            )


def _remove_images(session: Session, dataset_id: int, runs: Sequence[int]) -> None:
    """Delete the runs, the images and the data set, with indexes for the look into other tables."""
    for table in LOOKED_FOR:
        session.execute(text(f"CREATE INDEX ix_{table}_in_deletion ON {table} (image_id)"))
    subsets = select(Subset.id).where(Subset.dataset_id == dataset_id)
    _delete(session, SubsetImage, SubsetImage.subset_id.in_(subsets))
    _delete(session, Subset, Subset.dataset_id == dataset_id)
    _delete(session, Publication, Publication.model_run_id.in_(runs))
    _delete(session, ModelRun, ModelRun.dataset_id == dataset_id)
    _delete(session, Image, Image.dataset_id == dataset_id)
    _delete(session, Dataset, Dataset.id == dataset_id)
    for table in LOOKED_FOR:
        session.execute(text(f"DROP INDEX ix_{table}_in_deletion"))


def _delete(session: Session, table: Any, *conditions: Any) -> None:
    session.execute(delete(table).where(*conditions).execution_options(synchronize_session=False))


def _existing(session: Session, dataset_id: int, *, lock: bool = False) -> Dataset:
    query = select(Dataset).where(Dataset.id == dataset_id)
    if lock:
        query = query.with_for_update(of=Dataset)
    dataset = session.scalar(query.execution_options(populate_existing=True))
    if dataset is None or dataset.deleted_at is not None:
        raise NotFound(_(GONE))
    return dataset
