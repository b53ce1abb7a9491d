"""The rose of directions: how many photographs have their light from where, seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext, pgettext
from labeler.models.proposals import ModelRun
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
        word = _("%(low)s to %(high)s", low=_degrees(low), high=_degrees(low + width))
        rows.append((word, _word(low + width / 2), write_number(count)))
        # The area of a petal is its count, as the eye compares areas.
        reach = RADIUS * math.sqrt(count / most)
        petals.append(Petal(_wedge(low, low + width, reach), f"{word}: {write_number(count)}"))
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
    shares = {"left": 0, "front": 0, "right": 0}
    for count, middle in zip(counts, middles, strict=True):
        side = "left" if middle < 0 else "right"
        shares["front" if abs(middle) < SIDE_FROM else side] += count
    percent = {word: write_number(100 * n / total) for word, n in shares.items()}
    return ngettext(
        "%(num)s photograph: %(left)s %% from the left, %(front)s %% from the front, "
        "%(right)s %% from the right.",
        "%(num)s photographs: %(left)s %% from the left, %(front)s %% from the front, "
        "%(right)s %% from the right.",
        total,
        **percent,
    )


def _table(rows: Sequence[tuple[str, str, str]]) -> Table:
    return Table((_("Azimuth"), _("Light from"), _("Photographs")), rows)


def _word(azimuth: float) -> str:
    if abs(azimuth) < SIDE_FROM:
        return pgettext("light from", "the front")
    behind = abs(azimuth) > BEHIND_FROM
    if azimuth < 0:
        return (
            pgettext("light from", "behind, left") if behind else pgettext("light from", "the left")
        )
    return (
        pgettext("light from", "behind, right") if behind else pgettext("light from", "the right")
    )


def _degrees(azimuth: float) -> str:
    return f"{azimuth:.0f}°".replace("-", "\u2212")


def _notes(run: ModelRun) -> Sequence[str]:
    """What was left out, in sentences."""
    notes = []
    if none := run.metrics.get("n_without_face", 0):
        notes.append(
            ngettext(
                "No face was found in %(num)s photograph. Its three probabilities are equal, so "
                "people are asked.",
                "No face was found in %(num)s photographs. Their three probabilities are equal, "
                "so people are asked.",
                none,
            )
        )
    if several := run.metrics.get("n_several_faces", 0):
        notes.append(
            ngettext(
                "%(num)s photograph showed several faces. The one that is largest and nearest to "
                "the middle counts.",
                "%(num)s photographs showed several faces. The one that is largest and nearest to "
                "the middle counts.",
                several,
            )
        )
    return notes
