"""CelebA's text files: attributes, identities, partitions and landmarks.

Two formats are read. The files as distributed have a line with the number of rows, a line with the
column names and rows such as `000001.jpg -1 1 …`. The CSV files of a well-known mirror start with
`image_id,5_o_Clock_Shadow,…`. Each file becomes a `Table` of integers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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


def find_tables(path: str | os.PathLike[str]) -> TableFiles:
    """Find the text files in the data set's folder, or beside its image folder or zip.

    CelebA's download has them in `Anno/` and `Eval/`, which are searched as well.
    """
    root = Path(os.path.expanduser(path))
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
        DatasetError: the names of the attributes are missing, a row has a wrong number of values,
            a value is not -1, 0 or 1, or a filename is repeated. The message names file and line.
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
    """Rows as text. `numbers[i]` has the values of `filenames[i]` and was read from `lines[i]`."""

    path: Path
    filenames: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def error(self, row: int, message: str) -> DatasetError:
        return DatasetError(f"{self.path}, line {self.lines[row]}: {message}")


def _parse(path: Path, columns: tuple[str, ...] | None, allowed: tuple[int, int]) -> Table:
    """Read a table of integers within `allowed`; `columns` None takes the names in the header."""
    lines = _read_lines(path)
    comma = path.suffix.lower() == ".csv"
    first, header = _read_header(lines, comma)
    columns = header if columns is None else columns
    if not columns:
        raise DatasetError(f"{path}, line 1: a line with the names of the columns is needed")
    rows = _split_rows(_Rows(path), lines, first, comma)
    _refuse_odd_rows(rows, len(columns))
    _refuse_duplicates(rows)
    values = _to_integers(rows).reshape(len(rows.lines), len(columns))
    _refuse_outside(rows, columns, values, allowed)
    return Table(path, tuple(rows.filenames), columns, values)


def _split_rows(rows: _Rows, lines: Sequence[str], first: int, comma: bool) -> _Rows:
    for number, line in enumerate(lines[first:], start=first + 1):
        name, _, rest = line.strip().partition("," if comma else " ")
        if name:
            rows.filenames.append(name.rstrip())
            rows.numbers.append(rest.replace(",", " ") if comma else rest)
            rows.lines.append(number)
    return rows


def _refuse_odd_rows(rows: _Rows, width: int) -> None:
    for row, numbers in enumerate(rows.numbers):
        found = len(numbers.split())
        if found != width:
            raise rows.error(row, f"{width} values after the filename are needed, {found} found")


def _read_lines(path: Path) -> list[str]:
    try:
        text = read_text(path, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not a text file in UTF-8 ({error})") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
    return text.replace("\t", " ").splitlines()


def _read_header(lines: Sequence[str], comma: bool) -> tuple[int, tuple[str, ...]]:
    """The number of lines before the first row, and the column names if there are any."""
    header: tuple[str, ...] = ()
    for number, line in enumerate(lines[:2]):
        cells = [cell.strip() for cell in line.split("," if comma else None)]
        if not cells or is_image_name(cells[0]):
            return number, header
        is_count = len(cells) == 1 and cells[0].isdigit()
        if not is_count:
            header = tuple(cells[1:] if comma or cells[0] == "image_id" else cells)
    return min(2 if not comma else 1, len(lines)), header


def _refuse_duplicates(rows: _Rows) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(rows.filenames):
        if first.setdefault(name, row) != row:
            raise rows.error(row, f"{name} stands in line {rows.lines[first[name]]} already")


def _to_integers(rows: _Rows) -> NDArray[np.int64]:
    """All values in one row. Only if one is no integer, the rows are searched one by one."""
    cells = chain.from_iterable(numbers.split() for numbers in rows.numbers)
    try:
        return np.fromiter(map(int, cells), dtype=np.int64)
    except (ValueError, OverflowError):
        row, wrong = next(_wrong_cells(rows))
        raise rows.error(row, f"{wrong!r} is not a whole number") from None


def _wrong_cells(rows: _Rows) -> Iterator[tuple[int, str]]:
    for row, numbers in enumerate(rows.numbers):
        for cell in numbers.split():
            if not cell.removeprefix("-").isdecimal() or len(cell) > 18:
                yield row, cell


def _refuse_outside(
    rows: _Rows, columns: Sequence[str], values: NDArray[np.int64], allowed: tuple[int, int]
) -> None:
    low, high = allowed
    for row, column in np.argwhere((values < low) | (values > high)):
        found = values[row, column]
        raise rows.error(row, f"{columns[column]} is {found}; {low} to {high} is allowed")
