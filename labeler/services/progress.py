"""How far the work is: for one person, a data set and a campaign."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from labeler.domain.labels import ANSWERS, LABELS
from labeler.models import Campaign, Consensus, Image, Vote, utc_now


@dataclass(frozen=True, slots=True)
class OwnProgress:
    """`votes` that count in the active campaign; `today` since midnight UTC; `remaining`: images
    that are open and that the person has not answered."""

    votes: int
    today: int
    remaining: int


@dataclass(frozen=True)
class DatasetProgress:
    """Counts of images by state."""

    images: int = 0
    ok: int = 0
    broken: int = 0
    unchecked: int = 0


@dataclass(frozen=True)
class CampaignProgress:
    """Counts of images by state, of votes, of agreed labels and of answers."""

    open: int = 0
    agreed: int = 0
    contested: int = 0
    votes: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """The images of the campaign."""
        return self.open + self.agreed + self.contested


def own_progress(
    session: Session, annotator_id: int, *, now: datetime | None = None
) -> OwnProgress:
    """The progress of one person in the active campaign; two statements."""
    midnight = (now or utc_now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    votes, today, answered_open = session.execute(
        select(
            func.count(),
            func.count(case((Vote.created_at >= midnight, 1))),
            func.count(case((Consensus.status == "open", 1))),
        )
        .select_from(Vote)
        .join(Campaign, and_(Campaign.id == Vote.campaign_id, Campaign.active))
        .outerjoin(
            Consensus,
            and_(Consensus.campaign_id == Campaign.id, Consensus.image_id == Vote.image_id),
        )
        .where(Vote.annotator_id == annotator_id, Vote.superseded_at.is_(None))
    ).one()
    active = select(Campaign.id).where(Campaign.active).scalar_subquery()
    open_images = session.scalar(
        select(func.count()).where(Consensus.campaign_id == active, Consensus.status == "open")
    )
    return OwnProgress(votes, today, (open_images or 0) - answered_open)


def dataset_progress(session: Session, dataset_id: int) -> DatasetProgress:
    """The images of a data set, all zero if there is none of that number; one statement."""
    states = session.execute(
        select(Image.status, func.count())
        .where(Image.dataset_id == dataset_id)
        .group_by(Image.status)
    )
    images = dict(states.all())
    return DatasetProgress(
        images=sum(images.values()),
        **{status: images.get(status, 0) for status in ("ok", "broken", "unchecked")},
    )


def campaign_progress(session: Session, campaign_id: int) -> CampaignProgress:
    """The progress of a campaign, all zero if there is none of that number; one statement."""
    sums = [func.sum(getattr(Consensus, f"votes_{answer}")) for answer in ANSWERS]
    groups = session.execute(
        select(Consensus.status, Consensus.label, func.count(), *sums)
        .where(Consensus.campaign_id == campaign_id)
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
    return CampaignProgress(**statuses, votes=sum(answers.values()), labels=labels, answers=answers)
