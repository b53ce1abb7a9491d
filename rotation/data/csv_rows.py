"""One reader for every table about images that people send, on the site and in the engine.

`read_keyed` reads a table with a column `filename`: labels, gold, poses, proposals and lists.
`csv_text` reads its encoding and dialect, and says what is allowed there.

- Names of columns are compared in small letters and without blanks around them. Two columns of one
  name are refused. A column without a name must be empty, apart from the first one: pandas writes
  its index there.
- A cell is read without blanks around it. `EMPTY` words, such as pandas' `nan`, are empty cells,
  but not in prose. A row that ends early has empty cells at its end.
- Filenames stay as they stand, without the apostrophe of `guard_formula`;
  `image_names.match_names` compares them with those of the images.
- Rows that say the same about an image count once.
- All wrong lines are told, up to twenty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rotation.data.csv_text import (
    CsvError,
    CsvRow,
    Fault,
    Faults,
    parse_rows,
    read_text_file,
    shown,
    shown_names,
)
from rotation.data.formulas import unguard_formula
from rotation.data.image_source import safe_name
from rotation.errors import DatasetError

T = TypeVar("T")
EMPTY = frozenset({"", "nan", "na", "n/a", "<na>", "null", "none"})
"""Words, in small letters, that pandas and other programs write for an empty cell."""

FILENAME = "filename"


class CellError(Exception):
    """A cell with a wrong value. See `Fault` for the parameters."""

    def __init__(self, column: str, message: str, allowed: str = "") -> None:
        super().__init__(message)
        self.column, self.message, self.allowed = column, message, allowed


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a row by the name of their column, in small letters."""

    by_column: Mapping[str, str]

    def text(self, column: str) -> str:
        """The cell without blanks around it; '' if it is missing or one of `EMPTY`."""
        cell = self.prose(column)
        return "" if cell.lower() in EMPTY else cell

    def prose(self, column: str) -> str:
        """The cell without blanks around it; '' if it is missing. Any word may be meant."""
        return self.by_column.get(column, "").strip()

    def number(self, column: str, low: float, high: float) -> float | None:
        """The number in a cell, with a decimal point or comma; None if the cell is empty.

        Raises:
            CellError: it is no number from `low` to `high`.
        """
        cell = self.text(column)
        if not cell:
            return None
        allowed = f"Numbers from {low:g} to {high:g} are allowed, and empty cells"
        try:
            value = float(decimal_point(cell))
        except ValueError:
            raise CellError(column, f"{shown(cell)} is no number", allowed) from None
        if not low <= value <= high:
            raise CellError(column, f"{shown(cell)} is out of range", allowed)
        return value


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """What a table says about an image, and the line that says it."""

    line: int
    value: T


def read_keyed(
    text: str,
    needed: Sequence[str],
    parse: Callable[[Cells], T],
    *,
    later_counts: bool = False,
    any_name: bool = False,
    nameless: re.Pattern[str] | None = None,
) -> dict[str, Entry[T]]:
    """What a table says about each image, by filename, in the order of the file.

    Parameters:
        text: the table, see `csv_text.read_text_file` and `csv_text.decode`.
        needed: columns that it must have besides `filename`.
        parse: makes the value of a row from its cells. It may raise `CellError`.
        later_counts: a later row about an image replaces an earlier one. By default rows that
            differ are refused.
        any_name: names are allowed that no data set can have, and stay as they are.
        nameless: cells that may stand beyond the header, because people join such files.

    Raises:
        CsvError: the file is no table, a column is missing, or rows are wrong.
    """
    found: dict[str, Entry[T]] = {}
    faults = Faults()
    for line, cells in _records(text, (FILENAME, *needed), faults, nameless):
        try:
            name = _filename(cells.by_column.get(FILENAME, ""), any_name)
            value = parse(cells)
        except CellError as error:
            faults.add(Fault(line, error.message, error.column, error.allowed))
            continue
        before = found.get(name)
        if before is None or later_counts:
            found[name] = Entry(line, value)
        elif before.value != value:
            message = f"{shown(name)} stands in line {before.line} already, with other values"
            faults.add(Fault(line, message, FILENAME, "Keep one row per image"))
    faults.refuse()
    return found


