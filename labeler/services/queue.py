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

from sqlalchemy import ColumnElement, Row, and_, exists, func, null, or_, select
from sqlalchemy.orm import Session, aliased

from labeler.db import is_sqlite
from labeler.domain.draws import is_gold_turn
from labeler.models import Consensus, Gold, Image, Lease, Proposal, Vote
from labeler.services.desk import Desk


def gold_due(session: Session, desk: Desk, count: int, now: datetime) -> list[Row[Any]]:
    """As many gold images as the turns to come call for, if so many are left for the person."""
    rules, who = desk.rules, (desk.campaign_id, desk.annotator_id)
    due = sum(
        is_gold_turn(*who, desk.turns + step, rules.gold_rate, rules.gold_first)
        for step in range(count)
    )
    if not due:
        return []
    mine = aliased(Lease)
    holds = exists().where(
        mine.campaign_id == desk.campaign_id,
        mine.image_id == Consensus.image_id,
        mine.annotator_id == desk.annotator_id,
        mine.expires_at > now,
    )
    candidates = _candidates(desk, gold_only=True).where(~holds)
    return list(session.execute(candidates.order_by(Consensus.random_key).limit(due)).all())


def free_rows(session: Session, desk: Desk, count: int, now: datetime) -> list[Row[Any]]:
    """The next images that nobody holds."""
    free = or_(Consensus.leased_until.is_(None), Consensus.leased_until <= now)
    queue = _queue(desk).where(free).limit(count)
    return list(session.execute(queue.with_for_update(of=Consensus, skip_locked=True)).all())


def shared_rows(session: Session, desk: Desk, count: int, now: datetime) -> list[Row[Any]]:
    """The next images that others hold as well, near the end of a campaign.

    As long as the votes that are there and that may come are not more than are needed; and where
    one more vote may be enough, no more than two people at a time.
    """
    lease = aliased(Lease)
    live = and_(
        lease.campaign_id == Consensus.campaign_id,
        lease.image_id == Consensus.image_id,
        lease.expires_at > now,
    )
    holders = select(func.count()).select_from(lease).where(live).scalar_subquery()
    mine = exists().where(live, lease.annotator_id == desk.annotator_id)
    votes = (
        Consensus.votes_left + Consensus.votes_center
        + Consensus.votes_right + Consensus.votes_unsure
    )  # fmt: skip
    queue = _queue(desk).where(
        Consensus.leased_until > now, ~mine, votes + holders < desk.rules.votes_needed
    )
    if desk.rules.method == "posterior":
        queue = queue.where(holders < 2)
    rows = session.execute(queue.limit(count).with_for_update(of=Consensus, skip_locked=True)).all()
    if rows and not is_sqlite(session):
        # The holders were counted before the rows were ours; now nobody can add one.
        rows = session.execute(queue.where(Image.id.in_([row.id for row in rows]))).all()
    return list(rows)


def _queue(desk: Desk) -> Any:
    """Open images that the person has not answered, in order."""
    return (
        _candidates(desk)
        .where(Consensus.status == "open")
        .order_by(Consensus.priority, Consensus.random_key)
    )


def _candidates(desk: Desk, gold_only: bool = False) -> Any:
    """Images of the campaign that the person has not answered, with what the model says."""
    is_gold = and_(
        Gold.campaign_id == Consensus.campaign_id,
        Gold.image_id == Consensus.image_id,
        Gold.revoked_at.is_(None),
    )
    proposed = and_(Proposal.image_id == Image.id, Proposal.model_run_id == desk.run_id)
    gold_label = Gold.label if gold_only else null()
    statement = select(
        Image.id, Image.width, Image.height, Image.sha256, Image.filename,
        Proposal.p_left, Proposal.p_center, Proposal.p_right, gold_label.label("gold"),
    ).select_from(Consensus)  # fmt: skip
    if gold_only:
        statement = statement.join(Gold, is_gold)
    return (
        statement.join(Image, Image.id == Consensus.image_id)
        .outerjoin(Proposal, proposed)
        .where(Consensus.campaign_id == desk.campaign_id, not_answered(desk.annotator_id))
    )


def not_answered(annotator_id: int) -> ColumnElement[bool]:
    """The person has no vote that counts on the image of the `Consensus` row."""
    return ~exists().where(
        Vote.image_id == Consensus.image_id,
        Vote.annotator_id == annotator_id,
        Vote.campaign_id == Consensus.campaign_id,
        Vote.superseded_at.is_(None),
    )
