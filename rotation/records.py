"""Labels joined with attributes and identities: what is known of each image.

The exported `labels.csv` is the only bridge from the labeler, so it is read here strictly: a file
that means something else than it seems to is refused with the number of the line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
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
UNKNOWN = -1
"""An attribute or identity that no file tells."""
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r\n]")


@dataclass(frozen=True)
class Records:
    """N labelled images in the order of the file.

    `labels` (N,) holds left, center or right; `identities` (N,) the person's number and
    `attributes` (N, A) 1 or 0 for `attribute_names`, each `UNKNOWN` where no file tells.
    """

    filenames: tuple[str, ...]
    labels: NDArray[np.str_]
    identities: NDArray[np.int64]
    attribute_names: tuple[str, ...]
    attributes: NDArray[np.int64]

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
    for line, cell, label in _rows(path):
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


def join_records(labels: dict[str, str], images: Collection[str], tables: Tables) -> Records:
    """Put labels, attributes and identities together.

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
    )


def source_record(filename: str, label: str, tables: Tables) -> Records:
    """A record of one image alone, for a source that needs not stand in the labels."""
    return join_records({filename: label}, {filename}, tables)


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line number, filename and label of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames)
            for row in reader:
                name, label = row["filename"], row["label"]
                if name is None or label is None:
                    raise DatasetError(f"{path}, line {reader.line_num}: the row is too short.")
                yield reader.line_num, _plain(name.strip()), _plain(label.strip())
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None


def _check_header(path: Path, found: object) -> None:
    columns = [str(name) for name in found] if isinstance(found, list) else []
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing:
        raise DatasetError(
            f"{path}, line 1: the column {missing[0]!r} is missing; found: "
            f"{', '.join(columns) or 'nothing'}. Write the file with `manage.py export labels`."
        )


def _plain(cell: str) -> str:
    """Undo the apostrophe that neutralises formulas (docs/export.md); other apostrophes stay."""
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def _checked(name: str, where: str) -> str:
    try:
        return safe_name(name)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None


def _lookup(table: Table | None, names: tuple[str, ...]) -> NDArray[np.int64]:
    """The table's rows (N, C) for `names`, `UNKNOWN` where it has none; (N, 1) without a table."""
    if table is None:
        return np.full((len(names), 1), UNKNOWN, dtype=np.int64)
    rows = np.array([table.index.get(name, -1) for name in names], dtype=np.int64)
    if not len(table):
        return np.full((len(names), len(table.columns)), UNKNOWN, dtype=np.int64)
    return np.where(rows[:, None] >= 0, table.values[rows], UNKNOWN)
