"""Which images of a campaign come next for a person.

The queue is the open images by `Consensus.priority`, then by `Consensus.random_key`. A query
walks along one index, however many images there are. Images that nobody holds come first.

**No image is assigned twice by accident.** On SQLite the write transaction is alone. On
PostgreSQL the rows are locked as they are chosen (`FOR UPDATE SKIP LOCKED`). `leased_until` is
in the locked row itself, so that a later transaction sees it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Row,
    and_,
    bindparam,
    cast,
    exists,
    func,
    null,
    or_,
    select,
)
from sqlalchemy.orm import Session, aliased

from labeler.assignment.annotator_state import AnnotatorState
from labeler.database.engine import built_once, connection_of, is_sqlite
from labeler.models.base import UtcDateTime
from labeler.models.consensus import Consensus, Gold
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.models.voting import Lease, Vote
from labeler.rules.random_draws import is_gold_turn

_PRIME, _SPREAD = 1_000_003, 7_919


def gold_due(
    session: Session, annotator: AnnotatorState, count: int, now: datetime
) -> list[Row[Any]]:
    """The gold questions due within the person's next `count` turns; fewer if fewer are left."""
    rules, who = annotator.rules, (annotator.campaign_id, annotator.annotator_id)
    if not annotator.has_gold:
        return []
    due = sum(
        is_gold_turn(*who, annotator.turns + step, rules.gold_rate, rules.gold_first)
        for step in range(count)
    )
    if not due:
        return []
    return list(connection_of(session).execute(_gold_statement(), _parameters(annotator, due, now)))


def free_rows(
    session: Session, annotator: AnnotatorState, count: int, now: datetime
) -> list[Row[Any]]:
    """The next images in the queue that nobody holds, at most `count`. Their rows are locked."""
    return list(
        connection_of(session).execute(_free_statement(), _parameters(annotator, count, now)).all()
    )


def shared_rows(
    session: Session, annotator: AnnotatorState, count: int, now: datetime
) -> list[Row[Any]]:
    """The next images that other people also hold, at most `count`. Their rows are locked.

    This happens near the end of a campaign. An image is shared while its votes and its holders
    together are fewer than the votes it may need. Unless the method is `majority`, at most two
    people hold it at a time, since one more vote may be enough.
    """
    parameters = _parameters(annotator, count, now) | _sharing_limits(annotator)
    rows = session.execute(_shared_statement(), parameters).all()
    if rows and not is_sqlite(session):
        # The holders were counted before the rows were locked. Now nobody can add one, so count
        # them again.
        locked = _shared_queue().where(Image.id.in_([row.id for row in rows]))
        rows = session.execute(locked, parameters).all()
    return list(rows)


def wait_for_row(session: Session, annotator: AnnotatorState, now: datetime) -> bool:
    """Whether an image was passed over only because its row was locked; waits for that row.

    A recount of a whole campaign locks all its rows, and the other queries of this module skip
    locked rows. The person must not be told that no image is left. The wait is for free images
    and for images that can be shared. The transaction must hold no row lock itself.
    """
    if is_sqlite(session):
        return False
    parameters = _parameters(annotator, 1, now) | _sharing_limits(annotator)
    return session.execute(_waiting_statement(), parameters).first() is not None


def not_answered(annotator_id: Any) -> ColumnElement[bool]:
    """The condition that the person has no current vote on the image of the `Consensus` row."""
    return ~exists().where(
        Vote.image_id == Consensus.image_id,
        Vote.annotator_id == annotator_id,
        Vote.campaign_id == Consensus.campaign_id,
        Vote.superseded_at.is_(None),
    )


def order_of_gold(annotator_id: Any) -> Any:
    """The order of gold questions, which differs by person: not everybody gets the same few."""
    key = cast(Consensus.random_key, BigInteger)
    return key % _PRIME * (annotator_id * _SPREAD % (_PRIME - 1) + 1) % _PRIME


