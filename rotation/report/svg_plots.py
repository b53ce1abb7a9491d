"""Small plots as SVG text for an HTML page, whose stylesheet sets their colours.

The elements have the classes `axis`, `grid`, `ideal`, `mark`, `hollow`, `bar` and `noise`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 440.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 12.0, 44.0


@dataclass(frozen=True)
class Frame:
    """The coordinates of a plot: it maps data ranges to pixels."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        """Pixels from the left."""
        share = (value - self.low_x) / (self.high_x - self.low_x)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        share = (value - self.low_y) / (self.high_y - self.low_y)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def axes(self, label_x: str, label_y: str, ticks_x: Sequence[float]) -> list[str]:
        """The elements of grid, ticks and axis labels."""
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = []
        for tick in ticks(self.low_y, self.high_y):
            y = self.y(tick)
            parts.append(_line(LEFT, y, right, y, "grid"))
            parts.append(_text(LEFT - 6, y + 4, f"{tick:g}", "end"))
        for tick in ticks_x:
            parts.append(_line(self.x(tick), bottom, self.x(tick), bottom + 4, "axis"))
            parts.append(_text(self.x(tick), bottom + 18, f"{tick:+g}" if tick else "0", "middle"))
        parts.append(_line(LEFT, bottom, right, bottom, "axis"))
        parts.append(_text((LEFT + right) / 2, HEIGHT - 6, label_x, "middle"))
        middle = (TOP + bottom) / 2
        turn = f' transform="rotate(-90 13 {middle:.0f})"'
        parts.append(_text(13, middle, label_y, "middle", turn))
        return parts


def scatter(
    title: str,
    points: Sequence[tuple[float, float]],
    labels: tuple[str, str],
    hollow: Sequence[bool] = (),
) -> str:
    """A scatter plot over a dashed diagonal, where perfect results lie. Some points are hollow."""
    values = [value for point in points for value in point if math.isfinite(value)] or [0.0]
    across = [x for x, _ in points] or [0.0]
    frame = Frame(min(across) - 4, max(across) + 4, *_padded(min(values), max(values)))
    low, high = max(frame.low_x, frame.low_y), min(frame.high_x, frame.high_y)
    parts = frame.axes(*labels, ticks(frame.low_x, frame.high_x))
    parts.append(_line(frame.x(low), frame.y(low), frame.x(high), frame.y(high), "ideal"))
    flags = list(hollow) or [False] * len(points)
    for (x, y), empty in zip(points, flags, strict=True):
        if math.isfinite(y):
            kind = "hollow" if empty else "mark"
            parts.append(
                f'<circle class="{kind}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="5">'
                f"<title>{x:+.1f}: {y:+.1f}</title></circle>"
            )
    return _svg(title, parts)


def bars(
    title: str,
    places: Sequence[float],
    heights: Sequence[float],
    marks: Sequence[float],
    labels: tuple[str, str],
) -> str:
    """A bar plot with a line across each bar, at the height that noise alone would give."""
    known = [v for v in (*heights, *marks) if math.isfinite(v)] or [1.0]
    step = min((abs(b - a) for a, b in pairwise(places)), default=10.0)
    frame = Frame(min(places) - step, max(places) + step, 0.0, max(known) * 1.12 or 1.0)
    parts = frame.axes(*labels, places)
    half = (frame.x(step) - frame.x(0)) * 0.3
    for place, height, mark in zip(places, heights, marks, strict=True):
        x = frame.x(place)
        if math.isfinite(height):
            top = frame.y(height)
            parts.append(
                f'<rect class="bar" x="{x - half:.1f}" y="{top:.1f}" width="{2 * half:.1f}" '
                f'height="{frame.y(0) - top:.1f}"><title>{place:+g}: {height:.2f}</title></rect>'
            )
        if math.isfinite(mark):
            parts.append(_line(x - half - 4, frame.y(mark), x + half + 4, frame.y(mark), "noise"))
    return _svg(title, parts)


def ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers within a range."""
    rough = (high - low) / 6
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(step * k, 10) + 0.0 for k in range(first, last + 1)]


def _padded(low: float, high: float) -> tuple[float, float]:
    room = max(high - low, 1.0) * 0.08
    return low - room, high + room


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )
