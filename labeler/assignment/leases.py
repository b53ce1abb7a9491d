"""Assigning images: who holds which image, and for how long.

`assignment.queue` decides which images come next. This module leases them.

An expired lease no longer counts, but it is kept for `REMEMBER_LEASES`. So a vote that comes late
(a phone in a tunnel) is still known to be honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from labeler.assignment.annotator_state import AnnotatorState, load_annotator_state
from labeler.assignment.presentation import (
    LeasedImage,
    Presentation,
    draw_presentation,
    likeliest_proposal,
)
from labeler.assignment.queue import free_rows, gold_due, order_of_gold, shared_rows, wait_for_row
from labeler.config import Settings
from labeler.consensus.derivation import GOLD_METHOD
from labeler.database.engine import built_once, connection_of, insert_into, is_sqlite
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.voting import Lease

REMEMBER_LEASES = timedelta(days=7)
FORGET_FROM = 8  # an assignment of this many images also deletes leases that are too old


def lease_images(
    session: Session,
    annotator_id: int,
    count: int,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> list[LeasedImage]:
    """Assign `count` images of a person's current campaign to them; fewer if fewer are left.

    The images that the person already holds come first, and their leases are renewed. So a
    reload gives the same images. Each written lease keeps its image's place in the queue: the
    triggers `lease_holds*` update `Consensus.leased_until` (see `models.voting.Lease`).

    Needs a write transaction. The list is empty if no image is left for the person, if there is no
    campaign for them, or if it or they are paused (`load_annotator_state` says which).
    """
    now = now or utc_now()
    annotator = load_annotator_state(session, annotator_id, now=now)
    if annotator is None or not annotator.works:
        return []
    held = _renew_leases(session, annotator, count, settings, now)
    if held:
        return held + lease_more(session, annotator, count - len(held), settings=settings, now=now)
    return _lease_or_wait(session, annotator, count, settings, now)


def _lease_or_wait(
    session: Session, annotator: AnnotatorState, count: int, settings: Settings, now: datetime
) -> list[LeasedImage]:
    """`lease_more`. If it finds nothing only because rows are locked, wait for one and repeat."""
    with session.begin_nested() as attempt:
        leased = lease_more(session, annotator, count, settings=settings, now=now)
        if not leased:
            # The search may have locked rows that then turned out to be taken. A request that
            # kept them while it waits for a recount would wait for ever: the recount needs them.
            attempt.rollback()
    if not leased and wait_for_row(session, annotator, now):
        leased = lease_more(session, annotator, count, settings=settings, now=now)
    return leased


def lease_more(
    session: Session, annotator: AnnotatorState, count: int, *, settings: Settings, now: datetime
) -> list[LeasedImage]:
    """Assign `count` more images to a person, besides those that they hold; mostly two statements.

    Gold questions that are due come first, then free images, then images that others also hold.
    """
    if count < 1 or not annotator.works:
        return []
    found = gold_due(session, annotator, count, now)
    for queue in (free_rows, shared_rows):
        if len(found) < count:
            found += queue(session, annotator, count - len(found), now)
    drawn = [(row, _draw(annotator, row)) for row in found]
    values = [{"image_id": row.id, **_columns(presentation)} for row, presentation in drawn]
    write_leases(session, annotator.campaign_id, annotator.annotator_id, values, settings, now)
    if count >= FORGET_FROM:
        _forget(session, now - REMEMBER_LEASES)
    until = expiry(settings, now)
    campaign_id = annotator.campaign_id
    return [_leased(campaign_id, row, presentation, until) for row, presentation in drawn]


def release_leases(session: Session, annotator_id: int) -> int:
    """End all leases of a person; returns how many there were. The images become free again."""
    mine = session.scalars(select(Lease.image_id).where(Lease.annotator_id == annotator_id)).all()
    _delete(session, Lease.annotator_id == annotator_id)
    return len(mine)


def count_held(session: Session, campaign_id: int, *, now: datetime | None = None) -> int:
    """The number of images of a campaign that people hold, counted for each person."""
    held = Lease.campaign_id == campaign_id, Lease.expires_at > (now or utc_now())
    return session.scalar(select(func.count()).select_from(Lease).where(*held)) or 0


def withdraw_images(session: Session, image_ids: Sequence[int]) -> None:
    """End all leases on some images. Their files have changed, so people look at old images."""
    if image_ids:
        _delete(session, Lease.image_id.in_(image_ids))


def find_lease(
    session: Session, campaign_id: int, annotator_id: int, image_id: int
) -> LeasedImage | None:
    """The person's lease on an image, None without one. It may have expired: see `expires_at`."""
    row = session.execute(
        _held(campaign_id, annotator_id).where(Lease.image_id == image_id)
    ).one_or_none()
    return _to_leased(*row) if row else None


def write_leases(
    session: Session,
    campaign_id: int,
    annotator_id: int,
    rows: list[dict[str, Any]],
    settings: Settings,
    now: datetime,
) -> None:
    """Insert the leases of a person, or overwrite those that exist, such as expired ones.

    Each row that is written keeps its image's place in the queue: the triggers `lease_holds*`
    update `Consensus.leased_until` (see `models.voting.Lease`).

    Parameters:
        rows: `image_id` and any columns of `Presentation`.
    """
    if not rows:
        return
    common = {
        "campaign_id": campaign_id,
        "annotator_id": annotator_id,
        "created_at": now,
        "expires_at": expiry(settings, now),
    }
    # Each row has all columns of `Presentation`, so an overwritten lease keeps none of its own.
    values = [{**_DEFAULTS, **row, **common} for row in rows]
    connection_of(session).execute(_upsert(is_sqlite(session)), values)


