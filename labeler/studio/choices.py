"""What a person chooses for a turn of a head, checked, and as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import click

from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.rules.validation import (
    Problem,
    RuleError,
    check_number,
    check_whole,
    check_word,
    check_yes_no,
    known_fields,
    refuse_problems,
)
from rotation.cli.option_types import Yaws
from rotation.data.labels import LABELS
from rotation.options import ClusterOptions

ANGLES = {"30": "-30:30:10", "45": "-45:45:15"}  # of seven frames each, by their largest angle
MAX_FRAMES = 61
AUTO = "auto"
LIGHTS = (AUTO, *LABELS)
WAYS = (AUTO, "geometry", "flow", "line", "closed-loop")
SIZES = (0, 128, 256, 512, 1024)  # pixels of a frame's side; 0: as it comes
MOST_FRAMES = {1024: 24}  # by size: the pictures stand beside each other in one strip
MAX_SOURCE_YAW = 90.0
MAX_ATTRIBUTES_CHOSEN = 10
MAX_CLUSTER = 100  # a third of the engine's default, for a third of the time
_CLUSTERS = ClusterOptions()  # the engine's defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnChoices:
    """The choices for one turn. Angles are in degrees, > 0 towards the viewer's right.

    Attributes:
        light: of the source: left, center, right, or auto for its label.
        yaw_deg: of the source; None: as it is known or measured.
        light_filter: whether clusters have images of the source's light only.
        attributes: names of attributes that members share with the source, the most important
            first.
        angles_deg: the yaw of each frame.
        way: one of `WAYS`, the engine's editing method.
        size: one of `SIZES`. The largest ones have fewer frames: `MOST_FRAMES`.
        with_proposals: use the model's labels where the votes have not agreed.
        min_percent: the smallest probability of a member's label.
        min_cluster, max_cluster: bounds of a cluster's size.
        match_colours: give frames the source's colours.
        similar: members that look like the source count more.
        relight: the light stays where it is while the head turns, and does not turn with it.
        seed: of all random draws.

    Raises:
        RuleError: a value is not allowed. It lists all of them.
    """

    light: str = AUTO
    yaw_deg: float | None = None
    light_filter: bool = True
    attributes: tuple[str, ...] = ()
    angles_deg: tuple[float, ...] = (-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0)
    way: str = AUTO
    size: int = 0
    with_proposals: bool = True
    min_percent: int = 0
    min_cluster: int = _CLUSTERS.minimum
    max_cluster: int = MAX_CLUSTER
    match_colours: bool = False
    similar: bool = False
    relight: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        refuse_problems(self._problems())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TurnChoices:
        """Return the choices of `as_dict`.

        Raises:
            RuleError: a name is unknown, or a value is not allowed.
        """
        given = known_fields(cls, "settings", values)
        for name in ("attributes", "angles_deg"):
            if name in given:
                given[name] = tuple(given[name])
        return cls(**given)

    def as_dict(self) -> dict[str, Any]:
        """Return the choices as JSON values."""
        values = asdict(self)
        return {**values, "attributes": [*self.attributes], "angles_deg": [*self.angles_deg]}

    def _problems(self) -> Iterator[Problem | None]:
        yield check_word("light", self.light, LIGHTS)
        if self.yaw_deg is not None:
            yield check_number("yaw_deg", self.yaw_deg, -MAX_SOURCE_YAW, MAX_SOURCE_YAW)
        for name in ("light_filter", "with_proposals", "match_colours", "similar", "relight"):
            yield check_yes_no(name, getattr(self, name))
        if len(self.attributes) > MAX_ATTRIBUTES_CHOSEN:
            needed = _("at most %(most)s attributes", most=MAX_ATTRIBUTES_CHOSEN)
            yield Problem(field="attributes", given=len(self.attributes), needed=needed)
        if not 1 <= len(self.angles_deg) <= MAX_FRAMES:
            needed = _("1 to %(most)s angles", most=MAX_FRAMES)
            yield Problem(field="angles_deg", given=len(self.angles_deg), needed=needed)
        yield check_word("way", self.way, WAYS)
        if self.size not in SIZES:
            yield Problem(field="size", given=self.size, allowed=tuple(map(str, SIZES)))
        most = MOST_FRAMES.get(self.size, MAX_FRAMES)
        if most < len(self.angles_deg) <= MAX_FRAMES:
            needed = _(
                "a smaller size, or at most %(most)s angles with frames of %(size)s pixels,",
                most=most,
                size=self.size,
            )
            yield Problem(field="size", given=self.size, needed=needed)
        yield check_whole("min_percent", self.min_percent, 0, 100)
        yield check_whole("min_cluster", self.min_cluster, 1, 1000)
        yield check_whole("max_cluster", self.max_cluster, 1, 1000)
        yield check_whole("seed", self.seed, 0, 2**31 - 1)


def read_angles(text: str) -> tuple[float, ...]:
    """Read angles such as `-30:30:10` (first:last:step) or `-20, 0, 15`, in degrees.

    Raises:
        InvalidInput: they cannot be read, or are too many or too large. The message says what is
            allowed.
    """
    try:
        found = tuple(Yaws().convert(text.replace("\u2212", "-").replace(" ", ""), None, None))
    except click.UsageError:
        raise InvalidInput(
            _(
                "%(text)r names no angles. Enter first:last:step, such as -30:30:10, or a list, "
                "such as -20, 0, 20. They must lie within 60 degrees and differ by 0.1.",
                text=text[:40],
            )
        ) from None
    if len(found) > MAX_FRAMES:
        raise InvalidInput(
            _(
                "%(given)s angles were given; at most %(most)s are allowed.",
                given=len(found),
                most=MAX_FRAMES,
            )
        )
    return found


def choices_of(settings: Mapping[str, Any]) -> TurnChoices:
    """Return the choices that a turn was stored with.

    Raises:
        InvalidInput: another version of the program has stored others.
    """
    try:
        return TurnChoices.from_dict(settings)
    except (RuleError, TypeError) as error:
        raise InvalidInput(
            _("The choices of this turn are not valid: %(problem)s", problem=error)
        ) from None
