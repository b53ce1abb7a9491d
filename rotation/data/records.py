"""Records: labels joined with attributes, identities and probabilities, image by image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.data.celeba import Table, Tables
from rotation.errors import DatasetError

UNKNOWN = -1
"""The value of an attribute or identity that is in no file."""


@dataclass(frozen=True)
class Records:
    """N labelled images in the order of the file.

    Attributes:
        labels: (N,), left, center or right.
        identities: (N,), the number of the person, or `UNKNOWN`.
        attributes: (N, A), 1 or 0 for each of `attribute_names`, or `UNKNOWN`.
        probability: (N,), of the label, within [0, 1]; NaN if the file has none. None if no
            probabilities were read.
        azimuth_deg: (N,), of the light: 0 is the camera, negative the viewer's left; NaN if the
            file has none. None if no azimuths were read.
    """

    filenames: tuple[str, ...]
    labels: NDArray[np.str_]
    identities: NDArray[np.int64]
    attribute_names: tuple[str, ...]
    attributes: NDArray[np.int64]
    probability: NDArray[np.float64] | None = None
    azimuth_deg: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.filenames)

    def take(self, rows: NDArray[np.int64]) -> Records:
        """The records of these rows."""
        return Records(
            filenames=tuple(self.filenames[row] for row in rows.tolist()),
            labels=self.labels[rows],
            identities=self.identities[rows],
            attribute_names=self.attribute_names,
            attributes=self.attributes[rows],
            probability=None if self.probability is None else self.probability[rows],
            azimuth_deg=None if self.azimuth_deg is None else self.azimuth_deg[rows],
        )

    def attribute(self, name: str) -> NDArray[np.int64]:
        """The values (N,) of one attribute; `DatasetError` if there is none of that name."""
        if name not in self.attribute_names:
            known = (
                ", ".join(self.attribute_names)
                or "none (there is no list_attr_celeba about these images beside them)"
            )
            raise DatasetError(f"There is no attribute {name!r}; known: {known}.")
        return self.attributes[:, self.attribute_names.index(name)]


def join_records(
    labels: dict[str, str],
    images: Collection[str],
    tables: Tables,
    probabilities: Mapping[str, float] | None = None,
    azimuths: Mapping[str, float] | None = None,
) -> Records:
    """Join labels with attributes, identities, the labels' probabilities and azimuths.

    Parameters:
        labels: label by filename.
        images: all names of the image set.
        probabilities: of the labels, by filename.
        azimuths: of the light in degrees, by filename.

    Raises:
        DatasetError: labelled images are not in the image set. Most often the wrong folder was
            given.
    """
    refuse_foreign(labels, images)
    names = tuple(labels)
    return Records(
        filenames=names,
        labels=np.array([labels[name] for name in names]),
        identities=_lookup(tables.identities, names)[:, 0],
        attribute_names=tables.attributes.columns if tables.attributes else (),
        attributes=_lookup(tables.attributes, names),
        probability=_values(probabilities, names),
        azimuth_deg=_values(azimuths, names),
    )


def refuse_foreign(labels: Collection[str], images: Collection[str]) -> None:
    """Raise `DatasetError` if labelled images are not in the image set."""
    present = set(images)
    foreign = [name for name in labels if name not in present]
    if foreign:
        some = ", ".join(repr(name) for name in foreign[:3])
        raise DatasetError(
            f"{len(foreign)} of {len(labels)} labelled images are not in the image set "
            f"({some}{', ...' if len(foreign) > 3 else ''}); "
            "--images and --labels must belong to one data set."
        )


def source_record(filename: str, label: str, tables: Tables) -> Records:
    """The record of one image. It need not be in the labels."""
    return join_records({filename: label}, {filename}, tables)


def _values(
    values: Mapping[str, float] | None, names: tuple[str, ...]
) -> NDArray[np.float64] | None:
    if values is None:
        return None
    return np.array([values.get(name, np.nan) for name in names], dtype=np.float64)


def _lookup(table: Table | None, names: tuple[str, ...]) -> NDArray[np.int64]:
    """The table's rows (N, C) for `names`, `UNKNOWN` if it has none; (N, 1) without a table."""
    if table is None:
        return np.full((len(names), 1), UNKNOWN, dtype=np.int64)
    rows = np.array([table.index.get(name, -1) for name in names], dtype=np.int64)
    if not len(table):
        return np.full((len(names), len(table.columns)), UNKNOWN, dtype=np.int64)
    return np.where(rows[:, None] >= 0, table.values[rows], UNKNOWN)
