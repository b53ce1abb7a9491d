"""Which images of a campaign come next for a person.

The queue is the open images in the order of `Consensus.priority`, by a random key within that:
a walk along one index, however many images there are. Images in nobody's hands come first.

**No image is handed out twice by accident.** On SQLite the write transaction is alone. On
PostgreSQL the rows are locked as they are chosen (`FOR UPDATE SKIP LOCKED`), and `leased_until`
stands in the locked row itself, so that a transaction that comes late sees it.
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
from labeler.database.statements import built_once, connection_of, is_sqlite
from labeler.models import Consensus, Gold, Image, Lease, Proposal, UtcDateTime, Vote
from labeler.rules.random_draws import is_gold_turn

_PRIME, _SPREAD = 1_000_003, 7_919


def gold_due(
    session: Session, annotator: AnnotatorState, count: int, now: datetime
) -> list[Row[Any]]:
    """As many gold images as the turns to come call for, if so many are left for the person."""
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
    """The next images that nobody holds."""
    return list(
        connection_of(session).execute(_free_statement(), _parameters(annotator, count, now)).all()
    )


def shared_rows(
    session: Session, annotator: AnnotatorState, count: int, now: datetime
) -> list[Row[Any]]:
    """The next images that others hold as well, near the end of a campaign.

    As long as the votes that are there and that may come are not more than are needed; and where
    one more vote may be enough, no more than two people at a time.
    """
    parameters = _parameters(annotator, count, now) | _most(annotator)
    rows = session.execute(_shared_statement(), parameters).all()
    if rows and not is_sqlite(session):
        # The holders were counted before the rows were ours; now nobody can add one.
        ours = _shared_queue().where(Image.id.in_([row.id for row in rows]))
        rows = session.execute(ours, parameters).all()
    return list(rows)


def wait_for_row(session: Session, annotator: AnnotatorState, now: datetime) -> bool:
    """Whether an image was passed over only because its row was locked; waits for that row.

    While a whole campaign is counted anew, all its rows are locked, and the other queries of this
    module skip them. The person must not be told that no image is left. Both free images and
    images that others hold are waited for. Only for transactions that hold no row themselves.
    """
    if is_sqlite(session):
        return False
    parameters = _parameters(annotator, 1, now) | _most(annotator)
    return session.execute(_waiting_statement(), parameters).first() is not None


def not_answered(annotator_id: Any) -> ColumnElement[bool]:
    """The person has no vote that counts on the image of the `Consensus` row."""
    return ~exists().where(
        Vote.image_id == Consensus.image_id,
        Vote.annotator_id == annotator_id,
        Vote.campaign_id == Consensus.campaign_id,
        Vote.superseded_at.is_(None),
    )


def order_of_gold(annotator_id: Any) -> Any:
    """An order of each person's own; or all would get the same few."""
    key = cast(Consensus.random_key, BigInteger)
    return key % _PRIME * (annotator_id * _SPREAD % (_PRIME - 1) + 1) % _PRIME


def _most(annotator: AnnotatorState) -> dict[str, Any]:
    """How many votes and holders an image takes that is in other hands."""
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


# The statements are built once: putting one together takes longer than running it.


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
        .where(~_is_mine())
        .order_by(order_of_gold(bindparam("annotator", type_=BigInteger)))
        .limit(bindparam("count"))
        # Who waited here, with another image in hand, and who waits for that one, would for ever.
        .with_for_update(of=Consensus, skip_locked=True)
    )


@built_once
def _free_statement() -> Any:
    queue = _queue().where(_is_free()).limit(bindparam("count"))
    return queue.with_for_update(of=Consensus, skip_locked=True)


@built_once
def _waiting_statement() -> Any:
    # A row that turns out to be taken stays locked: in the order in which all are counted anew.
    passed_over = _queue().where(or_(_is_free(), _may_be_shared())).order_by(None)
    in_order = passed_over.order_by(Consensus.image_id).limit(bindparam("count"))
    return in_order.with_for_update(of=Consensus)


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
    holders = select(func.count()).select_from(lease).where(_live(lease)).scalar_subquery()
    return and_(
        Consensus.leased_until > bindparam("now", type_=UtcDateTime),
        ~_is_mine(),
        Consensus.votes + holders < bindparam("needed", type_=Integer),
        holders < bindparam("together", type_=Integer),
    )


def _queue() -> Any:
    """Open images that the person has not answered, in order."""
    return (
        _candidates(null())
        .where(Consensus.status == "open")
        .order_by(Consensus.priority, Consensus.random_key)
    )


def _candidates(gold: Any) -> Any:
    """Images of the campaign that the person has not answered, with what the model says."""
    proposed = and_(Proposal.image_id == Image.id, Proposal.model_run_id == bindparam("run"))
    return (
        select(
            Image.id, Image.width, Image.height, Image.sha256, Image.filename,
            Proposal.p_left, Proposal.p_center, Proposal.p_right, gold.label("gold"),
        )
        .select_from(Consensus)
        .join(Image, Image.id == Consensus.image_id)
        .outerjoin(Proposal, proposed)
        .where(
            Consensus.campaign_id == bindparam("campaign"), not_answered(bindparam("annotator"))
        )
    )  # fmt: skip


def _is_mine() -> ColumnElement[bool]:
    lease = aliased(Lease)
    who = lease.annotator_id == bindparam("annotator")
    return exists().where(_live(lease), who)


def _live(lease: Any) -> ColumnElement[bool]:
    """The lease is on the image of the `Consensus` row and has not run out."""
    return and_(
        lease.campaign_id == Consensus.campaign_id,
        lease.image_id == Consensus.image_id,
        lease.expires_at > bindparam("now", type_=UtcDateTime),
    )
