"""CelebA's text files: attributes, identities, partitions and landmarks.

Two formats are read. The files as distributed have a line with the number of rows, a line with the
column names and rows such as `000001.jpg -1 1 …`. The CSV files of a well-known mirror start with
`image_id,5_o_Clock_Shadow,…`. Their first column holds the filenames, whatever it is called. Each
file becomes a `Table` of integers.
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotation.data.csv_rows import (
    CsvError,
    check_columns,
    cut_cells,
    match_names,
    read_rows,
    without_empty_end,
)
from rotation.data.sources import is_image_name, locate_images
from rotation.errors import DatasetError
from rotation.reading import read_text

LANDMARKS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
LANDMARK_COLUMNS = tuple(f"{landmark}_{axis}" for landmark in LANDMARKS for axis in "xy")
FILE_STEMS = {
    "attributes": "list_attr_celeba",
    "identities": "identity_CelebA",
    "partitions": "list_eval_partition",
    "landmarks": "list_landmarks_align_celeba",
}
_LARGEST = 2**31 - 1
_BETWEEN_CELLS = "\x1f"
"""Joins the cells of a CSV row; no cell with a number has it."""


@dataclass(frozen=True)
class Table:
    """A table of integers: `values[i, j]` is column `columns[j]` of image `filenames[i]`."""

    path: Path
    filenames: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.int64]

    @cached_property
    def index(self) -> dict[str, int]:
        """Row number by filename."""
        return {name: row for row, name in enumerate(self.filenames)}

    def __len__(self) -> int:
        return len(self.filenames)

    def match_names(self, known: Collection[str]) -> Table:
        """The table with the filenames of the image set (`csv_rows.match_names`)."""
        return replace(self, filenames=tuple(match_names(self.filenames, known)))


@dataclass(frozen=True)
class TableFiles:
    """Paths of the text files; None for a file that does not exist."""

    attributes: Path | None = None
    identities: Path | None = None
    partitions: Path | None = None
    landmarks: Path | None = None


@dataclass(frozen=True)
class Tables:
    """The tables of a data set; None for a file that does not exist."""

    attributes: Table | None = None
    identities: Table | None = None
    partitions: Table | None = None
    landmarks: Table | None = None

    def match_names(self, known: Collection[str]) -> Tables:
        """The tables with the filenames of the image set (`csv_rows.match_names`)."""
        return Tables(
            *(
                table and table.match_names(known)
                for table in (self.attributes, self.identities, self.partitions, self.landmarks)
            )
        )


def find_tables(path: str | os.PathLike[str]) -> TableFiles:
    """Find the text files in the data set's folder, or beside its image folder or zip.

    CelebA's download has them in `Anno/` and `Eval/`, which are searched as well.
    """
    root = Path(path)
    images = locate_images(root)
    bases = dict.fromkeys([root, images, images.parent, images.parent.parent])
    folders = [place for base in bases for place in (base, base / "Anno", base / "Eval")]
    return TableFiles(**{kind: _find(stem, folders) for kind, stem in FILE_STEMS.items()})


def read_tables(path: str | os.PathLike[str]) -> Tables:
    """Find and parse all text files of a data set.

    Raises:
        DatasetError: a file is malformed; the message names file and line.
    """
    files = find_tables(path)
    return Tables(
        attributes=parse_attributes(files.attributes) if files.attributes else None,
        identities=parse_identities(files.identities) if files.identities else None,
        partitions=parse_partitions(files.partitions) if files.partitions else None,
        landmarks=parse_landmarks(files.landmarks) if files.landmarks else None,
    )


def parse_attributes(path: Path) -> Table:
    """`list_attr_celeba`: a column for each attribute, 1 = present, 0 = absent (-1 in the file).

    Raises:
        DatasetError: the names of the attributes are missing, an attribute has no name, two have
            one name, a row has a wrong number of values, a value is not -1, 0 or 1, or a filename
            is repeated. The message names file and line.
    """
    table = _parse(path, None, (-1, 1))
    return replace(table, values=(table.values > 0).astype(np.int64))


def parse_identities(path: Path) -> Table:
    """`identity_CelebA`: one column, the number of the person (>= 0)."""
    return _parse(path, ("identity",), (0, _LARGEST))


def parse_partitions(path: Path) -> Table:
    """`list_eval_partition`: one column, 0 = train, 1 = validation, 2 = test."""
    return _parse(path, ("partition",), (0, 2))


def parse_landmarks(path: Path) -> Table:
    """`list_landmarks_align_celeba`: ten columns, x and y of eyes, nose and mouth in pixels.

    `lefteye` is the eye at the left of the image.
    """
    return _parse(path, LANDMARK_COLUMNS, (-_LARGEST, _LARGEST))


def _find(stem: str, folders: Iterable[Path]) -> Path | None:
    candidates = (folder / f"{stem}{suffix}" for folder in folders for suffix in (".txt", ".csv"))
    # A pipe in place of a file is found too, so that it is refused rather than overlooked.
    return next((path for path in candidates if path.exists() and not path.is_dir()), None)


@dataclass(frozen=True)
class _Rows:
    """Rows as text. `numbers[i]` has the values of `filenames[i]` and was read from `lines[i]`.

    `between` separates the values in a text; None: blanks do.
    """

    path: Path
    between: str | None
    filenames: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def error(self, row: int, message: str) -> DatasetError:
        return DatasetError(f"{self.path}, line {self.lines[row]}: {message}")

    def add(self, line: int, filename: str, numbers: str) -> None:
        self.filenames.append(filename)
        self.numbers.append(numbers)
        self.lines.append(line)

    def cells(self, row: int) -> list[str]:
        """The values of a row as text."""
        numbers = self.numbers[row]
        return numbers.split(self.between) if numbers else []


def _parse(path: Path, columns: tuple[str, ...] | None, allowed: tuple[int, int]) -> Table:
    """Read a table of integers within `allowed`; `columns` None takes the names in the header."""
    split = _split_csv if path.suffix.lower() == ".csv" else _split_text
    try:
        header, rows = split(path, _read_text(path))
    except CsvError as fault:
        raise DatasetError(f"{path}, {fault}") from None
    columns = header if columns is None else columns
    if not columns:
        raise DatasetError(f"{path}, line 1: a line with the names of the columns is needed")
    _refuse_odd_rows(rows, len(columns))
    _refuse_duplicates(rows)
    values = _to_integers(rows).reshape(len(rows.lines), len(columns))
    _refuse_outside(rows, columns, values, allowed)
    return Table(path, tuple(rows.filenames), columns, values)


def _split_csv(path: Path, text: str) -> tuple[tuple[str, ...], _Rows]:
    """The names of the columns after the first one, and the rows. There may be no header."""
    rows = _Rows(path, _BETWEEN_CELLS)
    header: tuple[str, ...] = ()
    for place, row in enumerate(read_rows(io.StringIO(text, newline=""))):
        if place == 0 and not is_image_name(row.cells[0].strip()):
            header = check_columns(row.cells, row.line)[1:]
        elif not row.cells[0].strip():
            raise CsvError(row.line, "the filename is empty")
        else:
            cells = cut_cells(row, len(header) + 1) if header else without_empty_end(row.cells)
            rows.add(row.line, cells[0], _BETWEEN_CELLS.join(cells[1:]))
    return header, rows


def _split_text(path: Path, text: str) -> tuple[tuple[str, ...], _Rows]:
    """The names of the columns and the rows of a file with blanks between its values."""
    rows = _Rows(path, None)
    lines = text.replace("\t", " ").splitlines()
    first, header = _read_header(lines)
    for number, line in enumerate(lines[first:], start=first + 1):
        name, _, rest = line.strip().partition(" ")
        if name:
            rows.add(number, name, rest)
    return header, rows


def _refuse_odd_rows(rows: _Rows, width: int) -> None:
    for row in range(len(rows.lines)):
        found = len(rows.cells(row))
        if found != width:
            raise rows.error(row, f"{width} values after the filename are needed, {found} found")


def _read_text(path: Path) -> str:
    try:
        return read_text(path, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not a text file in UTF-8 ({error})") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None


def _read_header(lines: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """The number of lines before the first row, and the column names if there are any."""
    header: tuple[str, ...] = ()
    for number, line in enumerate(lines[:2]):
        cells = line.split()
        if not cells or is_image_name(cells[0]):
            return number, header
        is_count = len(cells) == 1 and cells[0].isdigit()
        if not is_count:
            header = check_columns(cells[1:] if cells[0] == "image_id" else cells, number + 1)
    return min(2, len(lines)), header


def _refuse_duplicates(rows: _Rows) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(rows.filenames):
        if first.setdefault(name, row) != row:
            raise rows.error(row, f"{name} stands in line {rows.lines[first[name]]} already")


def _to_integers(rows: _Rows) -> NDArray[np.int64]:
    """All values in one row. Only if one is no integer, the rows are searched one by one."""
    cells = chain.from_iterable(map(rows.cells, range(len(rows.lines))))
    try:
        return np.fromiter(map(int, cells), dtype=np.int64)
    except (ValueError, OverflowError):
        row, wrong = next(_wrong_cells(rows))
        raise rows.error(row, f"{wrong!r} is not a whole number") from None


def _wrong_cells(rows: _Rows) -> Iterator[tuple[int, str]]:
    for row in range(len(rows.lines)):
        for cell in rows.cells(row):
            digits = cell.strip().removeprefix("-")
            if not digits.isdecimal() or len(digits) > 17:
                yield row, cell


def _refuse_outside(
    rows: _Rows, columns: Sequence[str], values: NDArray[np.int64], allowed: tuple[int, int]
) -> None:
    low, high = allowed
    for row, column in np.argwhere((values < low) | (values > high)):
        found = values[row, column]
        raise rows.error(row, f"{columns[column]} is {found}; {low} to {high} is allowed")
