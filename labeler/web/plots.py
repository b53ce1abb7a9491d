"""Geometry of plots; `templates/layout/plots.html` writes them as SVG.

A plot fills the width of the page and keeps its height and the size of its letters. So positions
along x are percent of the plot's area, and positions along y are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from labeler.languages.numbers import write_number

HEIGHT = 180.0  # of the area between the axes, in pixels
_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Tick:
    """A position on an axis, and its label. `time`: the moment that the label stands for."""

    at: float
    text: str
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a bar plot. `x`, `width` in percent; `y`, `height` in pixels.

    `word`: the beginning of `text`, for the moment `time`.
    """

    x: float
    width: float
    y: float
    height: float
    text: str
    word: str = ""
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dot:
    """A measured point, and its text."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Series:
    """The data of a line: points of x, a share from 0 to 1, and a text."""

    name: str
    points: Sequence[tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot. `path`: the points of an SVG polyline on a square from 0 to 100."""

    name: str
    path: str
    dots: Sequence[Dot]


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers of a plot, as a table. `times`: the moments of its first column, if any."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    times: Sequence[datetime] = ()


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of columns or of lines. `summary` describes it for people who cannot see it."""

    title: str
    x_title: str
    summary: str
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    table: Table
    columns: Sequence[Column] = ()
    lines: Sequence[Line] = ()
    height: float = HEIGHT


def draw_columns(
    titles: tuple[str, str],
    summary: str,
    counts: Sequence[int],
    words: Sequence[str],
    ticks: Sequence[tuple[int, str]],
    head: tuple[str, str],
    times: Sequence[datetime] = (),
) -> Plot:
    """Draw a column for each count, all of the same width.

    Parameters:
        titles: of the plot, and of the x axis.
        summary: describes the plot.
        counts: the heights.
        words: what each column stands for.
        ticks: the column at whose left edge a tick is, and the label of the tick.
        head: the headings of the table.
        times: the moments that `words` and the labels of ticks stand for. The browser shows them
            in its own time zone.
    """
    values = _whole_values(max([*counts, 1]))
    top, width = values[-1], 100 / max(len(counts), 1)
    columns = []
    for place, (count, word) in enumerate(zip(counts, words, strict=True)):
        high = HEIGHT * count / top
        text = f"{word}: {write_number(count)}"
        at = times[place] if times else None
        columns.append(Column(place * width, 0.8 * width, HEIGHT - high, high, text, word, at))
    rows = [(word, write_number(count)) for count, word in zip(counts, words, strict=True)]
    return Plot(
        *titles,
        summary,
        [Tick(place * width, text, times[place] if times else None) for place, text in ticks],
        [Tick(HEIGHT - HEIGHT * value / top, write_number(value)) for value in values],
        Table(head, rows, times),
        columns=columns,
    )


def draw_shares(
    titles: tuple[str, str], summary: str, series: Sequence[Series], table: Table
) -> Plot:
    """Draw lines of shares over whole numbers from 0.

    Parameters:
        titles: of the plot, and of the x axis.
        summary: describes the plot.
        series: the lines.
        table: the numbers of the plot.

    Raises:
        ValueError: no series has a point.
    """
    points = [point for each in series for point in each.points]
    if not points:
        raise ValueError("a plot needs a point")
    along = _whole_values(max(round(x) for x, _, _ in points))
    low = min(math.floor(10 * min(share for _, share, _ in points)), 9)
    step = 1 if low > 5 else 2
    low -= low % step
    up = [tenth / 10 for tenth in range(low, 11, step)]
    return Plot(
        *titles,
        summary,
        [Tick(100 * value / along[-1], write_number(value)) for value in along],
        [Tick(_height(share, low / 10), f"{100 * share:.0f} %") for share in up],
        table,
        lines=[_line(each, along[-1], low / 10) for each in series],
    )


def nice_step(span: float, most: int = 4) -> float:
    """Return the smallest step of 1, 2 or 5 times a power of ten that makes few parts of a span.

    Parameters:
        span: the length of an axis.
        most: the largest number of steps allowed.

    Raises:
        ValueError: the span is not positive.
    """
    if not span > 0:
        raise ValueError(f"a span of {span} cannot be divided")
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(step * power for step in _STEPS if most * step * power >= span * (1 - 1e-9))


def _whole_values(high: int) -> list[int]:
    """Return the ticks from 0 up to the first one that is not below `high`."""
    step = max(1, round(nice_step(max(high, 1))))
    return list(range(0, high + step, step)) if high % step else list(range(0, high + 1, step))


def _line(series: Series, right: float, low: float) -> Line:
    dots = [Dot(100 * x / right, _height(share, low), text) for x, share, text in series.points]
    path = " ".join(f"{dot.x:.2f},{100 * dot.y / HEIGHT:.2f}" for dot in dots)
    return Line(series.name, path, dots)


def _height(share: float, low: float) -> float:
    return HEIGHT * (1 - share) / (1 - low)
