"""An image set for a command: its images and tables, with everything told that is not used."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from rotation.data.celeba import FILE_STEMS, Tables, read_tables
from rotation.data.sources import ImageSource, open_source

LOG = logging.getLogger(__name__)


def open_images(path: str | os.PathLike[str]) -> ImageSource:
    """The images of a folder or zip; logs what of it is not used. Raises as `open_source`."""
    source = open_source(path)
    for note in source.notes:
        LOG.warning("Note: %s.", note)
    return source


def read_matching_tables(path: Path, names: Collection[str]) -> Tables:
    """The tables of a data set that are about its images, with their names.

    A table that was found but has no row for any image is left out and logged.

    Parameters:
        path: the folder or zip.
        names: of its images.

    Raises:
        DatasetError: a file is malformed; the message names file and line.
    """
    known = set(names)
    tables = read_tables(path).match_names(known)
    for kind in FILE_STEMS:
        table = getattr(tables, kind)
        if table is not None and known.isdisjoint(table.filenames):
            row = f", such as {table.filenames[0]!r}" if table.filenames else ""
            LOG.warning(
                "Note: %s is not used: none of its %d rows%s is about an image of %s, such as %r.",
                table.path,
                len(table),
                row,
                path,
                min(known),
            )
            tables = replace(tables, **{kind: None})
    return tables
