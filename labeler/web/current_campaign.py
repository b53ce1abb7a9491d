"""Which campaign a managing page is about."""

from __future__ import annotations

from typing import Any

from flask import request
from sqlalchemy.orm import Session

from labeler.campaigns import service as campaigns
from labeler.errors import NotFound
from labeler.models import Campaign
from labeler.web.converters import MAX_ID

NO_CAMPAIGN = "No campaign is active. Choose one on the page “Campaigns”."


def campaign_or_none(session: Session) -> Campaign | None:
    """The campaign that the request names by `campaign=NUMBER`, else the active one.

    Raises:
        NotFound: none has the number.
    """
    number = request.values.get("campaign", 0, type=int)
    if 0 < number <= MAX_ID:
        return campaigns.get_campaign(session, number)
    return campaigns.active_campaign(session)


def campaign(session: Session) -> Campaign:
    """As `campaign_or_none`.

    Raises:
        NotFound: there is none.
    """
    found = campaign_or_none(session)
    if found is None:
        raise NotFound(NO_CAMPAIGN)
    return found


def links(campaign: Campaign) -> dict[str, Any]:
    """What the address of a page must carry besides to stay with this campaign."""
    return {} if campaign.active else {"campaign": campaign.id}
