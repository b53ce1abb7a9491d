"""When images of a campaign are assigned: its start, its end, and whether that is now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.campaigns.service import get_campaign, refuse_archived
from labeler.errors import Conflict, InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign


def is_open(campaign: Any, now: datetime) -> bool:
    """Whether images of a campaign are assigned at a time.

    Parameters:
        campaign: a `Campaign`, or a row with the same columns.
    """
    begun = campaign.starts_at is None or campaign.starts_at <= now
    over = campaign.ends_at is not None and campaign.ends_at <= now
    return bool(campaign.active and campaign.paused_at is None and begun and not over)


def is_changeable(campaign: Any, now: datetime) -> bool:
    """Whether earlier answers in a campaign can be changed: it is active and has not ended.

    Parameters:
        campaign: a `Campaign`, or a row with the same columns.
    """
    over = campaign.ends_at is not None and campaign.ends_at <= now
    return bool(campaign.active and not over)


def changeable_at(now: datetime) -> ColumnElement[bool]:
    """The condition that `is_changeable`, for a statement that reads `Campaign`."""
    return and_(Campaign.active, or_(Campaign.ends_at.is_(None), Campaign.ends_at > now))


def refuse_unchangeable(campaign: Campaign, now: datetime) -> None:
    """Refuse what needs that earlier answers in a campaign can be changed.

    Raises:
        Conflict: it is archived, is not active or has ended.
    """
    refuse_archived(campaign)
    if not campaign.active:
        raise Conflict(
            _(
                "The campaign %(name)r is not active, so its answers cannot be changed. Activate "
                "it first.",
                name=campaign.name,
            )
        )
    if not is_changeable(campaign, now):
        raise Conflict(
            _(
                "The campaign %(name)r has ended, so its answers cannot be changed. Set a later "
                "end first.",
                name=campaign.name,
            )
        )


def set_period(
    session: Session,
    campaign_id: int,
    starts_at: datetime | None,
    ends_at: datetime | None,
    by: Actor = NOBODY,
) -> bool:
    """Set when images of a campaign are assigned; returns whether that changed it.

    Images that people hold at the end can still be answered.

    Parameters:
        starts_at, ends_at: timezone-aware; None: no limit on that side.

    Raises:
        NotFound: no such campaign.
        InvalidInput: the start is not before the end.
        Conflict: the campaign is archived.
    """
    campaign = get_campaign(session, campaign_id)
    refuse_archived(campaign)
    check_period(starts_at, ends_at)
    if (starts_at, ends_at) == (campaign.starts_at, campaign.ends_at):
        return False
    campaign.starts_at, campaign.ends_at = starts_at, ends_at
    told: dict[str, Any] = {
        name: f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if time else "none"
        for name, time in (("start", starts_at), ("end", ends_at))
    }
    record(session, "campaign_period", by, ("campaign", campaign_id), **told)
    session.flush()
    return True


def check_period(starts_at: datetime | None, ends_at: datetime | None) -> None:
    """Refuse a period that ends before it begins.

    Raises:
        InvalidInput: the start is not before the end.
    """
    if starts_at is not None and ends_at is not None and starts_at >= ends_at:
        raise InvalidInput(_("The end must be later than the start. Change one of them."))
