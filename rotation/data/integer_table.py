"""Rows of whole numbers by filename, as CelebA's text files have them.

Values are parted by blanks, as in CelebA's own files, or by a delimiter, as in the copies that
spreadsheets and pandas write. The text decides, whatever its file is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from rotation.data.csv_rows import (
    column_names,
    decimal_point,
    has_columns,
    nameless_value,
    refuse_doubles,
)
from rotation.data.csv_text import (
    DELIMITERS,
    CsvError,
    CsvRow,
    Fault,
    Faults,
    lines_of,
    parse_rows,
    shown,
)
from rotation.data.file_names import is_image_name
from rotation.data.formulas import unguard_formula

KEYS = ("filename", "image_id")
"""Names of the column with the filenames. Without one of them it is the first column."""

_INDEX = "unnamed: 0"  # pandas' name for an index that was written without one
_BETWEEN_CELLS = "\x1f"  # joins the cells of a row; no cell with a number has it
_LARGEST_FLOAT = 2**53  # beyond it, a float misses whole numbers

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class _Rows:
    """Rows as text. `numbers[i]` has the values of `filenames[i]` and was read from `lines[i]`.

    `between` separates the values in a text; None: blanks do.
    """

    between: str | None
    columns: tuple[str, ...] = ()
    filenames: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add(self, line: int, filename: str, numbers: str) -> None:
        self.filenames.append(unguard_formula(filename))
        self.numbers.append(numbers)
        self.lines.append(line)

    def cells(self, row: int) -> list[str]:
        """The values of a row as text."""
        numbers = self.numbers[row]
        return numbers.split(self.between) if numbers else []


def read_integers(
    text: str, columns: tuple[str, ...] | None, allowed: tuple[int, int]
) -> tuple[tuple[str, ...], tuple[str, ...], Integers]:
    """The N filenames, the names of the C columns, and the values (N, C).

    Rows that say the same about an image count once.

    Parameters:
        columns: the names of the columns; None: the header has them. Where a header has these
            names among others, the others are passed over.
        allowed: the least and the largest value.

    Raises:
        CsvError: the text is no table, or rows are wrong.
    """
    rows = (
        _split_delimited(text, columns or ())
        if _is_delimited(text)
        else _split_blanks(text, columns or ())
    )
    columns = rows.columns if columns is None else columns
    if not columns:
        raise CsvError([Fault(1, "a line with the names of the columns is needed")])
    values = _quickly(rows, len(columns))
    low, high = allowed
    if values is None or ((values < low) | (values > high)).any():
        _refuse(rows, columns, allowed)
        raise AssertionError("a table is wrong, but none of its rows")
    if len(set(rows.filenames)) < len(rows.filenames):
        _refuse(rows, columns, allowed)
        kept = list({name: row for row, name in enumerate(rows.filenames)}.values())
        return tuple(rows.filenames[row] for row in kept), columns, values[kept]
    return tuple(rows.filenames), columns, values


def _is_delimited(text: str) -> bool:
    """Whether a delimiter parts the values, going by the first line with a value.

    A name of CelebA's own files may contain a delimiter, and a cell of other files blanks.
    """
    line = next((one for one in lines_of(text) if one.strip(f"{DELIMITERS} \r\n")), "").strip()
    words = line.split()
    if len(words) > 1 and is_image_name(words[0]):
        return False
    return "sep=" in line.lower() or any(sign in line for sign in DELIMITERS)


def _split_delimited(text: str, needed: tuple[str, ...]) -> _Rows:
    """The rows of a file with delimiters. There may be no header."""
    found = parse_rows(text, lambda cells: len(cells) > 1 and any(map(_is_key, cells)))
    first = next(found, CsvRow(1, [""]))
    images = [place for place, cell in enumerate(first.cells) if is_image_name(cell.strip())]
    if images or _has_values(_without_empty_end(first.cells), needed):
        key = images[0] if images else 0
        return _collect(chain([first], found), _Rows(_BETWEEN_CELLS), key)
    names = column_names(first.cells)
    refuse_doubles(names, first.line)
    key, places = _places(names, needed)
    rows = _Rows(_BETWEEN_CELLS, tuple(names[place] for place in places))
    return _collect(found, rows, key, places, names)


def _collect(
    found: Iterator[CsvRow],
    rows: _Rows,
    key: int,
    places: Sequence[int] | None = None,
    names: Sequence[str] = (),
) -> _Rows:
    """Add the rows of a file with delimiters.

    Parameters:
        key: the place of the filename in a row.
        places: those of the values; None: all cells after the filename.
        names: of the columns; empty if there is no header.
    """
    faults = Faults()
    for row in _told(found, faults):
        filename = row.cells[key] if key < len(row.cells) else ""
        wrong = nameless_value(row.cells, names) if names else ""
        if not wrong and not filename.strip():
            wrong = "the filename is empty"
        if wrong:
            faults.add(Fault(row.line, wrong))
            continue
        if places is None:
            cells = _without_empty_end(row.cells)[key + 1 :]
        else:
            cells = [row.cells[place] for place in places if place < len(row.cells)]
        rows.add(row.line, filename, _BETWEEN_CELLS.join(cells))
    faults.refuse()
    return rows


def _split_blanks(text: str, needed: tuple[str, ...]) -> _Rows:
    """The rows of a file with blanks between its values."""
    numbered = enumerate(lines_of(text), start=1)
    lines = ((number, line) for number, line in numbered if line.strip())
    columns: tuple[str, ...] = ()
    pending: list[tuple[int, str]] = []
    for number, line in islice(lines, 2):
        cells = line.split()
        is_count = len(cells) == 1 and cells[0].isdigit()
        if cells and (is_image_name(cells[0]) or _has_values(cells, needed)):
            pending.append((number, line))
            break
        if cells and not is_count:
            columns = tuple(cells[1:] if cells[0] == "image_id" else cells)
            refuse_doubles(columns, number)
    rows = _Rows(None, columns)
    for number, line in chain(pending, lines):
        words = line.split(None, 1)
        rows.add(number, words[0], words[1] if len(words) > 1 else "")
    return rows


def _has_values(cells: Sequence[str], needed: tuple[str, ...]) -> bool:
    """Whether a first line is a row already: a name without suffix before the needed numbers."""
    if not needed or len(cells) != len(needed) + 1 or not cells[0].strip():
        return False
    return all(cell.strip().removeprefix("-").isdecimal() for cell in cells[1:])


def _is_key(cell: str) -> bool:
    return cell.strip().lower() in KEYS or is_image_name(cell.strip())


def _places(names: Sequence[str], needed: Sequence[str]) -> tuple[int, list[int]]:
    """The place of the filename in a row, and the places of the values."""
    small = [name.lower() for name in names]
    key = next((small.index(name) for name in KEYS if name in small), 0)
    if needed and has_columns(names, needed):
        return key, [small.index(name) for name in needed]
    is_index = key > 0 and small[0] in ("", _INDEX)
    return key, [
        place
        for place, name in enumerate(names)
        if place != key and name and not (place == 0 and is_index)
    ]


def _told(rows: Iterator[CsvRow], faults: Faults) -> Iterator[CsvRow]:
    """The rows; where the text cannot be read on, that is a fault too."""
    try:
        yield from rows
    except CsvError as error:
        faults.add(error.faults[0])


def _without_empty_end(cells: Sequence[str]) -> list[str]:
    count = len(cells)
    while count and not cells[count - 1].strip():
        count -= 1
    return list(cells[:count])


def _quickly(rows: _Rows, width: int) -> Integers | None:
    """All values (N, C) at once; None if rows must be looked at one by one."""
    count = len(rows.lines)
    if any(len(rows.cells(row)) != width for row in range(count)):
        return None
    cells = chain.from_iterable(map(rows.cells, range(count)))
    try:
        return np.fromiter(map(int, cells), np.int64).reshape(count, width)
    except (ValueError, OverflowError):
        pass
    cells = chain.from_iterable(map(rows.cells, range(count)))
    try:  # pandas writes -1.0 where a column lacked values once
        values = np.fromiter(map(float, map(decimal_point, cells)), np.float64)
    except ValueError:
        return None
    if not (np.abs(values) < _LARGEST_FLOAT).all() or (values != np.rint(values)).any():
        return None
    return values.astype(np.int64).reshape(count, width)


def _refuse(rows: _Rows, columns: Sequence[str], allowed: tuple[int, int]) -> None:
    """Raise `CsvError` if a row is wrong."""
    faults = Faults()
    first: dict[str, int] = {}
    for row, (line, name) in enumerate(zip(rows.lines, rows.filenames, strict=True)):
        before = first.setdefault(name, row)
        fault = _fault(rows.cells(row), columns, allowed)
        if not fault and rows.cells(before) != rows.cells(row):
            fault = Fault(0, f"{name} stands in line {rows.lines[before]} already")
        if fault:
            faults.add(Fault(line, fault.message, fault.column, fault.allowed))
    faults.refuse()


def _fault(cells: Sequence[str], columns: Sequence[str], allowed: tuple[int, int]) -> Fault | None:
    if len(cells) != len(columns):
        message = f"{len(columns)} values after the filename are needed, {len(cells)} found"
        return Fault(0, message)
    low, high = allowed
    for name, cell in zip(columns, cells, strict=True):
        try:
            value = float(decimal_point(cell))
        except ValueError:
            value = np.nan
        if not (abs(value) < _LARGEST_FLOAT and value == round(value)):
            return Fault(0, f"{shown(cell)} is not a whole number", name)
        if not low <= value <= high:
            return Fault(0, f"{int(value)} is out of range", name, f"{low} to {high} is allowed")
    return None
