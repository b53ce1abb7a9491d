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
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Self

from rotation.data.file_names import IMAGE_SUFFIXES, is_archive_name, is_image_name
from rotation.data.folder_walk import FolderWalk
from rotation.data.zip_files import ZipError, entry_name, open_zip, read_entry
from rotation.errors import DatasetError, ImageError
from rotation.reading import open_regular, real_path

CELEBA_FOLDER = "img_align_celeba"
MAX_IMAGE_BYTES = 64 * 2**20  # a larger entry is a mistake or a zip bomb
SHOWN = 3  # names in a message about many
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

    path: Path
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

    def _absent(self, name: str, place: Path) -> DatasetError:
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


def open_source(path: str | os.PathLike[str]) -> ImageSource:
    """Open a folder of images, a zip of images, or a folder with CelebA as distributed.

    Where CelebA's images are in a folder and in a zip, the place with more images is taken: the
    other one was often not unpacked or copied to its end.

    Raises:
        DatasetError: the path does not exist, is no folder or zip, or holds no image.
    """
    root = Path(path)
    try:
        os.stat(root)
    except FileNotFoundError:
        raise DatasetError(f"{root}: there is no such file or folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{root}: cannot be opened ({reason})") from None
    opened: list[ImageSource] = []
    faults: list[str] = []
    for place in image_places(root):
        try:
            opened.append(FolderSource(place, root) if place.is_dir() else ZipSource(place))
        except DatasetError as error:
            faults.append(str(error))
    if not opened:
        raise DatasetError("; ".join(faults))
    best = max(opened, key=lambda source: len(source.names()))  # the first one of equals
    for source in opened:
        if source is not best:
            source.close()
    if not best.names():
        best.close()
        raise _no_images(root, best, faults)
    best.notes += (*faults, *_compare(best, opened), *_compare_namesake(best, root))
    return best


def image_places(root: Path) -> list[Path]:
    """The folders and zips that may have the images of `root`: CelebA's own, else `root`."""
    places = [root / CELEBA_FOLDER, root / f"{CELEBA_FOLDER}.zip"]
    places += [root / "Img" / place.name for place in places]  # the layout of CelebA's download
    found = [place for place in places if os.path.exists(place)] if root.is_dir() else []
    return found or [root]


def _compare(best: ImageSource, opened: Sequence[ImageSource]) -> Iterator[str]:
    """What to tell of places that are passed over although they hold other images."""
    for other in opened:
        if other is not best and other.names() != best.names():
            yield (
                f"{other.path} holds {len(other.names()):,} images and {best.path} "
                f"{len(best.names()):,}; {best.path.name} is taken. Remove the one that is not "
                "whole"
            )


def _compare_namesake(best: ImageSource, root: Path) -> Iterator[str]:
    """What to tell of a zip beside the folder that was given, which was unpacked in part."""
    beside = Path(f"{root.absolute()}.zip")
    if not (root.is_dir() and beside.is_file()):
        return
    try:
        with ZipSource(beside) as packed:
            count = len(packed.names())
    except DatasetError:
        return
    if count > len(best.names()):
        yield (
            f"{beside} beside it holds {count:,} images, {root} only {len(best.names()):,}; the "
            "folder is taken, as it was given. Give the zip, or unpack it to its end"
        )


def _no_images(root: Path, found: ImageSource, faults: Sequence[str]) -> DatasetError:
    """The error for a place without images, with what may be the reason."""
    message = (
        f"{root}: no images found; files that end in {', '.join(sorted(IMAGE_SUFFIXES))} count"
    )
    beside = f"{root.absolute()}.zip"
    archives = [beside] if root.is_dir() and os.path.isfile(beside) else []
    if archives := [*archives, *found.archives]:
        shown = ", ".join(archives[:SHOWN]) + (", ..." if len(archives) > SHOWN else "")
        message += (
            f". Archives within a folder or zip are not opened ({shown}): give the path of the "
            "zip itself, or unpack it first"
        )
    return DatasetError(". ".join([message, *faults, *found.notes]))


