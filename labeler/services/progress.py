"""How far the work is: for one person, a data set and a campaign."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Pool, and_, case, func, select
from sqlalchemy.orm import Session

from labeler.domain.labels import ANSWERS, LABELS
from labeler.models import Campaign, Consensus, Image, Vote, utc_now
from labeler.services.knowing import DECISION_METHOD, GOLD_METHOD

EXACT_UP_TO = 5_000
KEPT_S = 15.0
_open_counts: WeakKeyDictionary[Pool, dict[int, tuple[float, int]]] = WeakKeyDictionary()


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


def own_progress(
    session: Session, annotator_id: int, *, now: datetime | None = None
) -> OwnProgress:
    """The progress of one person in the active campaign; two statements at most.

    `remaining` may be some seconds old where many images are open (`count_open`).
    """
    midnight = (now or utc_now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    mine = and_(
        Vote.campaign_id == Campaign.id,
        Vote.annotator_id == annotator_id,
        Vote.counts,
    )
    row = session.execute(
        select(
            Campaign.id,
            func.count(Vote.id).label("votes"),
            func.count(case((Vote.created_at >= midnight, 1))).label("today"),
            func.count(case((Consensus.status == "open", 1))).label("answered_open"),
        )
        .outerjoin(Vote, mine)
        .outerjoin(
            Consensus,
            and_(Consensus.campaign_id == Campaign.id, Consensus.image_id == Vote.image_id),
        )
        .where(Campaign.active)
        .group_by(Campaign.id)
    ).one_or_none()
    if row is None:
        return OwnProgress(0, 0, 0)
    remaining = max(0, count_open(session, row.id) - row.answered_open)
    return OwnProgress(row.votes, row.today, remaining)


def count_open(session: Session, campaign_id: int, *, exact_up_to: int = EXACT_UP_TO) -> int:
    """How many images of a campaign are open.

    A count is a walk along the index. Beyond `exact_up_to` images, where nobody sees a few more
    or less, the process keeps the answer for `KEPT_S` seconds.
    """
    kept = _open_counts.setdefault(session.connection().engine.pool, {})
    counted_at, count = kept.get(campaign_id, (-math.inf, 0))
    if time.monotonic() - counted_at < KEPT_S:
        return count
    count = session.scalar(
        select(func.count()).where(
            Consensus.campaign_id == campaign_id, Consensus.status == "open"
        )
    ) or 0  # fmt: skip
    if count > exact_up_to:
        kept[campaign_id] = (time.monotonic(), count)
    return count


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
