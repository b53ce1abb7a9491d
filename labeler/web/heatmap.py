"""Heat maps: tables whose cells are darker for larger numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labeler.languages.numbers import write_number
from labeler.statistics.intervals import wilson
from labeler.web.formatting import UNKNOWN, answer_word, format_decimal, format_share
from labeler.web.person_name import PersonName

LEVELS = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, how dark it is (0 to 5), and a second line in small letters."""

    text: str
    level: int
    small: str = ""


@dataclass(frozen=True, slots=True)
class HeatMapRow:
    """A row, and its heading. `address`: where the heading leads, "" for nowhere."""

    word: str
    cells: Sequence[Cell]
    address: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A heat map. `corner` is the heading of the column of headings."""

    title: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[HeatMapRow]


def share_heat_map(
    title: str, corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]]
) -> HeatMap:
    """Make a heat map of counts, as shares of their row with Wilson's intervals.

    Parameters:
        columns: the answers that head the columns.
        rows: the label and the counts of each row, one count a column.
    """
    made = []
    for word, counts in rows:
        n = sum(counts)
        made.append(HeatMapRow(_row_word(word, n), [_cell(count, n) for count in counts]))
    return HeatMap(title, corner, [answer_word(each) for each in columns], made)


def kappa_heat_map(
    title: str, people: Sequence[PersonName], matrix: Sequence[Sequence[float | None]]
) -> HeatMap:
    """Make a heat map of the kappa of each pair of people. None: too few common images."""
    rows = [
        HeatMapRow(
            one.text, [Cell(format_decimal(each), level(each or 0.0)) for each in row], one.address
        )
        for one, row in zip(people, matrix, strict=True)
    ]
    return HeatMap(title, "", [one.text for one in people], rows)


def level(value: float) -> int:
    """Return how dark a share is, 0 to 5."""
    return min(LEVELS - 1, max(0, int(value * LEVELS)))


def _cell(count: int, n: int) -> Cell:
    if n == 0:
        return Cell(UNKNOWN, 0)
    found = wilson(count, n)
    share = format_share((found.estimate, found.low, found.high))
    return Cell(share.value, level(found.estimate), share.interval) if share else Cell(UNKNOWN, 0)


def _row_word(label: str, n: int) -> str:
    return f"{answer_word(label)} (n = {write_number(n)})"
