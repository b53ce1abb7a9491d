"""Labels joined with attributes and identities: what is known of each image.

The exported `labels.csv` is the only bridge from the labeler, so it is read here strictly: a file
that means something else than it seems to is refused with the number of the line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rotation.dataset.celeba import Table, Tables
from rotation.dataset.sources import safe_name
from rotation.errors import DatasetError

LABELS = ("left", "center", "right")
MIRRORED_LABEL = {"left": "right", "center": "center", "right": "left"}
REQUIRED_COLUMNS = ("filename", "label")
PROBABILITY_COLUMNS = tuple(f"p_{label}" for label in LABELS)
UNKNOWN = -1
"""An attribute or identity that no file tells."""
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r\n]")


@dataclass(frozen=True)
class Records:
    """N labelled images in the order of the file.

    `labels` (N,) holds left, center or right; `identities` (N,) the person's number and
    `attributes` (N, A) 1 or 0 for `attribute_names`, each `UNKNOWN` where no file tells.
    `probability` (N,) is that of the label, NaN where the file has none; None: it was not read.
    """

    filenames: tuple[str, ...]
    labels: NDArray[np.str_]
    identities: NDArray[np.int64]
    attribute_names: tuple[str, ...]
    attributes: NDArray[np.int64]
    probability: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.filenames)

    def take(self, rows: NDArray[np.int64]) -> Records:
        """The records of some rows."""
        return Records(
            filenames=tuple(self.filenames[row] for row in rows.tolist()),
            labels=self.labels[rows],
            identities=self.identities[rows],
            attribute_names=self.attribute_names,
            attributes=self.attributes[rows],
            probability=None if self.probability is None else self.probability[rows],
        )

    def attribute(self, name: str) -> NDArray[np.int64]:
        """The column (N,) of one attribute; raises `DatasetError` for a name there is not."""
        if name not in self.attribute_names:
            known = (
                ", ".join(self.attribute_names) or "none (no list_attr_celeba beside the images)"
            )
            raise DatasetError(f"There is no attribute {name!r}; known: {known}.")
        return self.attributes[:, self.attribute_names.index(name)]


def read_labels(path: Path) -> dict[str, str]:
    """Filename -> label of the rows of `labels.csv` that have one.

    Only `filename` and `label` are needed; rows without a label are passed over. The apostrophe
    that the export puts before a name a spreadsheet would take for a formula is taken off.

    Raises `DatasetError` with the line for a missing column, a filename that stands twice, an
    unknown label or a name that leaves the data set.
    """
    labels: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, (cell, label) in _rows(path, REQUIRED_COLUMNS):
        where = f"{path}, line {line}"
        name = _checked(cell, where)
        if name in lines:
            raise DatasetError(
                f"{where}: {name!r} stands in line {lines[name]} already; keep one row per image."
            )
        lines[name] = line
        if label and label not in LABELS:
            raise DatasetError(
                f"{where}: unknown label {label!r}; {', '.join(LABELS)} or nothing is allowed."
            )
        if label:
            labels[name] = label
    if not labels:
        raise DatasetError(f"{path}: no row has a label; export labels after some voting.")
    return labels


def read_probabilities(path: Path) -> dict[str, float]:
    """Filename -> probability of its own label, of the rows of `labels.csv` that have both.

    Of the columns p_left, p_center and p_right the label's counts; as a mirror swaps left and
    right in the label and in the columns alike, it is the mirrored image's probability too.

    Raises `DatasetError` where a column is missing, or with the line where a value is no number
    within [0, 1].
    """
    found: dict[str, float] = {}
    for line, (cell, label, *cells) in _rows(path, (*REQUIRED_COLUMNS, *PROBABILITY_COLUMNS)):
        where = f"{path}, line {line}"
        text = cells[LABELS.index(label)] if label in LABELS else ""
        if text:
            found[_checked(cell, where)] = _share(text, where)
    return found


def join_records(
    labels: dict[str, str], images: Collection[str], tables: Tables,
    probabilities: Mapping[str, float] | None = None,
) -> Records:  # fmt: skip
    """Put labels, attributes, identities and the labels' probabilities together.

    Raises `DatasetError` naming the first labelled images that are not in the image set: most
    often the wrong folder was given.
    """
    present = set(images)
    foreign = [name for name in labels if name not in present]
    if foreign:
        some = ", ".join(repr(name) for name in foreign[:3])
        raise DatasetError(
            f"{len(foreign)} of {len(labels)} labelled images are not in the image set "
            f"({some}{', ...' if len(foreign) > 3 else ''}); "
            "--images and --labels must belong to one data set."
        )
    names = tuple(labels)
    return Records(
        filenames=names,
        labels=np.array([labels[name] for name in names]),
        identities=_lookup(tables.identities, names)[:, 0],
        attribute_names=tables.attributes.columns if tables.attributes else (),
        attributes=_lookup(tables.attributes, names),
        probability=_values(probabilities, names),
    )


def source_record(filename: str, label: str, tables: Tables) -> Records:
    """A record of one image alone, for a source that needs not stand in the labels."""
    return join_records({filename: label}, {filename}, tables)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Line number and the cells of these columns of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames, columns)
            for row in reader:
                cells = [row[name] for name in columns]
                if None in cells:
                    raise DatasetError(f"{path}, line {reader.line_num}: the row is too short.")
                yield reader.line_num, [_plain(cell.strip()) for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None


def _check_header(path: Path, found: object, columns: tuple[str, ...]) -> None:
    present = [str(name) for name in found] if isinstance(found, list) else []
    missing = [name for name in columns if name not in present]
    if missing:
        raise DatasetError(
            f"{path}, line 1: the column {missing[0]!r} is missing; found: "
            f"{', '.join(present) or 'nothing'}. Write the file with `manage.py export labels`."
        )


def _plain(cell: str) -> str:
    """Undo the apostrophe that neutralises formulas (docs/export.md); other apostrophes stay."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def _checked(name: str, where: str) -> str:
    try:
        return safe_name(name)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None


def _share(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not 0 <= value <= 1:
        raise DatasetError(f"{where}: {text!r} is no probability; 0 to 1 is allowed.")
    return value


def _values(
    probabilities: Mapping[str, float] | None, names: tuple[str, ...]
) -> NDArray[np.float64] | None:
    if probabilities is None:
        return None
    return np.array([probabilities.get(name, np.nan) for name in names], dtype=np.float64)


def _lookup(table: Table | None, names: tuple[str, ...]) -> NDArray[np.int64]:
    """The table's rows (N, C) for `names`, `UNKNOWN` where it has none; (N, 1) without a table."""
    if table is None:
        return np.full((len(names), 1), UNKNOWN, dtype=np.int64)
    rows = np.array([table.index.get(name, -1) for name in names], dtype=np.int64)
    if not len(table):
        return np.full((len(names), len(table.columns)), UNKNOWN, dtype=np.int64)
    return np.where(rows[:, None] >= 0, table.values[rows], UNKNOWN)
