"""Geometry of the plots that the server draws as SVG; `templates/admin/plots.html` writes them.

A plot fills the width it is given and keeps its height, and its letters keep their size on a
phone: places along x are percent of the plot's area, places along y are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

HEIGHT = 180.0  # of the area between the axes, in pixels
_STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and its words."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a bar plot. `x`, `width` in percent; `y`, `height` in pixels."""

    x: float
    width: float
    y: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A measured point with its words."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Series:
    """What a line is drawn from: points of x, share from 0 to 1, and words."""

    name: str
    points: Sequence[tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """A series: `path` is for a `polyline` whose both axes go from 0 to 100."""

    name: str
    path: str
    dots: Sequence[Dot]


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers of a plot, for those who would rather read them."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Plot:
    """Columns or lines over two axes. `summary` says in words what is to be seen."""

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
) -> Plot:
    """A column for each count, all of one width.

    Parameters:
        titles: of the plot, and of the axis along x.
        words: what each column stands for, in the table and where a mouse rests on it.
        ticks: number of the column at whose left edge a tick stands, and its words.
        head: the headings of the table.
    """
    values = _whole_values(max([*counts, 1]))
    top, width = values[-1], 100 / max(len(counts), 1)
    columns = []
    for place, (count, word) in enumerate(zip(counts, words, strict=True)):
        high = HEIGHT * count / top
        text = f"{word}: {count:,}"
        columns.append(Column(place * width, 0.8 * width, HEIGHT - high, high, text))
    rows = [(word, f"{count:,}") for count, word in zip(counts, words, strict=True)]
    return Plot(
        *titles,
        summary,
        [Tick(place * width, text) for place, text in ticks],
        [Tick(HEIGHT - HEIGHT * value / top, f"{value:,}") for value in values],
        Table(head, rows),
        columns=columns,
    )


def draw_shares(
    titles: tuple[str, str], summary: str, series: Sequence[Series], table: Table
) -> Plot:
    """Lines of shares, written in percent, over whole numbers from 0.

    Raises:
        ValueError: no point at all.
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
        [Tick(100 * value / along[-1], f"{value:,}") for value in along],
        [Tick(_height(share, low / 10), f"{100 * share:.0f} %") for share in up],
        table,
        lines=[_line(each, along[-1], low / 10) for each in series],
    )


def nice_step(span: float, most: int = 4) -> float:
    """The smallest of 1, 2, 5 times a power of ten of which at most `most` make the span.

    Raises:
        ValueError: a span that is not positive.
    """
    if not span > 0:
        raise ValueError(f"a span of {span} cannot be divided")
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(step * power for step in _STEPS if most * step * power >= span * (1 - 1e-9))


def _whole_values(high: int) -> list[int]:
    """0 and the nice whole numbers up to the first that is not below `high`."""
    step = max(1, round(nice_step(max(high, 1))))
    return list(range(0, high + step, step)) if high % step else list(range(0, high + 1, step))


def _line(series: Series, right: float, low: float) -> Line:
    dots = [Dot(100 * x / right, _height(share, low), text) for x, share, text in series.points]
    path = " ".join(f"{dot.x:.2f},{100 * dot.y / HEIGHT:.2f}" for dot in dots)
    return Line(series.name, path, dots)


def _height(share: float, low: float) -> float:
    return HEIGHT * (1 - share) / (1 - low)
