"""The questions before a campaign changes under people who are at work."""

from __future__ import annotations

from collections.abc import Sequence

from flask import url_for
from sqlalchemy.orm import Session

from labeler.assignment.leases import count_held
from labeler.campaigns import service as campaigns
from labeler.campaigns.audience import count_audience
from labeler.consensus.forecast import RulesForecast, forecast_rules
from labeler.models.campaigns import Campaign
from labeler.progress import campaign_progress, throughput
from labeler.rules.campaign_rules import Rules
from labeler.web import confirmation
from labeler.web.context import db
from labeler.web.formatting import plural


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
    effects = [*forecast_sentences(forecast), "Votes stay. Other rules can be set at any time."]
    back = url_for("campaigns.campaign", campaign_id=campaign_id)
    title = f"Open {_images(forecast.opened)} of {name} again?"
    return confirmation.ask(title, effects, "Save the rules", back, again)


def forecast_sentences(forecast: RulesForecast) -> list[str]:
    """Say what other rules make of the votes so far."""
    then, now, images = forecast.finished_then, forecast.finished_now, forecast.images
    opened = f"{forecast.opened:,} finished {plural(forecast.opened, 'image')} will open again"
    return [
        f"{opened} and need more votes." if forecast.opened else "No finished image opens again.",
        f"{then:,} of {images:,} {plural(images, 'image')} then need no more votes. "
        f"It is {now:,} by the present rules.",
    ]


def ask_activation(
    session: Session, found: Campaign, others: Sequence[Campaign]
) -> tuple[str, int]:
    """Ask before a campaign becomes active beside others."""
    then = campaign_progress.campaign_progress(session, found.id)
    audience = count_audience(session, found.id)
    effects = [
        f"{_people(audience)} with an open account can label in {found.name}. "
        f"It has {_images(then.images)}, {then.open:,} of them to go.",
        *(_at_work(session, one) for one in others),
        "People who can label in several campaigns choose one at the top of their page. Until then "
        "they stay in the campaign of their last answer, and new people start in the newest one.",
    ]
    return _ask(found, f"Activate {found.name}?", effects, f"Activate {found.name}")


def ask_deactivation(session: Session, found: Campaign) -> tuple[str, int]:
    """Ask before people get no more images of a campaign."""
    effects = [*_stopping(session, found), "You can activate it again at any time."]
    return _ask(found, f"Deactivate {found.name}?", effects, f"Deactivate {found.name}")


def ask_archiving(session: Session, found: Campaign) -> tuple[str, int]:
    """Ask before a campaign is put away."""
    effects = [
        *(_stopping(session, found) if found.active else []),
        f"{found.name} is no longer in the list of campaigns, and nobody gets its images. Other "
        "campaigns can take its name.",
        "Its votes and labels stay. You can restore it at any time.",
    ]
    return _ask(found, f"Archive {found.name}?", effects, f"Archive {found.name}")


def _stopping(session: Session, found: Campaign) -> list[str]:
    """Say what it means for people that a campaign is no longer active."""
    now = campaign_progress.campaign_progress(session, found.id)
    held = count_held(session, found.id)
    left = now.images - now.agreed - now.contested
    others = [one.name for one in campaigns.active_campaigns(session) if one.id != found.id]
    instead = f"Still active: {', '.join(others)}." if others else "No other campaign is active."
    return [
        f"People get no more images of {found.name}. {instead}",
        _at_work(session, found),
        f"{_images(held)} that people have open can still be answered. The answers count for "
        f"{found.name}."
        if held
        else f"Nobody has an image of {found.name} open.",
        f"{found.name} stops with {left:,} of {_images(now.images)} to go. Its votes and labels "
        "stay.",
    ]


def _at_work(session: Session, found: Campaign) -> str:
    people = throughput.count_active(session, found.id)
    return f"{_people(people)} answered in {found.name} in the last ten minutes."


def _ask(found: Campaign, title: str, effects: list[str], button: str) -> tuple[str, int]:
    back = url_for("campaigns.campaign", campaign_id=found.id)
    return confirmation.ask(title, effects, button, back)


def _people(number: int) -> str:
    return f"{number:,} {'person' if number == 1 else 'people'}"


def _images(number: int) -> str:
    return f"{number:,} {plural(number, 'image')}"
