"""How far a new site is: which of the first steps the database shows as done."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from labeler.campaigns.service import active_campaigns
from labeler.gold.service import count_gold
from labeler.models.accounts import Annotator, Invite
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import DEMO, Dataset, Image


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What there is. The demo counts only as long as there is no other data set.

    Attributes:
        dataset_id: the newest data set with a usable image; 0 without one.
        only_demo: that data set is the demo.
        campaign_id: the active campaign, else the newest one that is not archived; 0 without one.
        gold: the gold questions of that campaign.
        people: the accounts beside the first one, and the invites that are open.
        is_active: whether that campaign is active.
    """

    dataset_id: int
    only_demo: bool
    campaign_id: int
    gold: int
    people: int
    is_active: bool

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return bool(
            self.dataset_id and self.campaign_id and self.gold and self.people and self.is_active
        )


def find_first_steps(session: Session) -> FirstSteps:
    """Return which of the first steps are done."""
    usable = select(Image.id).where(Image.dataset_id == Dataset.id, Image.status == "ok").exists()
    there = select(Dataset).where(usable, Dataset.deleted_at.is_(None))
    newest = session.scalars(there.order_by(Dataset.name == DEMO, Dataset.id.desc())).first()
    only_demo = newest is not None and newest.name == DEMO
    active, campaign_id = _campaign(session, with_demo=newest is None or only_demo)
    return FirstSteps(
        newest.id if newest else 0,
        only_demo,
        campaign_id,
        sum(count_gold(session, campaign_id).values()) if campaign_id else 0,
        count_people(session),
        active,
    )


def count_people(session: Session) -> int:
    """Count the accounts beside the first one, and the invites that are open."""
    accounts = _count(session, select(func.count(Annotator.id)))
    return max(0, accounts - 1) + _open_invites(session)


def _campaign(session: Session, *, with_demo: bool) -> tuple[bool, int]:
    """Return whether a campaign is active, and its number, else that of the newest one or 0."""
    for one in active_campaigns(session):
        if with_demo or one.dataset.name != DEMO:
            return True, one.id
    others = (
        select(Campaign.id)
        .join(Dataset, Dataset.id == Campaign.dataset_id)
        .where(Campaign.archived_at.is_(None))
        .order_by(Campaign.id.desc())
    )
    others = others if with_demo else others.where(Dataset.name != DEMO)
    return False, session.scalar(others.limit(1)) or 0


def _open_invites(session: Session) -> int:
    is_open = (Invite.revoked_at.is_(None), Invite.expires_at > utc_now())
    made_here = Invite.created_by_id.is_not(None)  # not the link of the first admin
    return _count(session, select(func.count(Invite.id)).where(*is_open, made_here))


def _count(session: Session, statement: Select[int]) -> int:
    return session.scalar(statement) or 0
