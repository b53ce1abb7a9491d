"""A page of the images that meet a filter, and how many there are.

Pages follow each other by the ids of images, so a page far behind costs as much as the first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from labeler.gold.service import count_gold
from labeler.images.filtering import ImageFilter, Scope, select_ids
from labeler.models.consensus import Consensus, Gold
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.progress.campaign_progress import (
    COUNTED_UP_TO,
    CampaignProgress,
    DatasetProgress,
    campaign_progress,
    dataset_progress,
)

PAGE_SIZE = 60
MAX_RELAXED = 12  # conditions; each is left out in a statement of its own


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image of a page.

    `consensus`: None if it is not in the campaign. `model`: (p_left, p_center, p_right) of the
    current run. `gold`: the known label, if it is a gold question.
    """

    image: Image
    consensus: Consensus | None
    model: tuple[float, float, float] | None
    gold: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """The numbers of the dashboards: of the campaign, of its data set, of its gold questions."""

    campaign: CampaignProgress
    dataset: DatasetProgress
    gold: int


@dataclass(frozen=True, slots=True)
class Found:
    """A page of images, by ascending id.

    Attributes:
        images: of this page.
        count: how many images meet the filter; None: more than `COUNTED_UP_TO`.
        first: the place of the page's first image among them, from 1; None if that is not known.
        has_previous, has_next: whether there are images before and after the page.
    """

    images: Sequence[FoundImage]
    count: int | None
    first: int | None
    has_previous: bool
    has_next: bool


def tally(session: Session, scope: Scope) -> Tally:
    """Count as the dashboards do; three statements."""
    return Tally(
        campaign_progress(session, scope.campaign_id),
        dataset_progress(session, scope.dataset.id),
        sum(count_gold(session, scope.campaign_id).values()),
    )


def browse(
    session: Session,
    scope: Scope,
    wanted: ImageFilter,
    counted: Tally,
    *,
    after: int = 0,
    before: int = 0,
    size: int = PAGE_SIZE,
) -> Found:
    """A page of the images that meet a filter.

    Parameters:
        after: the page begins behind this id.
        before: the page ends before this id; 0: it does not. It goes before `after`.
        size: how many images at most.

    Raises:
        NotFound: the data set has no such attribute.
    """
    statement, column = select_ids(scope, wanted)
    listed = session.scalars(statement.order_by(column).limit(COUNTED_UP_TO + 1)).all()
    is_whole = len(listed) <= COUNTED_UP_TO
    end = bisect_left(listed, before) if before else len(listed)
    start = max(0, end - size) if before else bisect_right(listed, after)
    page = listed[start : min(start + size, end)]
    following = start + len(page)
    if is_whole or following < len(listed):  # else the page may go on behind the listed ones
        beyond = start > 0, following < len(listed)
        count = len(listed) if is_whole else count_exactly(wanted, counted)
        return Found(_load(session, scope, page), count, start + 1, *beyond)
    page, has_next = _read_page(session, statement, column, after, before, size)
    has_previous = not page or page[0] > listed[0]
    count = count_exactly(wanted, counted)
    return Found(_load(session, scope, page), count, None, has_previous, has_next)


def _read_page(
    session: Session,
    statement: Select[int],
    column: Any,
    after: int,
    before: int,
    size: int,
) -> tuple[Sequence[int], bool]:
    """The ids of a page behind the listed images, and whether others follow."""
    if not before:
        behind = statement.where(column > after).order_by(column).limit(size + 1)
        found = session.scalars(behind).all()
        return found[:size], len(found) > size
    ahead = statement.where(column < before).order_by(column.desc()).limit(size)
    following = session.scalar(statement.where(column >= before).limit(1))
    return session.scalars(ahead).all()[::-1], following is not None


def count_exactly(wanted: ImageFilter, counted: Tally) -> int | None:
    """How many images meet a filter that is a number of the dashboards; None if it is none."""
    campaign, dataset = counted.campaign, counted.dataset
    if wanted == ImageFilter():
        return dataset.images
    if wanted == ImageFilter(gold=True):
        return counted.gold
    if wanted == ImageFilter(label=wanted.label) or wanted == ImageFilter(
        status="agreed", label=wanted.label
    ):
        return campaign.labels[wanted.label] if wanted.label else campaign.agreed
    if wanted == ImageFilter(status=wanted.status):
        return count_status(wanted.status or "", counted)
    return None


def count_status(status: str, counted: Tally) -> int | None:
    """How many images have a status of `filtering.STATUSES`; None for `outside`."""
    campaign, dataset = counted.campaign, counted.dataset
    known = {
        "selected": campaign.images,
        "open": campaign.open,
        "agreed": campaign.agreed,
        "contested": campaign.contested,
        "undecided": campaign.undecided,
        "broken": dataset.broken,
        "unchecked": dataset.unchecked,
    }
    return known.get(status)


def find_relaxations(session: Session, scope: Scope, wanted: ImageFilter) -> list[str]:
    """The conditions of a filter that finds nothing without which it finds images.

    There may be none, because two or more conditions each exclude all images. None are looked for
    if there are more than `MAX_RELAXED` conditions.
    """
    found = []
    for name in wanted.names if len(wanted.names) <= MAX_RELAXED else ():
        statement, _ = select_ids(scope, wanted.without(name))
        if session.scalar(statement.limit(1)) is not None:
            found.append(name)
    return found


def _load(session: Session, scope: Scope, ids: Sequence[int]) -> list[FoundImage]:
    """What is shown of some images, by ascending id; one statement."""
    rows = session.execute(
        select(Image, Consensus, Proposal, Gold.label)
        .outerjoin(
            Consensus,
            and_(Consensus.campaign_id == scope.campaign_id, Consensus.image_id == Image.id),
        )
        .outerjoin(
            Proposal, and_(Proposal.model_run_id == scope.run_id, Proposal.image_id == Image.id)
        )
        .outerjoin(
            Gold,
            and_(
                Gold.campaign_id == scope.campaign_id,
                Gold.image_id == Image.id,
                Gold.revoked_at.is_(None),
            ),
        )
        .where(Image.id.in_(ids))
        .order_by(Image.id)
    )
    return [
        FoundImage(
            image, row, (model.p_left, model.p_center, model.p_right) if model else None, gold
        )
        for image, row, model, gold in rows
    ]
