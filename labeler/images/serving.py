"""Image files for browsers: unchanged, or converted if a browser cannot show them."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from pathlib import Path

from PIL import Image as Pillow
from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.errors import BrokenData, NotFound
from labeler.models.images import Dataset, Image
from rotation.data.decoding import decode, read_header
from rotation.data.sources import ImageSource, locate_images, open_source
from rotation.errors import DatasetError, ImageError

MIME = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
}
PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
OPEN_SOURCES = 4
JPEG_QUALITY = 95


SourceKey = tuple[str, int, int, int]


def _identify(path: str) -> SourceKey:
    """Identify a source. A zip file that was replaced is another one, with other images."""
    images = locate_images(Path(path))
    if not images.is_file():
        return (path, 0, 0, 0)
    stat = images.stat()
    return (path, stat.st_ino, stat.st_mtime_ns, stat.st_size)


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


def read_image(session: Session, image_id: int) -> tuple[bytes, str, Image]:
    """Return the bytes for the browser, their MIME type, and the row of the image.

    Raises:
        NotFound: there is no such image.
        BrokenData: the file is missing or cannot be decoded.
    """
    row = session.execute(
        select(Image, Dataset.path).join(Dataset).where(Image.id == image_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no image {image_id}.")
    image, path = row
    try:
        data, mime = for_browser(_source(path).read(image.filename), image.filename)
    except (ImageError, DatasetError) as error:
        raise BrokenData(str(error)) from None
    return data, mime, image


def for_browser(data: bytes, name: str) -> tuple[bytes, str]:
    """Return the same bytes if every browser can show them, else a PNG or JPEG of the image.

    Raises:
        ImageError: the data cannot be decoded.
    """
    header = read_header(data, name)
    if header.format in MIME and header.mode in PLAIN_MODES:
        return data, MIME[header.format]
    if header.format == "JPEG":  # CMYK; it is lossy already
        return _encode(decode(data, name), "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return _encode(decode(data, name), "PNG")


def _encode(image: Pillow.Image, kind: str, **options: int) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue(), MIME[kind]


def _source(path: str) -> ImageSource:
    global _sources  # noqa: PLW0603  a forked process shares file positions
    if not _sources.is_ours:
        _sources = _Sources()
    return _sources.get(path)
