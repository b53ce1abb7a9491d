"""labels.csv: its columns, writer and reader.

The labeler writes this file and the engine reads it; both use this module. docs/export.md describes
the format. The reader is strict: it refuses ambiguous files, and its messages name the line.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotation.data.csv_rows import CsvError, read_records
from rotation.data.labels import LABELS
from rotation.data.sources import safe_name
from rotation.errors import DatasetError
from rotation.reading import open_regular

PROBABILITY_COLUMNS = ("p_left", "p_center", "p_right")
LABEL_COLUMNS = (
    "image_id",
    "filename",
    "label",
    *PROBABILITY_COLUMNS,
    "votes_left",
    "votes_center",
    "votes_right",
    "votes_unsure",
    "status",
    "source",
    "method",
)
NO_LABEL = frozenset({"", "unsure", "boundary", "open", "contested", "none", "nan"})
"""Contents of the column `label`, in lower case, that mean that an image has no label."""
CHUNK = 2_000
"""Rows that a writer holds in memory."""

# Text that begins with a guard is guarded once more, so that removing one guard is exact.
# Spreadsheets take the fullwidth signs of East Asian keyboards for the plain ones.
_SIGNS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_FORMULA = re.compile(f"'*{_SIGNS}")
_GUARDED = re.compile(f"'+{_SIGNS}")


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row of labels.csv.

    Parameters:
        label: left, center or right; None if no label is decided.
        probabilities: of left, center and right, within [0, 1]; None if they are unknown.
        votes: the number of current votes for left, center, right and unsure.
        status: open, agreed or contested.
        source: votes or proposal.
        method: names the consensus rule that decided.
    """

    image_id: int
    filename: str
    label: str | None
    probabilities: Sequence[float] | None
    votes: Sequence[int]
    status: str
    source: str
    method: str

    def cells(self) -> tuple[object, ...]:
        """The cells in the order of `LABEL_COLUMNS`."""
        shares = ("", "", "")
        if self.probabilities is not None:
            left, center, right = self.probabilities
            shares = (f"{left:.6f}", f"{center:.6f}", f"{right:.6f}")
        name = guard_formula(self.filename)
        rest = (self.status, self.source, self.method)
        return (self.image_id, name, self.label or "", *shares, *self.votes, *rest)


def guard_formula(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguard_formula(cell: str) -> str:
    """Undo `guard_formula`. Any other apostrophe belongs to the text and stays."""
    return cell[1:] if _GUARDED.match(cell) else cell


def format_csv(rows: Iterable[Sequence[object]]) -> str:
    r"""Rows as CSV text with lines that end in `\n`."""
    # Python 3.11 quotes a carriage return only if the line terminator has one. Unquoted, readers
    # would take it for the end of the line.
    writer = csv.writer(_Echo(), lineterminator="\r\n")
    return "".join(writer.writerow(row)[:-2] + "\n" for row in rows)


def stream_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The header as CSV text, then `CHUNK` rows at a time."""
    yield format_csv([columns])
    batch: list[Sequence[object]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == CHUNK:
            yield format_csv(batch)
            batch = []
    if batch:
        yield format_csv(batch)


def stream_label_rows(rows: Iterable[LabelRow]) -> Iterator[str]:
    """The text of a labels.csv in chunks, the header first."""
    return stream_csv(LABEL_COLUMNS, (row.cells() for row in rows))


def read_labels(path: Path) -> dict[str, str]:
    """The label of each labelled image of a labels.csv by filename, in the order of the file.

    Only the columns `filename` and `label` are needed.

    Raises:
        DatasetError: the file cannot be read, a column is missing, a filename is repeated or
            leaves the data set, a label is unknown, or no row has a label. The message names the
            line.
    """
    labels = {row.filename: row.label for row in _read_label_rows(path) if row.label}
    if not labels:
        raise DatasetError(
            f"{path}: no row has one of the labels {', '.join(LABELS)} in the column 'label'; "
            "export labels after some voting."
        )
    return labels


def read_probabilities(path: Path) -> dict[str, float]:
    """The probability of each image's label by filename, for the rows that have both.

    It is the value of the column p_left, p_center or p_right that belongs to the label. A mirror
    swaps left and right in the label and in the columns, so the mirrored image has the same one.

    Raises:
        DatasetError: see `read_labels`, but a file without labels is allowed; or a value is not
            within [0, 1].
    """
    found: dict[str, float] = {}
    for row in _read_label_rows(path, PROBABILITY_COLUMNS):
        column = f"p_{row.label}"
        text = row.cells[column].strip() if row.label else ""
        if text:
            found[row.filename] = _probability(text, f"{row.where}, column {column!r}")
    return found


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """File and line of each row of a CSV file, and its cells by column.

    A byte order mark, blanks around the names in the header and further columns are allowed.

    Raises:
        DatasetError: the file cannot be read, is no CSV in UTF-8, lacks one of `columns`, or has
            a column without a name or two of one name; or a row has no cell for one of `columns`.
    """
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            for line, cells in read_records(file, columns):
                where = f"{path}, line {line}"
                yield where, _check_cells(cells, columns, where)
    except CsvError as fault:
        raise DatasetError(f"{path}, {fault}.") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None


def read_filename(cell: str, where: str) -> str:
    """The filename in a cell, without the guard against formulas.

    Raises:
        DatasetError: it is empty or leaves the data set; the message begins with `where`.
    """
    try:
        return safe_name(unguard_formula(cell))
    except DatasetError as error:
        raise DatasetError(f"{where}, column 'filename': {error}") from None


@dataclass(frozen=True, slots=True)
class _ReadRow:
    where: str
    filename: str
    label: str
    cells: dict[str, str]


class _Echo:
    """A file for `csv.writer`, which makes `writerow` return the line."""

    def write(self, line: str) -> str:
        return line


def _read_label_rows(path: Path, further: Sequence[str] = ()) -> Iterator[_ReadRow]:
    """The rows of a labels.csv; `label` is empty if there is none."""
    first: dict[str, str] = {}
    for where, cells in read_rows(path, ("filename", "label", *further)):
        name = read_filename(cells["filename"], where)
        if name in first:
            raise DatasetError(
                f"{where}, column 'filename': {name!r} stands in {first[name]} already; keep one "
                "row per image."
            )
        first[name] = where.removeprefix(f"{path}, ")
        yield _ReadRow(where, name, _label(cells["label"], where), cells)


def _label(cell: str, where: str) -> str:
    label = cell.strip().lower()
    if label in NO_LABEL:
        return ""
    if label not in LABELS:
        without = ", ".join(sorted(NO_LABEL - {""}))
        raise DatasetError(
            f"{where}, column 'label': unknown label {cell!r}; {', '.join(LABELS)} are allowed, "
            f"and for an image without a label nothing or one of {without}."
        )
    return label


def _check_cells(cells: dict[str, str], columns: Sequence[str], where: str) -> dict[str, str]:
    for name in columns:
        if name not in cells:
            raise DatasetError(f"{where}: the row is too short; it has no column {name!r}.")
    return {name: cells[name] for name in columns}


def _probability(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise DatasetError(f"{where}: {text!r} is no probability; 0 to 1 is allowed.")
    return value