class FolderSource(ImageSource):
    """A folder, searched recursively.

    A link is read if it leads to a file within the data set, as git-annex and DVC have them.

    Parameters:
        path: the folder with the images.
        root: the data set, within which links may lead; None: the folder.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path, self._root = real_path(path), real_path(root or path)
        self._allowed = {self.path, self._root}
        strip = _common_celeba_folder(self.path)
        self._base = self.path / strip if strip else self.path
        found = FolderWalk(self._base, self._is_inside)
        self._names = sorted(found.images)
        self.archives, self.notes = found.archives, tuple(found.notes())

    def __reduce__(self) -> tuple[type[FolderSource], tuple[Path, Path]]:
        return FolderSource, (self.path, self._root)

    def names(self) -> Sequence[str]:
        return self._names

    def read(self, name: str) -> bytes:
        path = self._base / safe_name(name)
        if not self._is_inside(path):
            raise DatasetError(f"{name!r}: leads out of {self.path}")
        try:
            with open_regular(real_path(path)) as file:
                if os.fstat(file.fileno()).st_size > MAX_IMAGE_BYTES:
                    raise ImageError(f"{name}: larger than {MAX_IMAGE_BYTES >> 20} MiB")
                return file.read()
        except FileNotFoundError:
            if path.is_symlink():
                raise ImageError(
                    f"{name}: a link to {os.readlink(path)}, which is not there; fetch its content"
                ) from None
            raise self._absent(name, self._base) from None
        except OSError as error:
            raise ImageError(f"{name}: cannot be read ({error.strerror})") from None

    def close(self) -> None:
        """Do nothing: a folder has no open files."""

    def _is_inside(self, path: str | Path) -> bool:
        real = real_path(path)
        return any(real.is_relative_to(folder) for folder in self._allowed)


class ZipSource(ImageSource):
    """A zip, read in place. A lock guards it, since `zipfile` has one file position."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with contextlib.ExitStack() as opened:
            try:
                self._zip = opened.enter_context(open_zip(path))
            except ZipError as error:
                raise DatasetError(
                    f"{path}: neither a folder nor a readable zip ({error})"
                ) from None
            self._entries = _entries(self._zip, path)
            self._opened = opened.pop_all()
        # A source that nobody closes takes its file with it.
        weakref.finalize(self, self._opened.close)
        self.archives = [
            name for name in map(entry_name, self._zip.infolist()) if is_archive_name(name)
        ]
        if self.archives:
            self.notes = (
                f"{path}: {self.archives[0]} is an archive within the zip, which is not read; "
                "unpack the outer zip if its images are wanted",
            )
        self._names = sorted(self._entries)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ZipSource], tuple[Path]]:
        return ZipSource, (real_path(self.path),)

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
            with self._lock:
                if self._zip.fp is None:
                    raise DatasetError(f"{self.path}: the source is closed")
                return read_entry(self._zip, entry)
        except ZipError as error:
            raise ImageError(f"{name}: damaged in {self.path.name} ({error})") from None

    def close(self) -> None:
        self._opened.close()


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
    return _fingerprint(len(data), zlib.crc32(data))


def _fingerprint(size: int, crc: int) -> str:
    return f"{size}-{crc:08x}"


def _common_celeba_folder(root: Path) -> str:
    """The inner folder's name if unpacking CelebA's zip has nested two folders of one name."""
    return CELEBA_FOLDER if (root / CELEBA_FOLDER).is_dir() else ""


def _entries(archive: zipfile.ZipFile, path: Path) -> Mapping[str, zipfile.ZipInfo]:
    """The images of a zip by name, without a prefix `img_align_celeba/` that all of them have."""
    found = {}
    for entry in archive.infolist():
        stored = entry_name(entry)
        if stored.endswith("/") or not is_image_name(stored):
            continue
        try:
            name = safe_name(stored)
        except DatasetError as error:
            raise DatasetError(f"{path}: the entry {error}") from None
        if name in found:
            raise DatasetError(f"{path}: holds {name} twice; make a new zip")
        found[name] = entry
    prefix = f"{CELEBA_FOLDER}/"
    while found and all(name.startswith(prefix) for name in found):
        found = {name.removeprefix(prefix): entry for name, entry in found.items()}
    return found
