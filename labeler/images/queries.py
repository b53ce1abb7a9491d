"""What pages and commands list of data sets: the sets themselves and their broken files."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.models import Dataset, Image


def list_datasets(session: Session) -> Sequence[Dataset]:
    """All data sets, the active one first, then by name."""
    return session.scalars(select(Dataset).order_by(Dataset.active.desc(), Dataset.name)).all()


def list_broken(session: Session, dataset_id: int, limit: int) -> Sequence[Image]:
    """The first `limit` broken files of a data set, by name."""
    return session.scalars(
        select(Image)
        .where(Image.dataset_id == dataset_id, Image.status == "broken")
        .order_by(Image.filename)
        .limit(limit)
    ).all()


def count_broken(session: Session, dataset_id: int) -> int:
    """How many files of a data set are broken."""
    counted = select(func.count()).where(Image.dataset_id == dataset_id, Image.status == "broken")
    return session.scalar(counted) or 0
