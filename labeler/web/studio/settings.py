"""The settings of a turned head in words, and in which of them two turned heads differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session

from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, pgettext
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.models.studio import HeadTurn
from labeler.models.subsets import Subset
from labeler.studio.choices import AUTO
from labeler.web.formatting import answer_word
from labeler.web.studio.words import name_angle, name_way, write_degrees

LIGHT, ATTRIBUTES = mark("Light filter"), mark("Attributes")
ANGLES, WAY = mark("Angles"), mark("Way of turning")
IN_ONE_LINE = (LIGHT, ATTRIBUTES, ANGLES, WAY)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting and its value, in words. `matters`: it is named in lists of turned heads, too."""

    title: str
    value: str
    matters: bool


@dataclass(frozen=True, slots=True)
class ComparedSetting:
    """A setting of two turned heads."""

    title: str
    values: tuple[str, str]

    @property
    def differs(self) -> bool:
        """Whether the two have other values."""
        return self.values[0] != self.values[1]


def describe_settings(session: Session, turn: HeadTurn) -> list[Setting]:
    """Return what was chosen for a turn, in words."""
    pairs = [
        (mark("Data set"), _name(session, Dataset, turn.dataset_id)),
        (mark("Labels of"), _name(session, Campaign, turn.campaign_id)),
        (mark("Images"), _name(session, Subset, turn.subset_id) or _("all of the data set")),
        *_describe_choices(turn.settings),
    ]
    source = Setting(pgettext("turn", "Source"), turn.source_name, matters=False)
    chosen = [Setting(_(title), value, title in IN_ONE_LINE) for title, value in pairs if value]
    return [source, *chosen]


def compare_settings(one: Sequence[Setting], other: Sequence[Setting]) -> list[ComparedSetting]:
    """Return the settings of two turned heads side by side: those that differ come first."""
    values = [{each.title: each.value for each in side} for side in (one, other)]
    titles = dict.fromkeys([*values[0], *values[1]])
    rows = [
        ComparedSetting(title, (values[0].get(title, "–"), values[1].get(title, "–")))
        for title in titles
    ]
    return sorted(rows, key=lambda row: not row.differs)


def in_one_line(settings: Sequence[Setting]) -> str:
    """Write the settings that matter most, for a list of turned heads."""
    return "; ".join(f"{one.title}: {one.value}" for one in settings if one.matters)


def _name(session: Session, table: type[Any], number: int | None) -> str:
    found = session.get(table, number) if number is not None else None
    return found.name if found is not None else ""


def _describe_choices(chosen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Write the values of `TurnChoices.as_dict`. An older version may lack some of them."""
    given = chosen.get
    if "light_filter" in chosen:
        yield LIGHT, _filter_words(chosen)
    if given("yaw_deg") is not None:
        yield mark("Yaw of the source"), name_angle(chosen["yaw_deg"])
    if "attributes" in chosen:
        yield ATTRIBUTES, ", ".join(chosen["attributes"]) or pgettext("attributes", "none")
    if given("angles_deg"):
        yield ANGLES, write_angles(chosen["angles_deg"])
    if "way" in chosen:
        yield WAY, name_way(chosen["way"])
    yield mark("Size"), _("%(size)s pixels", size=chosen["size"]) if given("size") else ""
    if "with_proposals" in chosen:
        yield mark("Labels"), _label_words(chosen)
    if given("min_cluster") and given("max_cluster"):
        low, high = write_number(chosen["min_cluster"]), write_number(chosen["max_cluster"])
        yield mark("Cluster size"), _("%(low)s to %(high)s images", low=low, high=high)
    yield mark("Colours"), _("those of the source") if given("match_colours") else ""
    yield mark("Members like the source"), _("count more") if given("similar") else ""
    if "relight" in chosen:
        stays, turns = _("stays where it is"), _("turns with the head")
        yield mark("Light on the head"), stays if chosen["relight"] else turns
    yield mark("Seed"), str(chosen["seed"]) if given("seed") else ""


def _filter_words(chosen: Mapping[str, Any]) -> str:
    light = chosen.get("light", AUTO)
    if not chosen["light_filter"]:
        return pgettext("light filter", "off")
    if light == AUTO:
        return pgettext("light filter", "on")
    return _("on, light: %(light)s", light=answer_word(light))


def _label_words(chosen: Mapping[str, Any]) -> str:
    share = chosen.get("min_percent")
    if chosen["with_proposals"] and share:
        return _("votes and the model, at least %(share)s %% sure", share=share)
    if chosen["with_proposals"]:
        return _("votes and the model")
    if share:
        return _("votes, at least %(share)s %% sure", share=share)
    return pgettext("labels", "votes")


def write_angles(yaws_deg: Sequence[float]) -> str:
    """Write angles: `30° left to 30° right in steps of 10°`, or each of them."""
    steps = {round(after - before, 3) for before, after in pairwise(yaws_deg)}
    if len(yaws_deg) > 2 and len(steps) == 1:
        return _(
            "%(first)s to %(last)s in steps of %(step)s",
            first=name_angle(yaws_deg[0]),
            last=name_angle(yaws_deg[-1]),
            step=write_degrees(abs(steps.pop())),
        )
    return ", ".join(map(name_angle, yaws_deg))
