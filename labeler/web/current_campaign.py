"""The campaign that a page for supervisors is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app, g, request, url_for
from sqlalchemy.orm import Session

from labeler.campaigns import service as campaigns
from labeler.errors import NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, pgettext
from labeler.models.campaigns import Campaign
from labeler.web import request_fields
from labeler.web.context import db

# The page of each blueprint that is about a campaign, so that it can be opened for another one.
# A view is named where the other views of its blueprint are about no campaign.
PAGES = {
    "dashboard": "dashboard.overview",
    "quality": "quality.quality",
    "agreement": "agreement.agreement",
    "proposals": "proposals.model_runs",
    "mean_faces": "mean_faces.mean_faces",
    "studio_new": "studio_new.new_turn",
    "image_browser": "image_browser.images",
    "image_history": "image_browser.images",  # an image may be in one campaign only
    "gold": "gold.gold",
    "adjudication": "adjudication.contested",
    "people.people": "people.people",
    "person": "person.show",
}
NO_CAMPAIGN = mark("No campaign is active. Choose one on the page “Campaigns”.")


@dataclass(frozen=True, slots=True)
class CampaignLink:
    """A campaign, and the address of the present page about it."""

    name: str
    address: str
    chosen: bool
    active: bool


@dataclass(frozen=True, slots=True)
class CampaignMenu:
    """What the menu of Manage knows of campaigns.

    `query`: the query values that keep the links of the menu on the chosen campaign. `choices`: the
    campaigns for which the present page can be opened; empty if there is no choice, and on a page
    that answers a form: it is about that form.
    """

    query: dict[str, Any]
    name: str = ""
    choices: Sequence[CampaignLink] = ()


def register(app: Flask) -> None:
    """Give `campaign_menu` to the template of the menu."""
    app.jinja_env.globals["campaign_menu"] = campaign_menu


def campaign_menu() -> CampaignMenu:
    """Return the campaigns for which the present page can be opened.

    A page that is about no campaign keeps the chosen one for the pages that follow.
    """
    endpoint = PAGES.get(request.endpoint or "") or PAGES.get(request.blueprint or "")
    if endpoint is None:
        return CampaignMenu(_kept())
    with db().read() as session:
        found = campaigns.list_campaigns(session)
        number = g.get("shown_campaign") or request_fields.row_number("campaign")
        chosen = next((one for one in found if (one.id == number if number else one.active)), None)
        if chosen is None and number:  # an archived one is looked at by its address only
            chosen = _existing(session, number)
        query = links(chosen) if chosen else {}
        name = chosen.name if chosen else pgettext("campaign", "none")
        choices = [
            CampaignLink(one.name, _address(endpoint, one), one is chosen, one.active)
            for one in found
        ]
    has_choice = request.method == "GET" and (len(choices) > 1 or not chosen)
    return CampaignMenu(query, name, choices if has_choice else ())


def _address(endpoint: str, campaign: Campaign) -> str:
    """Return the address of a view about a campaign; the page of a person stays with the person."""
    needs = current_app.url_map.is_endpoint_expecting
    here = request.view_args or {}
    place = {name: value for name, value in here.items() if needs(endpoint, name)}
    return url_for(endpoint, **place, **links(campaign))


def _kept() -> dict[str, Any]:
    number = request_fields.row_number("campaign") if request.method == "GET" else 0
    if not number:
        return {}
    with db().read() as session:
        found = _existing(session, number)
        return links(found) if found else {}


def _existing(session: Session, number: int) -> Campaign | None:
    found = session.get(Campaign, number)
    return None if found is None or found.deleted_at is not None else found


def show(campaign: Campaign) -> None:
    """Tell the menu that the present page is about this campaign.

    For pages that do not choose as `campaign_or_none` does: images can be looked at without an
    active campaign, and those of another data set too.
    """
    g.shown_campaign = campaign.id


def campaign_or_none(session: Session) -> Campaign | None:
    """Return the campaign of `campaign=NUMBER` in the request, else the newest active one, or None.

    Raises:
        NotFound: no campaign has that number.
    """
    number = request_fields.row_number("campaign")
    if number:
        return campaigns.get_campaign(session, number)
    found = campaigns.active_campaign(session)
    g.default_campaign = found.id if found else 0
    return found


def campaign(session: Session) -> Campaign:
    """Return the campaign as `campaign_or_none` does.

    Raises:
        NotFound: there is no such campaign.
    """
    found = campaign_or_none(session)
    if found is None:
        raise NotFound(_(NO_CAMPAIGN))
    return found


def links(campaign: Campaign) -> dict[str, Any]:
    """Return the query values that keep a link on this campaign; none for the newest active one."""
    is_default = campaign.active and campaign.id == _default()
    return {} if is_default else {"campaign": campaign.id}


def page_query() -> dict[str, Any]:
    """Return the query values that keep a link on the campaign that the present page is about."""
    number = g.get("shown_campaign") or request_fields.row_number("campaign")
    return {} if number in (0, _default()) else {"campaign": number}


def _default() -> int:
    """Return the number of the campaign of links that name none, 0 without one."""
    if "default_campaign" not in g:
        with db().read() as session:
            found = campaigns.active_campaign(session)
        g.default_campaign = found.id if found else 0
    return int(g.default_campaign)
