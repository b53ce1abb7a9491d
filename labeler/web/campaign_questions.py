"""The questions before a campaign changes under people who are at work."""

from __future__ import annotations

from flask import url_for
from sqlalchemy.orm import Session

from labeler.assignment.leases import count_held
from labeler.campaigns import service as campaigns
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


def ask_activation(session: Session, found: Campaign, former: Campaign) -> tuple[str, int]:
    """Ask before people are assigned images of another campaign."""
    now, then = (campaign_progress.campaign_progress(session, one.id) for one in (former, found))
    people = throughput.count_active(session, former.id)
    held = count_held(session, former.id)
    left = now.images - now.agreed - now.contested
    effects = [
        f"People get images of {found.name} from now on, and no more of {former.name}. "
        f"{people:,} {'person' if people == 1 else 'people'} answered in the last ten minutes.",
        f"{_images(held)} that people have open can still be answered. The answers count for "
        f"{former.name}."
        if held
        else f"Nobody has an image of {former.name} open.",
        f"{former.name} stops with {left:,} of {_images(now.images)} to go. Its votes and labels "
        "stay, and you can activate it again at any time.",
        f"{found.name} has {_images(then.images)}, {then.open:,} of them to go.",
    ]
    back = url_for("campaigns.campaign", campaign_id=found.id)
    return confirmation.ask(f"Activate {found.name}?", effects, f"Activate {found.name}", back)


def _images(number: int) -> str:
    return f"{number:,} {plural(number, 'image')}"