def _columns(presentation: Presentation) -> dict[str, Any]:
    return {name: getattr(presentation, name) for name in Presentation.__dataclass_fields__}


_DEFAULTS = _columns(Presentation())


@built_once
def _upsert(on_sqlite: bool) -> Any:
    """On the table and not the ORM class: the ORM would process the statement for each vote."""
    statement = insert_into(Lease.__table__, on_sqlite)
    changed = (*Presentation.__dataclass_fields__, "created_at", "expires_at")
    return statement.on_conflict_do_update(
        index_elements=["campaign_id", "image_id", "annotator_id"],
        set_={name: statement.excluded[name] for name in changed},
    )


def expiry(settings: Settings, now: datetime) -> datetime:
    """When a lease that begins now expires."""
    return now + timedelta(seconds=settings.lease_seconds)


def _held(campaign_id: int, annotator_id: int) -> Any:
    return (
        select(Image, Lease)
        .join(Lease, Lease.image_id == Image.id)
        .where(Lease.campaign_id == campaign_id, Lease.annotator_id == annotator_id)
    )


def _renew_leases(
    session: Session, annotator: AnnotatorState, count: int, settings: Settings, now: datetime
) -> list[LeasedImage]:
    wanted = or_(Consensus.status == "open", Consensus.method == GOLD_METHOD)
    of_image = Consensus.campaign_id == Lease.campaign_id, Consensus.image_id == Lease.image_id
    rows = session.execute(
        _held(annotator.campaign_id, annotator.annotator_id)
        .join(Consensus, and_(*of_image))
        .where(Lease.expires_at > now, Lease.mode == "single", wanted)
        .order_by(Lease.created_at, *_in_order(annotator))
        .limit(count)
    ).all()
    if rows:
        mine = (
            Lease.annotator_id == annotator.annotator_id,
            Lease.campaign_id == annotator.campaign_id,
        )
        ids = [lease.image_id for _, lease in rows]
        _lock_rows_of(session, and_(*mine, Lease.image_id.in_(ids)))
        session.execute(
            update(Lease)
            .where(*mine, Lease.image_id.in_(ids))
            .values(expires_at=expiry(settings, now))
            .execution_options(synchronize_session="evaluate")
        )
    return [_to_leased(image, lease) for image, lease in rows]


def _in_order(annotator: AnnotatorState) -> tuple[Any, ...]:
    """The order of images of one assignment: first gold, then the queue."""
    is_gold = Consensus.method == GOLD_METHOD
    place = case((is_gold, order_of_gold(annotator.annotator_id)), else_=Consensus.priority)
    return is_gold.desc(), place, Consensus.random_key


def _draw(annotator: AnnotatorState, row: Row[Any]) -> Presentation:
    proposal = likeliest_proposal(annotator.run_id, (row.p_left, row.p_center, row.p_right))
    return draw_presentation(
        annotator.rules, annotator.campaign_id, annotator.annotator_id, row.id, proposal, row.gold
    )


def _leased(
    campaign_id: int, image: Any, presentation: Presentation, until: datetime
) -> LeasedImage:
    return LeasedImage(
        campaign_id,
        image.id,
        image.width or 0,
        image.height or 0,
        image.sha256,
        image.filename,
        presentation,
        until,
    )


def _to_leased(image: Image, lease: Lease) -> LeasedImage:
    seen = {name: getattr(lease, name) for name in Presentation.__dataclass_fields__}
    return _leased(lease.campaign_id, image, Presentation(**seen), lease.expires_at)


def _delete(session: Session, condition: ColumnElement[bool]) -> None:
    _lock_rows_of(session, condition)
    session.execute(delete(Lease).where(condition).execution_options(synchronize_session="fetch"))


def _forget(session: Session, before: datetime) -> None:
    """Delete the leases that expired before a time. Skip images whose rows are locked."""
    old = Lease.expires_at < before
    if not is_sqlite(session):
        rows = session.execute(_rows_of(old).with_for_update(of=Consensus, skip_locked=True)).all()
        old = and_(old, tuple_(Lease.campaign_id, Lease.image_id).in_([tuple(row) for row in rows]))
    session.execute(delete(Lease).where(old).execution_options(synchronize_session="fetch"))


def _lock_rows_of(session: Session, condition: ColumnElement[bool]) -> None:
    """Lock the consensus rows of some leases before the leases change.

    The triggers `lease_holds*` and `lease_lets_go` will update these rows, in any order. Here
    they are locked in the order of `consensus.store`, so that no two transactions wait for each
    other.
    """
    if not is_sqlite(session):
        session.execute(_rows_of(condition).with_for_update(of=Consensus))


def _rows_of(condition: ColumnElement[bool]) -> Any:
    of_image = Consensus.campaign_id == Lease.campaign_id, Consensus.image_id == Lease.image_id
    return (
        select(Consensus.campaign_id, Consensus.image_id)
        .join(Lease, and_(*of_image))
        .where(condition)
        .order_by(Consensus.campaign_id, Consensus.image_id)
    )
