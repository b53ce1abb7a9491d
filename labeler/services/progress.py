"""How far the work is: for one person and for a data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from labeler.domain.labels import ANSWERS, LABELS
from labeler.models import Consensus, Dataset, Image, Vote, utc_now


@dataclass(frozen=True, slots=True)
class OwnProgress:
    """`votes` that count, in all data sets; `today` since midnight UTC; `remaining`: images of
    the active data set that are open and that the person has not answered."""

    votes: int
    today: int
    remaining: int


@dataclass(frozen=True)
class DatasetProgress:
    """Counts of images by state, of votes, of agreed labels and of answers."""

    images: int = 0
    ok: int = 0
    broken: int = 0
    unchecked: int = 0
    open: int = 0
    agreed: int = 0
    contested: int = 0
    votes: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)


def own_progress(
    session: Session, annotator_id: int, *, now: datetime | None = None
) -> OwnProgress:
    """The progress of one person; two statements."""
    midnight = (now or utc_now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    is_open = and_(Dataset.active, Consensus.status == "open")
    votes, today, answered_open = session.execute(
        select(
            func.count(),
            func.count(case((Vote.created_at >= midnight, 1))),
            func.count(case((is_open, 1))),
        )
        .select_from(Vote)
        .outerjoin(Consensus, Consensus.image_id == Vote.image_id)
        .outerjoin(Dataset, Dataset.id == Consensus.dataset_id)
        .where(Vote.annotator_id == annotator_id, Vote.superseded_at.is_(None))
    ).one()
    active = select(Dataset.id).where(Dataset.active).scalar_subquery()
    open_images = session.scalar(
        select(func.count()).where(Consensus.dataset_id == active, Consensus.status == "open")
    )
    return OwnProgress(votes, today, (open_images or 0) - answered_open)


def dataset_progress(session: Session, dataset_id: int) -> DatasetProgress:
    """The progress of a data set, all zero if there is none of that number; two statements."""
    states = session.execute(
        select(Image.status, func.count())
        .where(Image.dataset_id == dataset_id)
        .group_by(Image.status)
    )
    images = dict(states.all())
    sums = [func.sum(getattr(Consensus, f"votes_{answer}")) for answer in ANSWERS]
    groups = session.execute(
        select(Consensus.status, Consensus.label, func.count(), *sums)
        .where(Consensus.dataset_id == dataset_id)
        .group_by(Consensus.status, Consensus.label)
    ).all()
    statuses = dict.fromkeys(("open", "agreed", "contested"), 0)
    labels = dict.fromkeys(LABELS, 0)
    answers = dict.fromkeys(ANSWERS, 0)
    for status, label, count, *votes in groups:
        statuses[status] += count
        if label is not None:
            labels[label] += count
        for answer, number in zip(ANSWERS, votes, strict=True):
            answers[answer] += number
    return DatasetProgress(
        images=sum(images.values()),
        **{status: images.get(status, 0) for status in ("ok", "broken", "unchecked")},
        **statuses,
        votes=sum(answers.values()),
        labels=labels,
        answers=answers,
    )
