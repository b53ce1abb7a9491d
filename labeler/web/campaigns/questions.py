"""The questions before a campaign changes under people who are at work."""

from __future__ import annotations

from collections.abc import Sequence

from flask import url_for
from sqlalchemy.orm import Session

from labeler.assignment.leases import count_held
from labeler.campaigns import service as campaigns
from labeler.campaigns.audience import count_audience
from labeler.consensus.forecast import RulesForecast, forecast_rules
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.models.campaigns import Campaign
from labeler.progress import campaign_progress, throughput
from labeler.rules.campaign_rules import Rules
from labeler.web import confirmation
from labeler.web.context import db


def ask_about_rules(campaign_id: int, rules: Rules, again: str = "") -> tuple[str, int] | None:
    """Ask before rules open finished images again; None if no question is needed.

    Parameters:
        again: as for `confirmation.ask`.
    """
    if confirmation.is_given():
        return None
    with db().read() as session:
        found = campaigns.get_campaign(session, campaign_id)
        if rules == found.parsed_rules:
            return None
        forecast = forecast_rules(session, campaign_id, rules)
        name = found.name
    if not forecast.opened:
        return None
    effects = [*forecast_sentences(forecast), _("Votes stay. Other rules can be set at any time.")]
    back = url_for("campaigns.campaign", campaign_id=campaign_id)
    title = ngettext(
        "Open %(num)s image of %(name)s again?",
        "Open %(num)s images of %(name)s again?",
        forecast.opened,
        name=name,
    )
    return confirmation.ask(title, effects, _("Save the rules"), back, again)


def forecast_sentences(forecast: RulesForecast) -> list[str]:
    """Say what other rules make of the votes so far."""
    opened = ngettext(
        "%(num)s finished image will open again and need more votes.",
        "%(num)s finished images will open again and need more votes.",
        forecast.opened,
    )
    return [
        opened if forecast.opened else _("No finished image opens again."),
        ngettext(
            "%(then)s of %(num)s image then need no more votes. It is %(now)s by the present "
            "rules.",
            "%(then)s of %(num)s images then need no more votes. It is %(now)s by the present "
            "rules.",
            forecast.images,
            then=write_number(forecast.finished_then),
            now=write_number(forecast.finished_now),
        ),
    ]


def ask_activation(
    session: Session, found: Campaign, others: Sequence[Campaign]
) -> tuple[str, int]:
    """Ask before a campaign becomes active beside others."""
    then = campaign_progress.campaign_progress(session, found.id)
    audience = count_audience(session, found.id)
    effects = [
        _can_label(found, audience) + " " + _to_go(then.images, then.open),
        *(_at_work(session, one) for one in others),
        _(
            "People who can label in several campaigns choose one at the top of their page. Until "
            "then they stay in the campaign of their last answer, and new people start in the "
            "newest one."
        ),
    ]
    title = _("Activate %(name)s?", name=found.name)
    return _ask(found, title, effects, _("Activate %(name)s", name=found.name))


def _can_label(found: Campaign, people: int) -> str:
    return ngettext(
        "%(num)s person with an open account can label in %(name)s.",
        "%(num)s people with an open account can label in %(name)s.",
        people,
        name=found.name,
    )


def _to_go(images: int, left: int) -> str:
    return ngettext(
        "It has %(num)s image, %(left)s of them to go.",
        "It has %(num)s images, %(left)s of them to go.",
        images,
        left=write_number(left),
    )


def ask_deactivation(session: Session, found: Campaign) -> tuple[str, int]:
    """Ask before people get no more images of a campaign."""
    effects = [*_stopping(session, found), _("You can activate it again at any time.")]
    title = _("Deactivate %(name)s?", name=found.name)
    return _ask(found, title, effects, _("Deactivate %(name)s", name=found.name))


def ask_archiving(session: Session, found: Campaign) -> tuple[str, int]:
    """Ask before a campaign is put away."""
    effects = [
        *(_stopping(session, found) if found.active else []),
        _(
            "%(name)s is no longer in the list of campaigns, and nobody gets its images. Other "
            "campaigns can take its name.",
            name=found.name,
        ),
        _("Its votes and labels stay. You can restore it at any time."),
    ]
    title = _("Archive %(name)s?", name=found.name)
    return _ask(found, title, effects, _("Archive %(name)s", name=found.name))


def _stopping(session: Session, found: Campaign) -> list[str]:
    """Say what it means for people that a campaign is no longer active."""
    now = campaign_progress.campaign_progress(session, found.id)
    held = count_held(session, found.id)
    left = now.images - now.agreed - now.contested
    others = [one.name for one in campaigns.active_campaigns(session) if one.id != found.id]
    ending = _("People get no more images of %(name)s.", name=found.name)
    instead = (
        _("Still active: %(names)s.", names=", ".join(others))
        if others
        else _("No other campaign is active.")
    )
    return [
        f"{ending} {instead}",
        _at_work(session, found),
        _in_hand(found, held),
        ngettext(
            "%(name)s stops with %(left)s of %(num)s image to go. Its votes and labels stay.",
            "%(name)s stops with %(left)s of %(num)s images to go. Its votes and labels stay.",
            now.images,
            name=found.name,
            left=write_number(left),
        ),
    ]


def _in_hand(found: Campaign, held: int) -> str:
    if not held:
        return _("Nobody has an image of %(name)s open.", name=found.name)
    return ngettext(
        "%(num)s image that people have open can still be answered. The answer counts for "
        "%(name)s.",
        "%(num)s images that people have open can still be answered. The answers count for "
        "%(name)s.",
        held,
        name=found.name,
    )


def _at_work(session: Session, found: Campaign) -> str:
    people = throughput.count_active(session, found.id)
    return ngettext(
        "%(num)s person answered in %(name)s in the last ten minutes.",
        "%(num)s people answered in %(name)s in the last ten minutes.",
        people,
        name=found.name,
    )


def _ask(found: Campaign, title: str, effects: list[str], button: str) -> tuple[str, int]:
    back = url_for("campaigns.campaign", campaign_id=found.id)
    return confirmation.ask(title, effects, button, back)
