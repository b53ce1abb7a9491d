"""What pages list: data sets, broken files, model runs, skills."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.models import Annotator, Dataset, Image, ModelRun, Skill


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


def list_skills(session: Session, campaign_id: int) -> list[tuple[Annotator, Skill]]:
    """What the last refresh found of each person who has voted in a campaign; one statement."""
    rows = session.execute(
        select(Annotator, Skill)
        .join(Skill, Skill.annotator_id == Annotator.id)
        .where(Skill.campaign_id == campaign_id)
        .order_by(Annotator.username)
    )
    return [(annotator, skill) for annotator, skill in rows]


def name_people(session: Session, annotator_ids: Sequence[int]) -> dict[int, str]:
    """The pseudonyms of some people."""
    rows = session.execute(
        select(Annotator.id, Annotator.pseudonym).where(Annotator.id.in_(annotator_ids))
    )
    return {row.id: row.pseudonym for row in rows}