def read_keyed_file(
    path: Path,
    needed: Sequence[str],
    parse: Callable[[Cells], T],
    *,
    any_name: bool = False,
    nameless: re.Pattern[str] | None = None,
) -> dict[str, T]:
    """The values of `read_keyed` for the file at `path`.

    Raises:
        DatasetError: the file cannot be read, or `read_keyed` refuses it. The message names it.
    """
    text = read_text_file(path)
    try:
        found = read_keyed(text, needed, parse, any_name=any_name, nameless=nameless)
    except CsvError as error:
        raise error.about(path) from None
    return {name: entry.value for name, entry in found.items()}


def column_names(cells: Sequence[str]) -> list[str]:
    """The names of columns without blanks around them; '' for a column without a name."""
    return [cell.strip().strip("\ufeff").strip() for cell in cells]


def refuse_doubles(names: Sequence[str], line: int) -> None:
    """Raise `CsvError` if two columns have one name; the message says which."""
    first: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if name and first.setdefault(name, number) != number:
            message = (
                f"the columns {first[name]} and {number} are both called {shown(name)}; keep one "
                "of them"
            )
            raise CsvError([Fault(line, message)])


def nameless_value(
    cells: Sequence[str], names: Sequence[str], allowed: re.Pattern[str] | None = None
) -> str:
    """What is wrong with a row that has a value in a column without a name; '' if nothing is.

    The first column may have no name. Anywhere else nobody knows what the value means: most often
    a delimiter within an earlier cell lacks its quotes.
    """
    if len(cells) <= len(names) and "" not in names[1:]:  # as in most tables
        return ""
    for number, cell in enumerate(cells, start=1):
        named = number <= len(names) and names[number - 1]
        if not named and number > 1 and cell.strip():
            if allowed is not None and allowed.fullmatch(cell.strip()):
                continue
            return (
                f"{shown(cell)} stands in column {number}, which has no name in the header; quote "
                "cells that contain a delimiter, or name the column"
            )
    return ""


def decimal_point(cell: str) -> str:
    """A number with a decimal point; spreadsheets write a comma in many countries."""
    return cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell


def has_columns(cells: Sequence[str], needed: Sequence[str]) -> bool:
    """Whether a row is a header with the needed columns."""
    return {name.lower() for name in column_names(cells)}.issuperset(needed)


def _records(
    text: str, needed: Sequence[str], faults: Faults, nameless: re.Pattern[str] | None
) -> Iterator[tuple[int, Cells]]:
    """The line of each row below the header, and its cells. Wrong rows go to `faults`."""
    rows = parse_rows(text, lambda cells: has_columns(cells, needed))
    header = next(rows, CsvRow(1, []))
    names = [name.lower() for name in column_names(header.cells)]
    missing = [name for name in needed if name not in names]
    if missing:
        message = (
            f"the column {missing[0]!r} is missing; found: {shown_names(names)}. "
            f"Needed are {', '.join(needed)}"
        )
        raise CsvError([Fault(header.line, message)])
    refuse_doubles(names, header.line)
    while True:
        try:
            row = next(rows, None)
        except CsvError as error:  # what follows cannot be read
            faults.add(error.faults[0])
            return
        if row is None:
            return
        wrong = nameless_value(row.cells, names, nameless)
        if wrong:
            faults.add(Fault(row.line, wrong))
        else:
            yield row.line, Cells(dict(zip(names, row.cells, strict=False)))


def _filename(cell: str, any_name: bool) -> str:
    """The filename in a cell, without the guard against formulas.

    Raises:
        CellError: it is empty, or leaves the data set.
    """
    name = unguard_formula(cell)
    if not name.strip():
        raise CellError(FILENAME, "the filename is empty")
    try:
        return safe_name(name)
    except DatasetError as error:
        if any_name:
            return name
        raise CellError(FILENAME, str(error)) from None
