"""Image sources: a folder or a zip of images, read in place.

CelebA is recognised as it is distributed. A folder with `img_align_celeba.zip` or
`img_align_celeba/` beside its text files stands for these images. Names do not include the prefix
`img_align_celeba/`, so an image is called `000001.jpg` in every layout.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Self

from rotation.errors import DatasetError, ImageError
from rotation.reading import open_regular, real_path

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}
)
CELEBA_FOLDER = "img_align_celeba"
MAX_IMAGE_BYTES = 64 * 2**20  # a larger entry is a mistake or a zip bomb
UNREADABLE = "unreadable"
"""The fingerprint of an image that cannot be read."""


class ImageSource(ABC):
    """Images by name. Threads may share a source, but it does not survive a fork."""

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
        return _fingerprint(len(data), zlib.crc32(data))

    def _absent(self, name: str, place: Path) -> DatasetError:
        """The error for a name that is not in the source, with a name that is."""
        known = "".join(f", such as {one!r}" for one in self.names()[:1])
        return DatasetError(f"{name!r}: not in {place}. Names are relative to it{known}.")

    @abstractmethod
    def close(self) -> None:
        """Close open files. Reading afterwards is an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_source(path: str | os.PathLike[str]) -> ImageSource:
    """Open a folder of images, a zip of images, or a folder with CelebA as distributed.

    Raises:
        DatasetError: the path does not exist, is no folder or zip, or holds no image.
    """
    root = Path(path)
    if not root.exists():
        raise DatasetError(f"{root}: there is no such file or folder")
    images = locate_images(root)
    source: ImageSource = FolderSource(images) if images.is_dir() else ZipSource(images)
    if not source.names():
        source.close()
        raise DatasetError(
            f"{root}: no images found; files that end in {', '.join(sorted(IMAGE_SUFFIXES))} count"
        )
    return source


def locate_images(root: Path) -> Path:
    """The folder or zip with the images of `root`. CelebA's own is preferred."""
    if not root.is_dir():
        return root
    places = [root / CELEBA_FOLDER, root / f"{CELEBA_FOLDER}.zip"]
    places += [root / "Img" / place.name for place in places]  # the layout of CelebA's download
    return next((place for place in places if place.exists()), root)


class FolderSource(ImageSource):
    """A folder, searched recursively. Links that lead out of the folder are not followed."""

    def __init__(self, root: Path) -> None:
        self.root = real_path(root)
        strip = _common_celeba_folder(self.root)
        self._base = self.root / strip if strip else self.root
        self._names = sorted(_walk(self._base))

    def names(self) -> Sequence[str]:
        return self._names

    def read(self, name: str) -> bytes:
        path = real_path(self._base / safe_name(name))
        if not path.is_relative_to(self.root):
            raise DatasetError(f"{name!r}: leads out of {self.root}")
        try:
            with open_regular(path) as file:
                if os.fstat(file.fileno()).st_size > MAX_IMAGE_BYTES:
                    raise ImageError(f"{name}: larger than {MAX_IMAGE_BYTES >> 20} MiB")
                return file.read()
        except FileNotFoundError:
            raise self._absent(name, self._base) from None
        except OSError as error:
            raise ImageError(f"{name}: cannot be read ({error.strerror})") from None

    def close(self) -> None:
        """Do nothing: a folder has no open files."""


class ZipSource(ImageSource):
    """A zip, read in place. A lock guards it, since `zipfile` has one file position."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.ExitStack() as opened:
            try:
                self._file = opened.enter_context(open_regular(path))
                self._zip = opened.enter_context(zipfile.ZipFile(self._file))
                # A source that nobody closes takes its file with it.
                weakref.finalize(self, self._file.close)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                # The last two mean a name in another encoding than stated, or an unknown version.
                reason = getattr(error, "strerror", None) or error
                raise DatasetError(
                    f"{path}: neither a folder nor a readable zip ({reason})"
                ) from None
            self._entries = _entries(self._zip, path)
            opened.pop_all()
        self._names = sorted(self._entries)
        self._lock = threading.Lock()

    def names(self) -> Sequence[str]:
        return self._names

    def fingerprint(self, name: str) -> str:
        entry = self._entry(name)
        return _fingerprint(entry.file_size, entry.CRC)

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = self._entries.get(safe_name(name))
        if entry is None:
            raise self._absent(name, self.path)
        return entry

    def read(self, name: str) -> bytes:
        entry = self._entry(name)
        if entry.file_size > MAX_IMAGE_BYTES:
            raise ImageError(f"{name}: larger than {MAX_IMAGE_BYTES >> 20} MiB")
        try:
            # At most the stated size is unpacked, so that a zip bomb does no harm.
            with self._lock, self._zip.open(entry) as file:
                return file.read(entry.file_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ImageError(f"{name}: damaged in {self.path.name} ({error})") from None
        except (NotImplementedError, RuntimeError) as error:  # unknown compression, encrypted
            raise ImageError(f"{name}: cannot be read from {self.path.name} ({error})") from None
        except ValueError as error:
            raise DatasetError(f"{self.path}: the source is closed") from error

    def close(self) -> None:
        self._zip.close()
        self._file.close()


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


def _fingerprint(size: int, crc: int) -> str:
    return f"{size}-{crc:08x}"


def is_image_name(name: str) -> bool:
    """Whether the name has the suffix of an image and is no hidden or system file."""
    path = PurePosixPath(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not any(map(_is_hidden, path.parts))


def _is_hidden(part: str) -> bool:
    return part == "__MACOSX" or (part.startswith(".") and part != "..")


def _common_celeba_folder(root: Path) -> str:
    """The inner folder's name if unpacking CelebA's zip has nested two folders of one name."""
    return CELEBA_FOLDER if (root / CELEBA_FOLDER).is_dir() else ""


def _walk(base: Path) -> Iterator[str]:
    """Names of the images under `base`. Linked folders are not searched."""
    prefix = len(str(base)) + 1
    for folder, subfolders, files in os.walk(base):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for file in files:
            path = f"{folder}/{file}"
            name = path[prefix:].replace(os.sep, "/")
            if is_image_name(name) and _stays_inside(path, base):
                yield name


def _stays_inside(path: str, base: Path) -> bool:
    if not os.path.islink(path):
        return True
    return real_path(path).is_relative_to(base)


def _entries(archive: zipfile.ZipFile, path: Path) -> Mapping[str, zipfile.ZipInfo]:
    """The images of a zip by name, without a prefix `img_align_celeba/` that all of them have."""
    found = {}
    for entry in archive.infolist():
        stored = entry.filename.replace("\\", "/")  # as some programs on Windows write it
        if stored.endswith("/") or not is_image_name(stored):
            continue
        name = safe_name(stored)
        if name in found:
            raise DatasetError(f"{path}: holds {name} twice; make a new zip")
        found[name] = entry
    prefix = f"{CELEBA_FOLDER}/"
    while found and all(name.startswith(prefix) for name in found):
        found = {name.removeprefix(prefix): entry for name, entry in found.items()}
    return found
