"""An image set for a command: its images and tables, with everything told that is not used."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from dataclasses import replace

from rotation.data.celeba import FILE_STEMS, Tables, read_tables
from rotation.data.image_source import ImageSource
from rotation.data.sources import open_source
from rotation.remote_paths import ImagePlace, RemotePath

LOG = logging.getLogger(__name__)


def open_images(path: str | os.PathLike[str] | RemotePath) -> ImageSource:
    """The images of a folder or zip; logs what of it is not used. Raises as `open_source`."""
    source = open_source(path)
    for note in source.notes:
        LOG.warning("Note: %s.", note)
    return source


def read_matching_tables(path: ImagePlace, names: Collection[str]) -> Tables:
    """`matching_tables`; what is left out is logged."""
    tables, notes = matching_tables(path, names)
    for note in notes:
        LOG.warning("Note: %s.", note)
    return tables


def matching_tables(
    path: str | os.PathLike[str] | RemotePath, names: Collection[str]
) -> tuple[Tables, list[str]]:
    """The tables of a data set that are about its images, with their names, and notes.

    A table that was found but has no row for any image is left out; a note says so.

    Parameters:
        path: the folder or zip.
        names: of its images.

    Raises:
        DatasetError: a file is malformed; the message names file and line.
    """
    known, notes = set(names), []
    tables = read_tables(path).match_names(known)
    for kind in FILE_STEMS:
        table = getattr(tables, kind)
        if table is not None and known.isdisjoint(table.filenames):
            row = f", such as {table.filenames[0]!r}" if table.filenames else ""
            notes.append(
                f"{table.path} is not used: none of its {len(table)} rows{row} is about an image "
                f"of {path}, such as {min(known)!r}"
            )
            tables = replace(tables, **{kind: None})
    return tables, notes
