"""Read CSV files that people made: one reader for site and engine, with one set of rules.

Cells are read as the `csv` module reads them, quotes included. Each column has a name of its own.
Rows without any value are passed over, and so are columns at the end without name and values:
spreadsheets leave both where cells were cleared.
Filenames stay as they stand; `image_names.match_names` matches them with the image set.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


class CsvError(Exception):
    """Something in a CSV file that nobody can read: the line, counted from 1, and what is wrong."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A row. `line` is the file's line on which it ends; a row may lack cells at its end."""

    line: int
    cells: list[str]


def read_rows(lines: Iterable[str]) -> Iterator[CsvRow]:
    """The rows of a CSV file with their lines, the header among them.

    Parameters:
        lines: the text without a byte order mark, opened with `newline=""`.

    Raises:
        CsvError: the quotes do not fit, or a cell is too long.
    """
    reader = csv.reader(lines, strict=True)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield CsvRow(reader.line_num, cells)
    except csv.Error as error:
        raise CsvError(max(1, reader.line_num), f"it is not CSV ({error})") from None


def read_records(
    lines: Iterable[str], needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """The line of each row below the header, and its cells by column.

    A row that ends early lacks the columns at its end.

    Parameters:
        lines: see `read_rows`.
        needed: columns that the file must have.

    Raises:
        CsvError: see `read_rows`, `check_columns` and `cut_cells`, or a column is missing.
    """
    rows = read_rows(lines)
    header = next(rows, CsvRow(1, []))
    columns = check_columns(header.cells, header.line)
    missing = [name for name in needed if name not in columns]
    if missing:
        raise CsvError(
            header.line,
            f"the column {missing[0]!r} is missing; found: {', '.join(columns) or 'nothing'}. "
            f"Needed are {', '.join(needed)}",
        )
    for row in rows:
        yield row.line, dict(zip(columns, cut_cells(row, len(columns)), strict=False))


def check_columns(names: Sequence[str], line: int) -> tuple[str, ...]:
    """The names of columns without blanks around them, without empty names at the end.

    Raises:
        CsvError: a column has no name, or two have one name. The message names the columns.
    """
    columns = without_empty_end([name.strip() for name in names])
    first: dict[str, int] = {}
    for number, name in enumerate(columns, start=1):
        if not name:
            raise CsvError(
                line, f"column {number} of {len(columns)} has no name; name it or remove it"
            )
        if name in first:
            raise CsvError(
                line,
                f"the columns {first[name]} and {number} are both called {name!r}; keep one of "
                "them",
            )
        first[name] = number
    return tuple(columns)


def without_empty_end(cells: Sequence[str]) -> list[str]:
    """Cells without the empty ones at their end, which a trailing comma leaves."""
    count = len(cells)
    while count and not cells[count - 1].strip():
        count -= 1
    return list(cells[:count])


def cut_cells(row: CsvRow, width: int) -> list[str]:
    """The first `width` cells of a row.

    Raises:
        CsvError: a further cell has a value. Nobody knows what it means, and most often a comma
            within an earlier cell lacks its quotes.
    """
    for number, cell in enumerate(row.cells[width:], start=width + 1):
        if cell.strip():
            raise CsvError(
                row.line,
                f"{cell[:40]!r} stands in column {number}, which has no name in the header; quote "
                "cells with a comma, or name the column",
            )
    return row.cells[:width]
