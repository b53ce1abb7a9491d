"""Pictures that browsers cannot show, converted once and kept in files.

A large picture takes seconds and hundreds of megabytes. So a process converts one of them at a
time, and only one more thread waits for it. All others are told to come back.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from PIL import Image as Pillow

from labeler.errors import StillPreparing
from labeler.languages.texts import gettext as _
from rotation.data.decoding import decode, read_header

MIME = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
}
PLAIN_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
DEEP_GREY_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
JPEG_QUALITY = 95
PNG_LEVEL = 3  # a third of the time of the default, and files that are a tenth larger
FOLDER = "converted"
LARGE_PIXELS = 1_000_000  # a smaller picture takes less time than looking after its file
LONGEST_SIDE = 4096  # of a converted picture; more than any screen shows
MAX_KEPT_BYTES = 1024**3
WAIT_S = 10.0

Read = Callable[[], bytes]


class ConvertedPictures:
    """Converts pictures, and keeps the large ones in `home/converted`, named by their content.

    The folder can be deleted at any time. If it has more than `MAX_KEPT_BYTES`, those that were not
    used for the longest time go.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._one_at_a_time = threading.Lock()
        self._places = threading.BoundedSemaphore(2)  # for one that converts and one that waits

    def for_browser(self, read: Read, name: str, sha256: str) -> tuple[bytes, str]:
        """Return bytes that every browser can show, and their MIME type.

        Parameters:
            read: returns the bytes of the picture.
            name: its name in error messages.
            sha256: what its content should be; another content is not kept.

        Raises:
            ImageError: the picture cannot be decoded.
            StillPreparing: other large pictures are being converted.
        """
        kept = self._kept(sha256)
        if kept is not None:
            return kept
        data = read()
        header = read_header(data, name)
        if header.format in MIME and header.mode in PLAIN_MODES:
            return data, MIME[header.format]
        if header.width * header.height < LARGE_PIXELS:
            return _convert(data, name, header.format, header.mode)
        if not self._places.acquire(blocking=False):
            raise StillPreparing(_("Large pictures are being converted. Try again in a moment."))
        try:
            return self._convert_alone(data, name, header, sha256)
        finally:
            self._places.release()

    def _convert_alone(
        self, data: bytes, name: str, header: Pillow.Image, sha256: str
    ) -> tuple[bytes, str]:
        if not self._one_at_a_time.acquire(timeout=WAIT_S):
            raise StillPreparing(_("Large pictures are being converted. Try again in a moment."))
        try:
            kept = self._kept(sha256)  # by the thread that was before this one
            if kept is None:
                kept = _convert(data, name, header.format, header.mode)
                if hashlib.sha256(data).hexdigest() == sha256:
                    self._keep(sha256, kept[0])
            return kept
        finally:
            self._one_at_a_time.release()

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _kept(self, sha256: str) -> tuple[bytes, str] | None:
        path = self._path(sha256)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):
            os.utime(path)  # the least recently used goes first
        return data, MIME["JPEG" if data[:2] == b"\xff\xd8" else "PNG"]

    def _keep(self, sha256: str, data: bytes) -> None:
        """Keep a picture, and make room. On a full disk it is converted again next time."""
        path = self._path(sha256)
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                try:
                    file.write(data)
                    file.flush()
                    os.replace(file.name, path)
                except OSError:
                    os.unlink(file.name)
                    raise
            self._make_room()

    def _make_room(self) -> None:
        found = []
        for path in self._folder.glob("*/*"):
            with suppress(OSError):  # another process has removed it
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, path))
        found.sort(reverse=True)
        total = 0
        for _time, size, path in found:
            total += size
            if total > MAX_KEPT_BYTES:
                path.unlink(missing_ok=True)


def _convert(data: bytes, name: str, kind: str | None, mode: str) -> tuple[bytes, str]:
    image = decode(data, name)
    if max(image.size) > LONGEST_SIDE:
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), reducing_gap=2.0)
    if kind == "JPEG":  # CMYK; it is lossy already
        return _encode(image, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    if mode in DEEP_GREY_MODES:
        image = image.getchannel(0)
    return _encode(image, "PNG", compress_level=PNG_LEVEL)


def _encode(image: Pillow.Image, kind: str, **options: int) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue(), MIME[kind]
