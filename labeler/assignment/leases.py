"""Handing out images: who gets which, and for how long.

A lease that has run out no longer counts, but
it is remembered for a while, so that a vote that comes late (a phone in a tunnel) is still known
to be honest.

Which images come next is for `assignment.queue` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, case, delete, or_, select, tuple_, update
from sqlalchemy.orm import Session

from labeler.assignment.annotator_state import AnnotatorState, load_annotator_state
from labeler.assignment.presentation import LeasedImage, Presentation, draw_presentation, model_view
from labeler.assignment.queue import free_rows, gold_due, order_of_gold, shared_rows, wait_for_row
from labeler.config import Settings
from labeler.consensus.derivation import GOLD_METHOD
from labeler.database.statements import built_once, connection_of, insert_into, is_sqlite
from labeler.models import Consensus, Image, Lease, utc_now

REMEMBER_LEASES = timedelta(days=7)
MANY = 8  # a hand-out of so many also forgets what is too old to be remembered


def lease_images(
    session: Session,
    annotator_id: int,
    count: int,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> list[LeasedImage]:
    """Hand `count` images of the active campaign to a person; fewer where fewer are left.

    The images that the person holds already come first, renewed, so that a reload gives the
    same ones. Needs a write transaction. An empty list means that nothing is left for them, or
    that the campaign or the person is paused (`load_desk` tells).
    """
    now = now or utc_now()
    annotator = load_annotator_state(session, annotator_id)
    if annotator is None or not annotator.works:
        return []
    held = _renew_leases(session, annotator, count, settings, now)
    if held:
        return held + lease_more(session, annotator, count - len(held), settings=settings, now=now)
    return _lease_or_wait(session, annotator, count, settings, now)


def _lease_or_wait(
    session: Session, annotator: AnnotatorState, count: int, settings: Settings, now: datetime
) -> list[LeasedImage]:
    """`lease_more`; where all that is left is being counted anew, after that."""
    with session.begin_nested() as attempt:
        leased = lease_more(session, annotator, count, settings=settings, now=now)
        if not leased:
            # Rows that turned out to be taken were locked all the same. Who waits with them in
            # hand, while the count that is waited for comes to them, would wait for ever.
            attempt.rollback()
    if not leased and wait_for_row(session, annotator, now):
        leased = lease_more(session, annotator, count, settings=settings, now=now)
    return leased


def lease_more(
    session: Session, annotator: AnnotatorState, count: int, *, settings: Settings, now: datetime
) -> list[LeasedImage]:
    """Hand `count` images to a person beside those that they hold; two statements, mostly."""
    if count < 1 or not annotator.works:
        return []
    found = gold_due(session, annotator, count, now)
    for queue in (free_rows, shared_rows):
        if len(found) < count:
            found += queue(session, annotator, count - len(found), now)
    views = [(row, _draw(annotator, row)) for row in found]
    values = [{"image_id": row.id, **_columns(view)} for row, view in views]
    write_leases(session, annotator.campaign_id, annotator.annotator_id, values, settings, now)
    if count >= MANY:
        _forget(session, now - REMEMBER_LEASES)
    until = expiry(settings, now)
    return [_leased(row, view, until) for row, view in views]


def release_leases(session: Session, annotator_id: int) -> int:
    """Take all images out of a person's hands; returns how many there were."""
    mine = session.scalars(select(Lease.image_id).where(Lease.annotator_id == annotator_id)).all()
    _delete(session, Lease.annotator_id == annotator_id)
    return len(mine)


def withdraw_images(session: Session, image_ids: Sequence[int]) -> None:
    """Take images out of all hands: their files hold other pictures than people look at."""
    if image_ids:
        _delete(session, Lease.image_id.in_(image_ids))


