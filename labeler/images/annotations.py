"""What is known about the files of a data set: size, hash, and rows of CelebA's text files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labeler.errors import BrokenData
from labeler.languages.texts import gettext as _
from labeler.models.images import MAX_ATTRIBUTES
from rotation.data.celeba import Table, Tables
from rotation.data.image_set import matching_tables
from rotation.data.image_source import ImageSource
from rotation.errors import DatasetError

Lookup = Callable[[str], Any]
_NOTHING_READ = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Annotations:
    """The rows of the text files, by filename."""

    attribute_names: tuple[str, ...]
    columns: dict[str, Lookup]  # column of the image table -> value by filename, or None
    problems: tuple[str, ...]


def read_annotations(path: str | Path, names: Sequence[str]) -> Annotations:
    """Read the text files beside the images.

    Rows without an image, and images without a row, are not errors. They are listed as `problems`.

    Raises:
        DatasetError: a file is malformed.
        BrokenData: there are more attributes than the database can store.
    """
    tables, notes = matching_tables(path, names)
    attribute_names = tables.attributes.columns if tables.attributes else ()
    if len(attribute_names) > MAX_ATTRIBUTES:
        raise BrokenData(
            _(
                "%(path)s: %(count)s attributes; at most %(limit)s can be kept",
                path=path,
                count=len(attribute_names),
                limit=MAX_ATTRIBUTES,
            )
        )
    columns = {
        "attribute_bits": _lookup(tables.attributes, _pack),
        "identity": _lookup(tables.identities, _first_column),
        "partition": _lookup(tables.partitions, _first_column),
        "landmarks": _lookup(tables.landmarks, _rows),
    }
    return Annotations(attribute_names, columns, (*notes, *_mismatches(tables, names)))


def describe(source: ImageSource, name: str, annotations: Annotations) -> dict[str, Any]:
    """Return the columns of an image that come from files, or the `problem` of reading it."""
    try:
        data = source.read(name)
        found = {
            "byte_size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "problem": None,
        }
    except DatasetError as error:  # damaged, removed in the meantime, or an unusable name
        found = {"byte_size": 0, "sha256": _NOTHING_READ, "problem": str(error)}
    return found | {column: get(name) for column, get in annotations.columns.items()}


def _lookup(table: Table | None, values_of: Callable[[Table], list[Any]]) -> Lookup:
    if table is None:
        return lambda name: None
    return dict(zip(table.filenames, values_of(table), strict=True)).get


def _pack(table: Table) -> list[int]:
    bits = np.left_shift(np.int64(1), np.arange(len(table.columns), dtype=np.int64))
    packed: list[int] = (table.values @ bits).tolist()
    return packed


def _first_column(table: Table) -> list[int]:
    column: list[int] = table.values[:, 0].tolist()
    return column


def _rows(table: Table) -> list[list[int]]:
    rows: list[list[int]] = table.values.tolist()
    return rows


def _mismatches(tables: Tables, names: Sequence[str]) -> Iterator[str]:
    here = set(names)
    for table in tables.found:
        listed = set(table.filenames)
        yield from _mismatch(
            table.path.name, "rows are about images that are not here", listed - here
        )
        yield from _mismatch(table.path.name, "images have no row in it", here - listed)


def _mismatch(file: str, what: str, names: set[str]) -> Iterator[str]:
    if names:
        yield f"{file}: {len(names)} {what} (such as {min(names)})"
