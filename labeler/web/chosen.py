"""Which campaign a managing page is about."""

from __future__ import annotations

from flask import request
from sqlalchemy.orm import Session

from labeler.errors import NotFound
from labeler.models import Campaign
from labeler.services import campaigns
from labeler.web.routing import MAX_ID

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
