"""Image files for browsers: unchanged, or converted if a browser cannot show them."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from labeler.database.engine import built_once, connection_of
from labeler.errors import BrokenData, NotFound
from labeler.images.converted import ConvertedPictures
from labeler.languages.texts import gettext as _
from labeler.models.images import Dataset, Image
from rotation.data.image_source import ImageSource
from rotation.data.sources import image_places, open_source
from rotation.errors import DatasetError, ImageError
from rotation.remote_paths import ImagePlace

OPEN_SOURCES = 4


SourceKey = tuple[str, tuple[tuple[int, int, int], ...]]


def _identify(path: str) -> SourceKey:
    """Identify a source. A zip file that was replaced is another one, with other images."""
    return path, tuple(map(_identify_place, image_places(Path(path))))


def _identify_place(place: ImagePlace) -> tuple[int, int, int]:
    try:
        found = os.stat(str(place))
    except OSError:  # no longer there: opening the source says so
        return (0, 0, 0)
    # Folders are read in place, whatever is added to them.
    return (found.st_ino, found.st_mtime_ns, found.st_size) if place.is_file() else (0, 0, 0)


class _Sources:
    """A few open sources. A forked process opens its own."""

    def __init__(self) -> None:
        self._open: OrderedDict[SourceKey, ImageSource] = OrderedDict()
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def get(self, path: str) -> ImageSource:
        key = _identify(path)
        with self._lock:
            if key not in self._open:
                self._open[key] = open_source(path)
            self._open.move_to_end(key)
            while len(self._open) > OPEN_SOURCES:
                # Not closed, because another thread may still read it; its last user frees it.
                self._open.popitem(last=False)
            return self._open[key]

    @property
    def is_ours(self) -> bool:
        return self._owner == os.getpid()


_sources = _Sources()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where an image is, and what it is.

    `path`: the folder or zip file of its data set. `status` and `sha256`: see `Image`.
    """

    filename: str
    status: str
    sha256: str
    path: str

    def for_browser(self, converted: ConvertedPictures) -> tuple[bytes, str]:
        """Return bytes that every browser can show, and their MIME type.

        Call it outside of a transaction, because it may take seconds.

        Raises:
            BrokenData: the file is missing or cannot be decoded.
            StillPreparing: other large pictures are being converted.
        """
        name = self.filename
        try:
            return converted.for_browser(lambda: _source(self.path).read(name), name, self.sha256)
        except (ImageError, DatasetError) as error:
            raise BrokenData(str(error)) from None


def find_image(session: Session, image_id: int) -> ImageFile:
    """Return the place of an image.

    Raises:
        NotFound: there is no such image.
    """
    row = connection_of(session).execute(_find_statement(), {"image_id": image_id}).one_or_none()
    if row is None:
        raise NotFound(_("There is no image %(number)s.", number=image_id))
    return ImageFile(*row)


@built_once
def _find_statement() -> Any:
    """Built once: it runs for each picture that a page shows."""
    return (
        select(Image.filename, Image.status, Image.sha256, Dataset.path)
        .join(Dataset)
        .where(Image.id == bindparam("image_id"))
    )


def read_file(path: str, filename: str) -> bytes:
    """Return the bytes of an image file.

    Parameters:
        path: the folder or zip file of its data set.

    Raises:
        BrokenData: it cannot be read.
    """
    try:
        return _source(path).read(filename)
    except (ImageError, DatasetError) as error:
        raise BrokenData(str(error)) from None


def _source(path: str) -> ImageSource:
    global _sources  # noqa: PLW0603  a forked process shares file positions
    if not _sources.is_ours:
        _sources = _Sources()
    return _sources.get(path)


def files_are_gone(path: str) -> bool:
    """Whether nothing is left at the place of a data set: a folder or a zip file was moved."""
    try:
        return not Path(path).exists()
    except OSError:  # such as a network folder that does not answer
        return True
