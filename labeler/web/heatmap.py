"""Tables that are darker where a number is larger, for the page and for paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labeler.statistics.intervals import wilson
from labeler.web.formatting import NONE, percent, signed

LEVELS = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a heat map: its words and how dark it is, 0 to 5."""

    text: str
    level: int
    small: str = ""


@dataclass(frozen=True, slots=True)
class HeatRow:
    """A row of a heat map."""

    word: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Heat:
    """A table of shares, darker where they are larger."""

    title: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[HeatRow]


def heat(
    title: str, corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]]
) -> Heat:
    """Counts as shares of their row, with Wilson's interval under each."""
    made = []
    for word, counts in rows:
        n = sum(counts)
        made.append(HeatRow(f"{word} (n = {n:,})", [_cell(count, n) for count in counts]))
    return Heat(title, corner, columns, made)


def kappa_heat(title: str, words: Sequence[str], matrix: Sequence[Sequence[float | None]]) -> Heat:
    """Kappa of each two people; nothing where they share too few images."""
    rows = [
        HeatRow(word, [Cell(signed(each), level(each or 0.0)) for each in row])
        for word, row in zip(words, matrix, strict=True)
    ]
    return Heat(title, "", words, rows)


def level(value: float) -> int:
    """How dark a share is, 0 to 5."""
    return min(LEVELS - 1, max(0, int(value * LEVELS)))


def _cell(count: int, n: int) -> Cell:
    if n == 0:
        return Cell(NONE, 0)
    found = wilson(count, n)
    small = f"{100 * found.low:.0f} to {100 * found.high:.0f}"
    return Cell(percent(found.estimate), level(found.estimate), small)
