"""The derived table: what the current votes on an image add up to."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, select, update
from sqlalchemy.orm import Session

from labeler.db import insert_or
from labeler.domain.consensus import METHOD, VoteCounts, majority
from labeler.models import Consensus, Image, Vote, utc_now

RANDOM_KEYS = 2**31  # random_key is drawn from 0 .. RANDOM_KEYS - 1
_BATCH = 5_000
_random = random.SystemRandom()  # the order of the queue must not be guessable from the code
_DERIVED = (
    "status", "label", "probability", "votes_left", "votes_center", "votes_right",
    "votes_unsure", "method", "priority",
)  # fmt: skip


def recount(session: Session, image_id: int, required: int, *, now: datetime | None = None) -> None:
    """Set the consensus row of one image from its current votes.

    The caller holds the row (`FOR UPDATE` on PostgreSQL, any write transaction on SQLite), so
    that no vote slips in between the count and the update.
    """
    counted = session.execute(
        select(Vote.answer, func.count())
        .where(Vote.image_id == image_id, Vote.superseded_at.is_(None))
        .group_by(Vote.answer)
    )
    values = _derive(VoteCounts(**dict(counted.all())), required)
    session.execute(
        update(Consensus)
        .where(Consensus.image_id == image_id)
        .values(**values, updated_at=now or utc_now())
        .execution_options(synchronize_session="fetch")
    )


def add_rows(session: Session, dataset_id: int, image_ids: Sequence[int], required: int) -> None:
    """Let images into the queue at a random place, with the votes that they have already.

    One that has a row keeps it: another process may have let it in meanwhile.
    """
    counts = _count_by_image(session, Vote.image_id.in_(image_ids))
    rows = [_new_row(dataset_id, i, counts.get(i, VoteCounts()), required) for i in image_ids]
    if rows:
        session.execute(insert_or(session, Consensus).on_conflict_do_nothing(), rows)


def remove_rows(session: Session, image_ids: list[int]) -> None:
    """Take images out of the queue."""
    for start in range(0, len(image_ids), _BATCH):
        batch = image_ids[start : start + _BATCH]
        doomed = delete(Consensus).where(Consensus.image_id.in_(batch))
        session.execute(doomed.execution_options(synchronize_session=False))


def rebuild(
    session: Session, dataset_id: int, required: int, *, now: datetime | None = None
) -> int:
    """Make the consensus of a data set anew from the votes; returns how many rows changed.

    Rows of images that decode and have none are made, rows of the others are removed.
    """
    lost = _remove_unfit_rows(session, dataset_id)
    stored = _lock_rows(session, dataset_id)  # before the votes are counted: see `recount`
    counts = _count_by_image(session, Image.dataset_id == dataset_id)
    changed = _update_rows(session, stored, counts, required, now or utc_now())
    return lost + changed + _add_missing_rows(session, dataset_id, required)


def _derive(counts: VoteCounts, required: int) -> dict[str, Any]:
    outcome = majority(counts, required)
    return {
        "status": outcome.status,
        "label": outcome.label,
        "probability": outcome.probability,
        "votes_left": counts.left,
        "votes_center": counts.center,
        "votes_right": counts.right,
        "votes_unsure": counts.unsure,
        "method": METHOD,
        "priority": counts.total,
    }


def _new_row(dataset_id: int, image_id: int, counts: VoteCounts, required: int) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "dataset_id": dataset_id,
        "random_key": _random.randrange(RANDOM_KEYS),
        **_derive(counts, required),
    }


def _count_by_image(session: Session, which: ColumnElement[bool]) -> Mapping[int, VoteCounts]:
    counted = session.execute(
        select(Vote.image_id, Vote.answer, func.count())
        .join(Image, Image.id == Vote.image_id)
        .where(which, Vote.superseded_at.is_(None))
        .group_by(Vote.image_id, Vote.answer)
    )
    by_image: dict[int, dict[str, int]] = {}
    for image_id, answer, count in counted:
        by_image.setdefault(image_id, {})[answer] = count
    return {image_id: VoteCounts(**counts) for image_id, counts in by_image.items()}


def _remove_unfit_rows(session: Session, dataset_id: int) -> int:
    fit = select(Image.id).where(Image.dataset_id == dataset_id, Image.status == "ok")
    unfit = Consensus.dataset_id == dataset_id, Consensus.image_id.not_in(fit)
    doomed = session.scalar(select(func.count()).select_from(Consensus).where(*unfit)) or 0
    if doomed:
        session.execute(
            delete(Consensus).where(*unfit).execution_options(synchronize_session=False)
        )
    return doomed


def _lock_rows(session: Session, dataset_id: int) -> Sequence[Row[Any]]:
    """`image_id` and the derived columns of each row, held until the commit."""
    table = Consensus.__table__
    return session.execute(
        select(table.c.image_id, *(table.c[name] for name in _DERIVED))
        .where(table.c.dataset_id == dataset_id)
        .order_by(table.c.image_id)
        .with_for_update()
    ).all()


def _update_rows(
    session: Session,
    stored: Sequence[Row[Any]],
    counts: Mapping[int, VoteCounts],
    required: int,
    now: datetime,
) -> int:
    changes = []
    for row in stored:
        derived = _derive(counts.get(row.image_id, VoteCounts()), required)
        if any(getattr(row, name) != derived[name] for name in _DERIVED):
            changes.append({"image_id": row.image_id, "updated_at": now, **derived})
    for start in range(0, len(changes), _BATCH):
        session.execute(update(Consensus), changes[start : start + _BATCH])
    return len(changes)


def _add_missing_rows(session: Session, dataset_id: int, required: int) -> int:
    missing = session.scalars(
        select(Image.id)
        .outerjoin(Consensus, Consensus.image_id == Image.id)
        .where(Image.dataset_id == dataset_id, Image.status == "ok", Consensus.image_id.is_(None))
    ).all()
    for start in range(0, len(missing), _BATCH):
        add_rows(session, dataset_id, missing[start : start + _BATCH], required)
    return len(missing)
