"""The campaign that a page for supervisors is about."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from labeler.campaigns import service as campaigns
from labeler.errors import NotFound
from labeler.models.campaigns import Campaign
from labeler.web import request_fields

NO_CAMPAIGN = "No campaign is active. Choose one on the page “Campaigns”."


def campaign_or_none(session: Session) -> Campaign | None:
    """Return the campaign of `campaign=NUMBER` in the request, else the active one, else None.

    Raises:
        NotFound: no campaign has that number.
    """
    number = request_fields.row_number("campaign")
    if number:
        return campaigns.get_campaign(session, number)
    return campaigns.active_campaign(session)


def campaign(session: Session) -> Campaign:
    """Return the campaign as `campaign_or_none` does.

    Raises:
        NotFound: there is no such campaign.
    """
    found = campaign_or_none(session)
    if found is None:
        raise NotFound(NO_CAMPAIGN)
    return found


def links(campaign: Campaign) -> dict[str, Any]:
    """Return the query values that keep a link on this campaign; none for the active one."""
    return {} if campaign.active else {"campaign": campaign.id}
