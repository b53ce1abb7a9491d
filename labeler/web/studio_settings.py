"""The settings of a turned head in words, and in which of them two differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.models.studio import HeadTurn
from labeler.models.subsets import Subset


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
    found = [
        Setting("Source", turn.source_name),
        Setting("Data set", _name(session, Dataset, turn.dataset_id)),
        Setting("Labels of", _name(session, Campaign, turn.campaign_id)),
        Setting("Images", _name(session, Subset, turn.subset_id, "all of the data set")),
    ]
    found += [Setting(_title(key), _write(value)) for key, value in turn.settings.items()]
    return [one for one in found if one.value]


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
    """Write settings for a list of turned heads; each page of it names the source itself."""
    return "; ".join(f"{one.title}: {one.value}" for one in settings if one.title != "Source")


def _name(session: Session, table: type[Any], number: int | None, without: str = "") -> str:
    found = session.get(table, number) if number is not None else None
    return found.name if found is not None else without


def _title(key: str) -> str:
    return key.replace("_", " ").removesuffix(" deg").capitalize()


def _write(value: Any) -> str:
    if value is None or value == []:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_write, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
