"""Queries about data sets: list them, their campaigns and their broken files."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.errors import NotFound
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset, Image


def list_datasets(session: Session) -> Sequence[Dataset]:
    """Return all data sets, the active ones first, then by name."""
    return session.scalars(
        select(Dataset)
        .where(Dataset.deleted_at.is_(None))
        .order_by(Dataset.active.desc(), Dataset.name)
    ).all()


def get_dataset(session: Session, dataset_id: int) -> Dataset:
    """Return a data set.

    Raises:
        NotFound: there is none of that number, or it is deleted.
    """
    found = session.get(Dataset, dataset_id)
    if found is None or found.deleted_at is not None:
        raise NotFound(_("Data set %(number)s does not exist.", number=dataset_id))
    return found


def campaigns_of(session: Session, dataset_id: int) -> Sequence[Campaign]:
    """Return the campaigns of a data set, the active ones first, then the newest.

    Archived ones come last.
    """
    return session.scalars(
        select(Campaign)
        .where(Campaign.dataset_id == dataset_id, Campaign.deleted_at.is_(None))
        .order_by(Campaign.active.desc(), Campaign.archived_at.is_(None).desc(), Campaign.id.desc())
    ).all()


def list_broken(session: Session, dataset_id: int, limit: int | None = None) -> Sequence[Image]:
    """Return the broken files of a data set by name, the first `limit` of them."""
    return session.scalars(
        select(Image)
        .where(Image.dataset_id == dataset_id, Image.status == "broken")
        .order_by(Image.filename)
        .limit(limit)
    ).all()


def count_unknown_yaw(session: Session, dataset_id: int) -> int:
    """Return how many usable images of a data set have no known yaw."""
    unknown = (Image.dataset_id == dataset_id, Image.status == "ok", Image.yaw_deg.is_(None))
    return session.scalar(select(func.count()).where(*unknown)) or 0


def count_broken(session: Session, dataset_id: int) -> int:
    """Return how many files of a data set are broken."""
    counted = select(func.count()).where(Image.dataset_id == dataset_id, Image.status == "broken")
    return session.scalar(counted) or 0
