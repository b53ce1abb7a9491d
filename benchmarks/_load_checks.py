"""Invariants of a campaign during and after a load test, checked by database and client log."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import _project  # noqa: F401
from sqlalchemy import func, select

from labeler.consensus.store import batches, rebuild
from labeler.database.engine import Database
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus
from labeler.models.voting import Lease, Vote
from labeler.quality.refresh import refresh_campaign

_VOTES = (
    Consensus.votes_left + Consensus.votes_center + Consensus.votes_right + Consensus.votes_unsure
)


@dataclass
class Log:
    """What the people know: of each request what it said, of each picture who got it when.

    `sent`, `acknowledged`: (image, person, answer) by request. `granted`: time of the last
    hand-out by (image, person); `voted`: time of the acknowledgement.
    """

    sent: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    acknowledged: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    granted: dict[tuple[int, int], float] = field(default_factory=dict)
    voted: dict[tuple[int, int], float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


def hands(db: Database, campaign_id: int, needed: int) -> tuple[int, int]:
    """In one snapshot: images with more votes and leases than are needed; images held by two."""
    now = utc_now()
    live = (
        select(Lease.image_id, func.count().label("holders"))
        .where(Lease.campaign_id == campaign_id, Lease.expires_at > now)
        .group_by(Lease.image_id)
        .subquery()
    )
    with db.read() as session:
        rows = session.execute(
            select(live.c.holders, _VOTES)
            .join(Consensus, Consensus.image_id == live.c.image_id)
            .where(Consensus.campaign_id == campaign_id)
        ).all()
    over = sum(holders + votes > needed for holders, votes in rows)
    return over, sum(holders > 1 for holders, _ in rows)


def double_grants(log: Log, needed: int, lease_s: float) -> int:
    """Hand-outs that people saw of an image that had enough votes and holders already."""
    spans: dict[int, list[tuple[float, float, bool]]] = defaultdict(list)
    for (image, person), start in log.granted.items():
        end = log.voted.get((image, person))
        spans[image].append((start, start + lease_s if end is None else end, end is not None))
    return sum(
        sum(begun <= start and (voted or end > start) for begun, end, voted in of_image) > needed
        for of_image in spans.values()
        for start, _, _ in of_image
    )


def audit(db: Database, campaign_id: int, log: Log, refresh: bool) -> dict[str, Any]:
    """Compare the log with the table of votes, the table of votes with the consensus."""
    with db.read() as session:
        rows = session.execute(
            select(Vote.request_id, Vote.image_id, Vote.annotator_id, Vote.answer).where(
                Vote.campaign_id == campaign_id
            )
        )
        stored = {request: (image, person, answer) for request, image, person, answer in rows}
        n_stored = session.scalar(select(func.count()).select_from(Vote))
        most = session.scalar(select(func.max(_VOTES)).where(Consensus.campaign_id == campaign_id))
        twice = select(Vote.image_id).where(Vote.superseded_at.is_(None))
        twice = twice.group_by(Vote.image_id, Vote.annotator_id).having(func.count() > 1)
        n_twice = session.scalar(select(func.count()).select_from(twice.subquery()))
        statuses = select(Consensus.status, func.count()).group_by(Consensus.status)
        by_status = dict(session.execute(statuses).all())
    said = log.acknowledged.items()
    return {
        "stored": n_stored,
        "acknowledged": len(log.acknowledged),
        "lost": sum(request not in stored for request, _ in said),
        "changed": sum(stored.get(request, ballot) != ballot for request, ballot in said),
        "doubled": n_stored - len(stored),
        "never_sent": sum(request not in log.sent for request in stored),
        "stored_but_unacknowledged": sum(request not in log.acknowledged for request in stored),
        "persons_twice_on_an_image": n_twice,
        "most_votes_on_an_image": most,
        "status": by_status,
        "consensus_rows_mended_by_rebuild": _mended(db, campaign_id, refresh),
        "refused": len(log.refused),
        "refused_first": log.refused[:1],
    }


def _mended(db: Database, campaign_id: int, refresh: bool) -> int:
    """Rows that differ from what the votes say now; what the skills say is brought up first."""
    if refresh:
        refresh_campaign(db, campaign_id)
    with db.read() as session:
        parts = batches(session, campaign_id)
    mended = 0
    for part in parts:
        with db.write() as session:
            mended += rebuild(session, campaign_id, batch=part)
    return mended
