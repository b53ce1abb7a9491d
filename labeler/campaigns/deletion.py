"""Deleting a campaign with all its votes, for good.

First the campaign is marked: it is in no list and cannot be opened any more, and its name is free.
Then its rows go, batch by batch, so that people can vote in other campaigns between two of them. A
deletion that was interrupted is continued by the worker. Only a marked campaign lets the database
delete votes (`vote_no_delete` in `migrations/versions/20261201_parallel_campaigns.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, func, null, select, tuple_, update
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.base import utc_now
from labeler.models.campaigns import (
    Campaign,
    CampaignAnnotator,
    CampaignChoice,
    CampaignGroup,
    Participation,
)
from labeler.models.consensus import Consensus, Decision, Estimate, Gold, Skill
from labeler.models.people import ImageFlag, ReturnedAnswer
from labeler.models.subsets import Subset
from labeler.models.voting import Lease, Vote

BATCH = 2_000  # rows of a transaction
# A row goes before those that it refers to. Leases go before `Consensus`, whose rows they reserve.
TABLES = (
    Vote,
    Lease,
    ImageFlag,
    Gold,
    Decision,
    Skill,
    Estimate,
    Participation,
    CampaignAnnotator,
    CampaignGroup,
    CampaignChoice,
    Consensus,
)
GONE = mark("This campaign does not exist any more. Somebody else may have deleted it just now.")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class DeletionForecast:
    """What goes with a campaign. `votes`: all that are stored, also superseded ones."""

    name: str
    active: bool
    images: int
    votes: int
    people: int
    gold: int
    decisions: int
    held: int


def forecast_deletion(session: Session, campaign_id: int) -> DeletionForecast:
    """What `mark_deleted` will take away.

    Raises:
        NotFound: no such campaign.
    """
    campaign = _existing(session, campaign_id)

    def count(table: Any, what: Any = None, *conditions: Any) -> int:
        counted = select(func.count() if what is None else what).where(
            table.campaign_id == campaign_id, *conditions
        )
        return session.scalar(counted) or 0

    return DeletionForecast(
        campaign.name,
        campaign.active,
        images=count(Consensus),
        votes=count(Vote),
        people=count(Vote, func.count(Vote.annotator_id.distinct())),
        gold=count(Gold, None, Gold.revoked_at.is_(None)),
        decisions=count(Decision, None, Decision.superseded_at.is_(None)),
        held=count(Lease, None, Lease.expires_at > utc_now()),
    )


def mark_deleted(session: Session, campaign_id: int, by: Actor = NOBODY) -> DeletionForecast:
    """Make a campaign disappear, and log what went. `remove_rows` then deletes its rows.

    Of two people who delete it at once, the second one is told.

    Raises:
        NotFound: no such campaign, or somebody else has deleted it.
        Conflict: it is active.
    """
    campaign = _existing(session, campaign_id, lock=True)
    if campaign.active:
        raise Conflict(
            _("The campaign %(name)r is active. Deactivate it first.", name=campaign.name)
        )
    told = forecast_deletion(session, campaign_id)
    now = utc_now()
    campaign.archived_at = campaign.archived_at or now
    campaign.deleted_at = now
    numbers: dict[str, Any] = {"images": told.images, "votes": told.votes, "people": told.people}
    record(session, "campaign_deleted", by, ("campaign", campaign_id), **numbers)
    session.flush()
    return told


def remove_rows(db: Database, campaign_id: int, progress: Progress | None = None) -> None:
    """Delete the rows of a marked campaign, batch by batch, and then the campaign itself.

    The call may be stopped and repeated at any time.

    Parameters:
        progress: called with (rows done, rows in all).

    Raises:
        Conflict: the campaign is not marked.
    """
    with db.read() as session:
        campaign = session.get(Campaign, campaign_id)
        if campaign is None:
            return
        if campaign.deleted_at is None:
            raise Conflict(f"The campaign {campaign.name!r} is not to be deleted.")
        counted = [select(func.count()).where(table.campaign_id == campaign_id) for table in TABLES]
        total, done = sum(session.scalar(one) or 0 for one in counted), 0
    with db.write() as session:
        _release(session, campaign_id)
    for table in TABLES:
        removed = BATCH
        while removed == BATCH:
            with db.write() as session:
                removed = _remove_batch(session, table, campaign_id)
            done += removed
            if progress is not None:
                progress(min(done, total), total)
    with db.write() as session:
        session.execute(
            delete(Campaign)
            .where(Campaign.id == campaign_id)
            .execution_options(synchronize_session=False)
        )


def find_marked(session: Session) -> Sequence[int]:
    """The campaigns that are marked and still there."""
    return session.scalars(
        select(Campaign.id).where(Campaign.deleted_at.is_not(None)).order_by(Campaign.id)
    ).all()


def _release(session: Session, campaign_id: int) -> None:
    """Delete what refers to votes, and part subsets from the campaign.

    Live subsets go with their campaign. Lists stay, without the filter that they came from.
    """
    votes = select(Vote.id).where(Vote.campaign_id == campaign_id)
    own = Subset.campaign_id == campaign_id
    for change in (
        delete(ReturnedAnswer).where(ReturnedAnswer.vote_id.in_(votes)),
        delete(Subset).where(own, Subset.sha256.is_(None)),
        update(Subset).where(own).values(campaign_id=None, filter=null()),
    ):
        session.execute(change.execution_options(synchronize_session=False))


def _remove_batch(session: Session, table: Any, campaign_id: int) -> int:
    key = list(table.__table__.primary_key.columns)
    rows = session.execute(
        select(*key).where(table.campaign_id == campaign_id).order_by(*key).limit(BATCH)
    ).all()
    if rows:
        chosen = tuple_(*key) if len(key) > 1 else key[0]
        values = [tuple(row) if len(key) > 1 else row[0] for row in rows]
        session.execute(
            delete(table)
            .where(and_(chosen.in_(values)))
            .execution_options(synchronize_session=False)
        )
    return len(rows)


def _existing(session: Session, campaign_id: int, *, lock: bool = False) -> Campaign:
    query = select(Campaign).where(Campaign.id == campaign_id)
    if lock:
        query = query.with_for_update(of=Campaign)
    campaign = session.scalar(query.execution_options(populate_existing=True))
    if campaign is None or campaign.deleted_at is not None:
        raise NotFound(_(GONE))
    return campaign
