"""The rose of directions: how many photographs have their light from where, seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from labeler.models.proposals import ModelRun
from labeler.web.formatting import plural
from labeler.web.plots import Table

RADIUS = 100.0
SIDE_FROM, BEHIND_FROM = 30, 90  # degrees, for the words of the table


@dataclass(frozen=True, slots=True)
class Petal:
    """One part of the circle. `path`: of an SVG on a square from -100 to 100."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Rose:
    """The rose of a model run. `summary` describes it for people who cannot see it."""

    run: int
    summary: str
    petals: Sequence[Petal]
    table: Table
    notes: Sequence[str]


def draw_rose(run: ModelRun) -> Rose | None:
    """Draw the rose of a run; None for a run of the earlier method, which knows no directions."""
    counts = run.metrics.get("directions")
    if not isinstance(counts, list) or not sum(counts):
        return None
    width, most = 360 / len(counts), max(counts)
    petals, rows = [], []
    for place, count in enumerate(counts):
        low = -180 + place * width
        word = f"{_degrees(low)} to {_degrees(low + width)}"
        rows.append((word, _word(low + width / 2), f"{count:,}"))
        # The area of a petal is its count, as the eye compares areas.
        reach = RADIUS * math.sqrt(count / most)
        petals.append(Petal(_wedge(low, low + width, reach), f"{word}: {count:,}"))
    return Rose(run.id, _summary(counts, width), petals, _table(rows), _notes(run))


def _wedge(low: float, high: float, reach: float) -> str:
    """A sector; the camera is at the bottom, the viewer's left on the left."""
    (x, y), (to_x, to_y) = (
        (reach * math.sin(math.radians(a)), reach * math.cos(math.radians(a))) for a in (low, high)
    )
    return f"M0 0L{x:.2f} {y:.2f}A{reach:.2f} {reach:.2f} 0 0 0 {to_x:.2f} {to_y:.2f}Z"


def _summary(counts: Sequence[int], width: float) -> str:
    total = sum(counts)
    middles = [-180 + (place + 0.5) * width for place in range(len(counts))]
    shares = {"the left": 0, "the front": 0, "the right": 0}
    for count, middle in zip(counts, middles, strict=True):
        side = "the left" if middle < 0 else "the right"
        shares["the front" if abs(middle) < SIDE_FROM else side] += count
    told = ", ".join(f"{100 * n / total:.0f} % from {word}" for word, n in shares.items())
    return f"{total:,} photographs: {told}."


def _table(rows: Sequence[tuple[str, str, str]]) -> Table:
    return Table(("Azimuth", "Light from", "Photographs"), rows)


def _word(azimuth: float) -> str:
    if abs(azimuth) < SIDE_FROM:
        return "the front"
    side = "left" if azimuth < 0 else "right"
    return f"behind, {side}" if abs(azimuth) > BEHIND_FROM else f"the {side}"


def _degrees(azimuth: float) -> str:
    return f"{azimuth:.0f}°".replace("-", "\u2212")


def _notes(run: ModelRun) -> Sequence[str]:
    """What was left out, in sentences."""
    notes = []
    if none := run.metrics.get("n_without_face", 0):
        notes.append(
            f"No face was found in {none:,} {plural(none, 'photograph')}. Their three "
            "probabilities are equal, so people are asked."
        )
    if several := run.metrics.get("n_several_faces", 0):
        notes.append(
            f"{several:,} {plural(several, 'photograph')} showed several faces. The one that is "
            "largest and nearest to the middle counts."
        )
    return notes
