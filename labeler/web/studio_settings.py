"""The settings of a turned head in words, and in which of them two turned heads differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy.orm import Session

from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.models.studio import HeadTurn
from labeler.models.subsets import Subset
from labeler.web.studio_words import name_angle

LIGHT, ATTRIBUTES, ANGLES, WAY = "Light filter", "Attributes", "Angles", "Way of turning"
IN_ONE_LINE = (LIGHT, ATTRIBUTES, ANGLES, WAY)
AUTO = "auto"
WAYS = {AUTO: "the one that suits the pictures", "closed-loop": "closed loop"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting and its value, in words."""

    title: str
    value: str


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
        ("Source", turn.source_name),
        ("Data set", _name(session, Dataset, turn.dataset_id)),
        ("Labels of", _name(session, Campaign, turn.campaign_id)),
        ("Images", _name(session, Subset, turn.subset_id) or "all of the data set"),
        *_describe_choices(turn.settings),
    ]
    return [Setting(title, value) for title, value in pairs if value]


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
    return "; ".join(
        f"{one.title.lower()}: {one.value}" for one in settings if one.title in IN_ONE_LINE
    )


def _name(session: Session, table: type[Any], number: int | None) -> str:
    found = session.get(table, number) if number is not None else None
    return found.name if found is not None else ""


def _describe_choices(chosen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Write the values of `TurnChoices.as_dict`. An older version may lack some of them."""
    given = chosen.get
    if "light_filter" in chosen:
        named = "" if given("light", AUTO) == AUTO else f", light: {chosen['light']}"
        yield LIGHT, f"on{named}" if chosen["light_filter"] else "off"
    if given("yaw_deg") is not None:
        yield "Yaw of the source", name_angle(chosen["yaw_deg"])
    if "attributes" in chosen:
        yield ATTRIBUTES, ", ".join(chosen["attributes"]) or "none"
    if given("angles_deg"):
        yield ANGLES, write_angles(chosen["angles_deg"])
    if "way" in chosen:
        yield WAY, WAYS.get(chosen["way"], chosen["way"])
    yield "Size", f"{chosen['size']} pixels" if given("size") else ""
    if "with_proposals" in chosen:
        least = f", at least {chosen['min_percent']} % sure" if given("min_percent") else ""
        yield "Labels", ("votes and the model" if chosen["with_proposals"] else "votes") + least
    if given("min_cluster") and given("max_cluster"):
        yield "Cluster size", f"{chosen['min_cluster']} to {chosen['max_cluster']} images"
    yield "Colours", "those of the source" if given("match_colours") else ""
    yield "Members like the source", "count more" if given("similar") else ""
    yield "Seed", str(chosen["seed"]) if given("seed") else ""


def write_angles(yaws_deg: Sequence[float]) -> str:
    """Write angles: `30° left to 30° right in steps of 10°`, or each of them."""
    steps = {round(after - before, 3) for before, after in pairwise(yaws_deg)}
    if len(yaws_deg) > 2 and len(steps) == 1:
        ends = f"{name_angle(yaws_deg[0])} to {name_angle(yaws_deg[-1])}"
        return f"{ends} in steps of {abs(steps.pop()):g}°"
    return ", ".join(map(name_angle, yaws_deg))
