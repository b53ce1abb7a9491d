"""labels.csv: its columns, writer and reader.

The labeler writes this file and the engine reads it; both use this module. docs/export.md describes
the format, and `csv_rows` how tables are read.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotation.data.csv_rows import CellError, Cells, read_keyed_file
from rotation.data.csv_text import shown
from rotation.data.formulas import guard_formula
from rotation.data.image_names import match_keys
from rotation.data.labels import LABELS
from rotation.errors import DatasetError

PROBABILITY_COLUMNS = ("p_left", "p_center", "p_right")
AZIMUTH_COLUMN = "azimuth_deg"
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
NO_LABEL = frozenset({"unsure", "skip", "skipped", "boundary", "open", "contested"})
"""Words in the column `label`, in small letters, that mean that an image has no label."""
CHUNK = 2_000
"""Rows that a writer holds in memory."""


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


def read_labels(path: Path, known: Collection[str] | None = None) -> dict[str, str]:
    """The label of each labelled image of a labels.csv by filename, in the order of the file.

    Only the columns `filename` and `label` are needed.

    Parameters:
        known: the names of an image set, as a set. Names of the file become those of the image set
            (`image_names.match_names`); rows without a label count there too.

    Raises:
        DatasetError: the file cannot be read, a column is missing, a filename has two labels or
            leaves the data set, a label is unknown, or no row has a label. The message names the
            lines.
    """
    found = read_keyed_file(path, ("label",), parse_label)
    if known is not None:
        found = match_keys(found, known)
    labels = {name: label for name, label in found.items() if label}
    if not labels:
        raise DatasetError(
            f"{path}: no row has one of the labels {', '.join(LABELS)} in the column 'label'; "
            "export labels after some voting."
        )
    return labels


def read_probabilities(path: Path, known: Collection[str] | None = None) -> dict[str, float]:
    """The probability of each image's label by filename, for the rows that have both.

    It is the value of the column p_left, p_center or p_right that belongs to the label. A mirror
    swaps left and right in the label and in the columns, so the mirrored image has the same one.

    Parameters:
        known: see `read_labels`.

    Raises:
        DatasetError: see `read_labels`, but a file without labels is allowed; or a value is not
            within [0, 1].
    """
    found = read_keyed_file(path, ("label", *PROBABILITY_COLUMNS), _label_probability)
    if known is not None:
        found = match_keys(found, known)
    return {name: value for name, value in found.items() if value is not None}


def read_azimuths(path: Path, known: Collection[str] | None = None) -> dict[str, float]:
    """The azimuth of the light of each image by filename, for the rows that have one.

    Degrees: 0 is the camera, negative the viewer's left. The file is a proposals.csv, or any other
    with the columns `filename` and `azimuth_deg`.

    Parameters:
        known: see `read_labels`.

    Raises:
        DatasetError: the file cannot be read, a column is missing, no row has an azimuth, or one is
            not within -180 and 180. The message names the lines.
    """
    found = read_keyed_file(path, (AZIMUTH_COLUMN,), _azimuth)
    if known is not None:
        found = match_keys(found, known)
    azimuths = {name: value for name, value in found.items() if value is not None}
    if not azimuths:
        raise DatasetError(
            f"{path}: no row has a number in the column {AZIMUTH_COLUMN!r}. Give the proposals.csv "
            "of `classifier predict` about these images."
        )
    return azimuths


def parse_label(cells: Cells, column: str = "label") -> str:
    """The label in a cell; '' if the image has none.

    Raises:
        CellError: it is no label and none of `NO_LABEL`.
    """
    label = cells.text(column).lower()
    if label and label not in LABELS and label not in NO_LABEL:
        without = ", ".join(["nan", *sorted(NO_LABEL)])
        raise CellError(
            column,
            f"unknown label {shown(cells.text(column))}",
            f"{', '.join(LABELS)} are allowed, and for an image without a label nothing or one of "
            f"{without}",
        )
    return label if label in LABELS else ""


class _Echo:
    """A file for `csv.writer`, which makes `writerow` return the line."""

    def write(self, line: str) -> str:
        return line


def _azimuth(cells: Cells) -> float | None:
    return cells.number(AZIMUTH_COLUMN, -180, 180)


def _label_probability(cells: Cells) -> float | None:
    label = parse_label(cells)
    return cells.number(f"p_{label}", 0, 1) if label else None
