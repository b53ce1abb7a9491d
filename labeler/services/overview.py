"""What pages list: data sets, broken files, model runs, a person's answers."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.models import Dataset, Image, ModelRun, Vote


def active_dataset(session: Session) -> Dataset | None:
    """The data set that is being labelled."""
    return session.scalars(select(Dataset).where(Dataset.active)).first()


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


def list_runs(session: Session, dataset_id: int, limit: int) -> Sequence[ModelRun]:
    """The last `limit` model runs of a data set, newest first."""
    return session.scalars(
        select(ModelRun)
        .where(ModelRun.dataset_id == dataset_id)
        .order_by(ModelRun.id.desc())
        .limit(limit)
    ).all()


def count_answers(session: Session, annotator_id: int) -> dict[str, int]:
    """How often the person gave each answer, in votes that count."""
    rows = session.execute(
        select(Vote.answer, func.count().label("votes"))
        .where(Vote.annotator_id == annotator_id, Vote.superseded_at.is_(None))
        .group_by(Vote.answer)
    )
    return {row.answer: row.votes for row in rows}