def find_lease(
    session: Session, campaign_id: int, annotator_id: int, image_id: int
) -> LeasedImage | None:
    """One image that the person holds (or held until lately: look at `expires_at`)."""
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
    """Insert leases; one that has run out and is still remembered is written over.

    Parameters:
        rows: `image_id` and the columns of `View`.
    """
    if not rows:
        return
    common = {
        "campaign_id": campaign_id,
        "annotator_id": annotator_id,
        "created_at": now,
        "expires_at": expiry(settings, now),
    }
    # Each says all of View: a lease that is written over keeps nothing of how it was seen.
    values = [{**_PLAIN, **row, **common} for row in rows]
    connection_of(session).execute(_upsert(is_sqlite(session)), values)


def _columns(view: Presentation) -> dict[str, Any]:
    return {name: getattr(view, name) for name in Presentation.__dataclass_fields__}


_PLAIN = _columns(Presentation())


@built_once
def _upsert(on_sqlite: bool) -> Any:
    """Built once, on the table itself: an entity would be looked through for each vote."""
    statement = insert_into(Lease.__table__, on_sqlite)
    changed = (*Presentation.__dataclass_fields__, "created_at", "expires_at")
    return statement.on_conflict_do_update(
        index_elements=["campaign_id", "image_id", "annotator_id"],
        set_={name: statement.excluded[name] for name in changed},
    )


def expiry(settings: Settings, now: datetime) -> datetime:
    """Until when an image that is handed out now is held."""
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
        _hold_places(session, and_(*mine, Lease.image_id.in_(ids)))
        session.execute(
            update(Lease)
            .where(*mine, Lease.image_id.in_(ids))
            .values(expires_at=expiry(settings, now))
            .execution_options(synchronize_session="evaluate")
        )
    return [_to_leased(image, lease) for image, lease in rows]


def _in_order(annotator: AnnotatorState) -> tuple[Any, ...]:
    """As images of one hand-out were given: gold, then the queue."""
    is_gold = Consensus.method == GOLD_METHOD
    place = case((is_gold, order_of_gold(annotator.annotator_id)), else_=Consensus.priority)
    return is_gold.desc(), place, Consensus.random_key


def _draw(annotator: AnnotatorState, row: Row[Any]) -> Presentation:
    model = model_view(annotator.run_id, (row.p_left, row.p_center, row.p_right))
    return draw_presentation(
        annotator.rules, annotator.campaign_id, annotator.annotator_id, row.id, model, row.gold
    )


def _leased(image: Any, view: Presentation, until: datetime) -> LeasedImage:
    return LeasedImage(
        image.id, image.width or 0, image.height or 0, image.sha256, image.filename, view, until
    )


def _to_leased(image: Image, lease: Lease) -> LeasedImage:
    seen = {name: getattr(lease, name) for name in Presentation.__dataclass_fields__}
    return _leased(image, Presentation(**seen), lease.expires_at)


def _delete(session: Session, condition: ColumnElement[bool]) -> None:
    _hold_places(session, condition)
    session.execute(delete(Lease).where(condition).execution_options(synchronize_session="fetch"))


def _forget(session: Session, before: datetime) -> None:
    """Delete the leases that ran out before then, but not where somebody else is at work."""
    old = Lease.expires_at < before
    if not is_sqlite(session):
        rows = session.execute(_places(old).with_for_update(of=Consensus, skip_locked=True)).all()
        old = and_(old, tuple_(Lease.campaign_id, Lease.image_id).in_([tuple(row) for row in rows]))
    session.execute(delete(Lease).where(old).execution_options(synchronize_session="fetch"))


def _hold_places(session: Session, condition: ColumnElement[bool]) -> None:
    """Hold the consensus rows of some leases before these change, since triggers will.

    In the order in which `consensus.store` holds many: two that wait in different orders would
    wait for each other.
    """
    if not is_sqlite(session):
        session.execute(_places(condition).with_for_update(of=Consensus))


def _places(condition: ColumnElement[bool]) -> Any:
    of_image = Consensus.campaign_id == Lease.campaign_id, Consensus.image_id == Lease.image_id
    return (
        select(Consensus.campaign_id, Consensus.image_id)
        .join(Lease, and_(*of_image))
        .where(condition)
        .order_by(Consensus.campaign_id, Consensus.image_id)
    )
