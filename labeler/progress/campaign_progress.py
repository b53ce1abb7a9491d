"""The progress of a data set and of a campaign."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.consensus.derivation import DECISION_METHOD, GOLD_METHOD
from labeler.labels import ANSWERS
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from rotation.data.labels import LABELS

COUNTED_UP_TO = 5_000  # images left for a person; counting 200,000 would slow down votes


@dataclass(frozen=True)
class DatasetProgress:
    """Numbers of images by status."""

    images: int = 0
    ok: int = 0
    broken: int = 0
    unchecked: int = 0


@dataclass(frozen=True)
class CampaignProgress:
    """Numbers of images by status, of votes, of agreed labels and of answers.

    Attributes:
        open, agreed, contested: images by status.
        gold: gold questions without a decision.
        undecided: contested images without a decision.
        votes: votes that count.
        labels: agreed images by label.
        answers: votes by answer.
        open_after: maps a number of votes to the number of open images that have it.
        finished_after: the same for images that the votes have finished. Gold and decided images
            are in neither.
    """

    open: int = 0
    agreed: int = 0
    contested: int = 0
    gold: int = 0
    undecided: int = 0
    votes: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    open_after: dict[int, int] = field(default_factory=dict)
    finished_after: dict[int, int] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """The number of images of the campaign."""
        return self.open + self.agreed + self.contested


def dataset_progress(session: Session, dataset_id: int) -> DatasetProgress:
    """Count the images of a data set; one statement. An unknown data set has none."""
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
    """Return the progress of a campaign; one statement. An unknown campaign has none.

    The groups have the order of an index, so the database neither reads rows nor sorts them. There
    are a few hundred groups, for any number of images.
    """
    columns = [Consensus.status, Consensus.label, Consensus.method]
    columns += [getattr(Consensus, f"votes_{answer}") for answer in ANSWERS]
    groups = session.execute(
        select(*columns, func.count())
        .where(Consensus.campaign_id == campaign_id)
        .group_by(Consensus.campaign_id, *columns)
    )
    return _add_up(groups.all())


def _add_up(groups: Iterable[Sequence[Any]]) -> CampaignProgress:
    """Add up rows of status, label, method, votes by answer, and number of images."""
    statuses = dict.fromkeys(("open", "agreed", "contested"), 0)
    gold = undecided = 0
    labels, answers = dict.fromkeys(LABELS, 0), dict.fromkeys(ANSWERS, 0)
    after: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for status, label, method, *votes, images in groups:
        statuses[status] += images
        if label is not None:
            labels[label] += images
        for answer, number in zip(ANSWERS, votes, strict=True):
            answers[answer] += number * images
        gold += images * (method == GOLD_METHOD)
        if method not in (GOLD_METHOD, DECISION_METHOD):
            undecided += images * (status == "contested")
            counted = after[status == "open"]
            counted[sum(votes)] = counted.get(sum(votes), 0) + images
    return CampaignProgress(
        **statuses,
        gold=gold,
        undecided=undecided,
        votes=sum(answers.values()),
        labels=labels,
        answers=answers,
        open_after=after[True],
        finished_after=after[False],
    )