def _sharing_limits(annotator: AnnotatorState) -> dict[str, Any]:
    """The limits on the votes and holders of an image that is shared."""
    needed = annotator.rules.votes_needed
    return {"needed": needed, "together": needed if annotator.rules.method == "majority" else 2}


def _parameters(annotator: AnnotatorState, count: int, now: datetime) -> dict[str, Any]:
    return {
        "campaign": annotator.campaign_id,
        "annotator": annotator.annotator_id,
        "run": annotator.run_id,
        "now": now,
        "count": count,
    }


# The statements are built once: building one takes longer than running it.


@built_once
def _gold_statement() -> Any:
    is_gold = and_(
        Gold.campaign_id == Consensus.campaign_id,
        Gold.image_id == Consensus.image_id,
        Gold.revoked_at.is_(None),
    )
    return (
        _candidates(Gold.label)
        .join(Gold, is_gold)
        .where(~_is_held_by_person())
        .order_by(order_of_gold(bindparam("annotator", type_=BigInteger)))
        .limit(bindparam("count"))
        # A request that waited here with another row locked, and a request that waits for that
        # row, would wait for ever.
        .with_for_update(of=Consensus, skip_locked=True)
    )


@built_once
def _free_statement() -> Any:
    queue = _queue().where(_is_free()).limit(bindparam("count"))
    return queue.with_for_update(of=Consensus, skip_locked=True)


@built_once
def _waiting_statement() -> Any:
    # A row that turns out to be taken stays locked. So lock in the order of a recount, by image.
    passed_over = _queue().where(or_(_is_free(), _may_be_shared())).order_by(None)
    by_image = passed_over.order_by(Consensus.image_id).limit(bindparam("count"))
    return by_image.with_for_update(of=Consensus)


def _is_free() -> ColumnElement[bool]:
    now = bindparam("now", type_=UtcDateTime)
    return or_(Consensus.leased_until.is_(None), Consensus.leased_until <= now)


@built_once
def _shared_statement() -> Any:
    queue = _shared_queue().limit(bindparam("count"))
    return queue.with_for_update(of=Consensus, skip_locked=True)


def _shared_queue() -> Any:
    return _queue().where(_may_be_shared())


def _may_be_shared() -> ColumnElement[bool]:
    lease = aliased(Lease)
    holders = select(func.count()).select_from(lease).where(_is_live_lease(lease)).scalar_subquery()
    return and_(
        Consensus.leased_until > bindparam("now", type_=UtcDateTime),
        ~_is_held_by_person(),
        Consensus.votes + holders < bindparam("needed", type_=Integer),
        holders < bindparam("together", type_=Integer),
    )


def _queue() -> Any:
    """The open images that the person has not answered, in the order of the queue."""
    return (
        _candidates(null())
        .where(Consensus.status == "open")
        .order_by(Consensus.priority, Consensus.random_key)
    )


def _candidates(gold: Any) -> Any:
    """The images of the campaign that the person has not answered, with the run's proposals."""
    proposed = and_(Proposal.image_id == Image.id, Proposal.model_run_id == bindparam("run"))
    return (
        select(
            Image.id,
            Image.width,
            Image.height,
            Image.sha256,
            Image.filename,
            Proposal.p_left,
            Proposal.p_center,
            Proposal.p_right,
            gold.label("gold"),
        )
        .select_from(Consensus)
        .join(Image, Image.id == Consensus.image_id)
        .outerjoin(Proposal, proposed)
        .where(Consensus.campaign_id == bindparam("campaign"), not_answered(bindparam("annotator")))
    )


def _is_held_by_person() -> ColumnElement[bool]:
    lease = aliased(Lease)
    who = lease.annotator_id == bindparam("annotator")
    return exists().where(_is_live_lease(lease), who)


def _is_live_lease(lease: Any) -> ColumnElement[bool]:
    """The lease is on the image of the `Consensus` row and has not expired."""
    return and_(
        lease.campaign_id == Consensus.campaign_id,
        lease.image_id == Consensus.image_id,
        lease.expires_at > bindparam("now", type_=UtcDateTime),
    )
