"""How far the work is: for one person, a data set and a campaign."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from labeler.consensus.derivation import DECISION_METHOD, GOLD_METHOD
from labeler.labels import ANSWERS
from labeler.models import Consensus, Image
from rotation.data.labels import LABELS

COUNTED_UP_TO = 5_000  # images left: 200,000 would take most of a vote's time to count


@dataclass(frozen=True)
class DatasetProgress:
    """Counts of images by state."""

    images: int = 0
    ok: int = 0
    broken: int = 0
    unchecked: int = 0


@dataclass(frozen=True)
class CampaignProgress:
    """Counts of images by state, of votes, of agreed labels and of answers.

    `gold`: images whose answer is known. `undecided`: contested, and no supervisor has looked.
    `open_after`, `finished_after`: number of votes -> images that are open, and that the votes
    have ended; gold and decided ones are in neither.
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
        """The images of the campaign."""
        return self.open + self.agreed + self.contested


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
    """The progress of a campaign, all zero if there is none of that number; one statement.

    The groups are in the order of an index, so that neither rows are read nor a table is sorted:
    a few hundred groups, however many images there are.
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
    """From rows of status, label, method, votes by answer, images."""
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
