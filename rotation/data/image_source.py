"""What an image source is: images by name, wherever they are."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Self

from rotation.errors import DatasetError, ImageError
from rotation.remote_paths import ImagePlace

CELEBA_FOLDER = "img_align_celeba"
MAX_IMAGE_BYTES = 64 * 2**20  # a larger entry is a mistake or a zip bomb
UNREADABLE = "unreadable"
"""The fingerprint of an image that cannot be read."""


class ImageSource(ABC):
    """Images by name. Threads may share a source, but it does not survive a fork.

    A pickled source is opened anew, by its path.

    Attributes:
        path: the folder or zip.
        archives: names of archives in it, which are not opened.
        notes: sentences about what is in the place and not used.
    """

    path: ImagePlace
    archives: Sequence[str] = ()
    notes: tuple[str, ...] = ()

    @abstractmethod
    def names(self) -> Sequence[str]:
        """All image names, sorted. They are posix paths relative to the root."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The bytes of one image.

        Raises:
            DatasetError: the name leaves the root or is not in the source.
            ImageError: the file cannot be read (damaged entry, too large, no permission).
        """

    def read_ahead(self, names: Sequence[str]) -> None:  # noqa: B027 - most have nothing to fetch
        """Say which images are read next. Where each takes a while, several are fetched at once.

        They are held in memory until they are read, or until others are named.
        """

    def fingerprint(self, name: str) -> str:
        """Size and CRC-32 of an image's bytes, which change when the image is replaced.

        The fingerprint is the same in a folder and in a zip. A zip lists both numbers in its
        directory, so the image is not read. An image that cannot be read has `UNREADABLE`.

        Raises:
            DatasetError: see `read`.
        """
        try:
            data = self.read(name)
        except ImageError:
            return UNREADABLE
        return fingerprint_of(data)

    def _absent(self, name: str, place: ImagePlace) -> DatasetError:
        """The error for a name that is not in the source, with a name that is."""
        known = "".join(f", such as {one!r}" for one in self.names()[:1])
        return DatasetError(f"{name!r}: not in {place}. Names are relative to it{known}.")

    def opening(self) -> Callable[[], ImageSource]:
        """What opens the same images anew, in another process too."""
        make, given = self.__reduce__()
        return partial(make, *given)

    @abstractmethod
    def __reduce__(self) -> tuple[Callable[..., ImageSource], tuple[Any, ...]]:
        """What opens the images, and what it is given."""

    @abstractmethod
    def close(self) -> None:
        """Close open files. Reading afterwards is an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def safe_name(name: str) -> str:
    """`name` as a relative posix path.

    Raises:
        DatasetError: it is empty, absolute or contains `..`, or would be so on Windows.
    """
    path = PurePosixPath(name)
    unsafe = not path.parts or path.is_absolute() or ".." in path.parts
    if unsafe or "\\" in name or "\0" in name or ":" in path.parts[0]:
        raise DatasetError(
            f"{name!r}: leaves the data set, or would on another system; a relative path without "
            "'..', '\\' and drive letter is needed"
        )
    return path.as_posix()


def fingerprint_of(data: bytes) -> str:
    """The fingerprint of an image with this content: see `ImageSource.fingerprint`."""
    return format_fingerprint(len(data), zlib.crc32(data))


def format_fingerprint(size: int, crc: int) -> str:
    """The fingerprint of an image of so many bytes with this CRC-32."""
    return f"{size}-{crc:08x}"
