"""The presets in the form of a campaign, and what rules cost in words."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from labeler.consensus.cost import Cost, Span, forecast_cost
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.proposals.runs import current_run
from labeler.rules.campaign_rules import Rules
from labeler.rules.presets import PRESETS, find_preset
from labeler.rules.validation import RuleError
from labeler.statistics.intervals import Interval, wilson
from labeler.web import request_fields
from labeler.web.campaigns.rule_fields import parse_rules, rule_texts


@dataclass(frozen=True, slots=True)
class PresetChoice:
    """A preset of the form. `cost`: what it takes, in words."""

    name: str
    title: str
    sentence: str
    cost: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class CostBasis:
    """What a forecast of the cost starts from: the number of images, and the model.

    `model`: the measured accuracy of the current run; None without one. `run_id`: that run.
    """

    images: int
    model: Interval | None = None
    run_id: int | None = None

    @property
    def sentence(self) -> str:
        """Say on which model the forecast is based."""
        if self.model is None:
            return _(
                "No model has been measured on this data set yet. The fewer votes are those with a "
                "good model from the start, the more those without any."
            )
        return _(
            "The model of run %(run)s is right on %(low)s to %(high)s %% of the images.",
            run=self.run_id,
            low=write_number(100 * self.model.low),
            high=write_number(100 * self.model.high),
        )


def cost_basis(session: Session, dataset_id: int, images: int) -> CostBasis:
    """Return what a forecast for so many images of a data set starts from."""
    run = current_run(session, dataset_id)
    measured = (run.metrics.get("cross_validation") or {}) if run else {}
    if run is None or not measured.get("n"):
        return CostBasis(images)
    n = measured["n"]
    return CostBasis(images, wilson(measured["accuracy"] * n, n), run.id)


def applied_preset() -> str:
    """Return the name of the preset whose button was pressed, "" for none."""
    name = request_fields.text("preset")
    return name if name in {one.name for one in PRESETS} else ""


def preset_choices(texts: dict[str, str], basis: CostBasis) -> list[PresetChoice]:
    """Return the presets with their cost, and which one the rules follow."""
    rules = _rules_or_none(texts)
    followed = find_preset(rules) if rules else None
    return [
        PresetChoice(
            one.name,
            _(one.title),
            _(one.sentence),
            _forecast(one.applied(rules or Rules()), basis),
            one == followed,
        )
        for one in PRESETS
    ]


def own_cost(texts: dict[str, str], basis: CostBasis) -> str:
    """Say what the rules of the form cost; "" if they are wrong."""
    rules = _rules_or_none(texts)
    return _forecast(rules, basis) if rules else ""


def describe_cost(cost: Cost) -> str:
    """Write a cost as `1,310 to 2,300 votes, about 1 to 2 hours of work, up to 9 contested`."""
    low, high = (max(1, round(hours * 60)) for hours in cost.hours)
    if high < 90:
        time = ngettext(
            "about %(span)s minute of work",
            "about %(span)s minutes of work",
            high,
            span=_from_to(Span(low, high)),
        )
    else:
        low, high = max(1, round(low / 60)), round(high / 60)
        time = _("about %(span)s hours of work", span=_from_to(Span(low, high)))
    votes = ngettext("%(span)s vote", "%(span)s votes", cost.votes.high, span=_from_to(cost.votes))
    return f"{votes}, {time}, {_contested(cost)}"


def apply_preset(texts: dict[str, str], name: str) -> None:
    """Fill in the rules of a preset. Other fields keep what was typed, also if it is wrong."""
    preset = next(one for one in PRESETS if one.name == name)
    filled = rule_texts(preset.applied(Rules()))
    texts |= {rule: filled[rule] for rule in preset.changes}


def _forecast(rules: Rules, basis: CostBasis) -> str:
    return describe_cost(forecast_cost(rules, basis.images, basis.model))


def _contested(cost: Cost) -> str:
    if cost.contested.high == 0:
        return _("hardly any contested image")
    if cost.contested.low:
        return ngettext(
            "%(span)s contested image",
            "%(span)s contested images",
            cost.contested.high,
            span=_from_to(cost.contested),
        )
    return ngettext(
        "up to %(num)s contested image", "up to %(num)s contested images", cost.contested.high
    )


def _from_to(span: Span) -> str:
    low, high = write_number(span.low), write_number(span.high)
    return low if span.low == span.high else _("%(low)s to %(high)s", low=low, high=high)


def _rules_or_none(texts: dict[str, str]) -> Rules | None:
    try:
        return parse_rules(texts)
    except RuleError:
        return None
