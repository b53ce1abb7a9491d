"""The presets in the form of a campaign, and their cost in words."""

from __future__ import annotations

from dataclasses import dataclass

from labeler.rules.campaign_rules import Rules
from labeler.rules.presets import PRESETS, Cost, expected_cost, find_preset
from labeler.rules.validation import RuleError
from labeler.web import request_fields
from labeler.web.campaign_rule_fields import parse_rules, rule_texts
from labeler.web.formatting import plural


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """A preset of the form. `cost`: what it takes, in words."""

    name: str
    title: str
    sentence: str
    cost: str
    chosen: bool


def applied_preset() -> str:
    """Return the name of the preset whose button was pressed, "" for none."""
    name = request_fields.text("preset")
    return name if name in {one.name for one in PRESETS} else ""


def preset_choices(texts: dict[str, str], images: int) -> list[PresetChoice]:
    """Return the presets with their cost for so many images, and which one the rules follow."""
    rules = _rules_or_none(texts)
    followed = find_preset(rules) if rules else None
    return [
        PresetChoice(
            one.name,
            one.title,
            one.sentence,
            describe_cost(expected_cost(one.applied(rules or Rules()), images)),
            one == followed,
        )
        for one in PRESETS
    ]


def own_cost(texts: dict[str, str], images: int) -> str:
    """Say what the rules of the form cost; "" if they are wrong."""
    rules = _rules_or_none(texts)
    return describe_cost(expected_cost(rules, images)) if rules else ""


def describe_cost(cost: Cost) -> str:
    """Write a cost as `1,310 to 2,300 votes, 1 to 2 hours of work`."""
    fewest, most = cost.votes
    votes = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    low, high = (max(1, round(hours * 60)) for hours in cost.hours)
    if high < 90:
        unit = plural(high, "minute")
    else:
        low, high, unit = max(1, round(low / 60)), round(high / 60), "hours"
    time = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{votes} {'vote' if most == 1 else 'votes'}, about {time} {unit} of work"


def apply_preset(texts: dict[str, str], name: str) -> None:
    """Fill in the rules of a preset. Other fields keep what was typed, also if it is wrong."""
    preset = next(one for one in PRESETS if one.name == name)
    filled = rule_texts(preset.applied(Rules()))
    texts |= {rule: filled[rule] for rule in preset.changes}


def _rules_or_none(texts: dict[str, str]) -> Rules | None:
    try:
        return parse_rules(texts)
    except RuleError:
        return None
