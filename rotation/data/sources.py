"""Image sources: a folder or a zip of images, on this machine or in a store, read in place.

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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rotation.data.file_names import IMAGE_SUFFIXES, is_archive_name, is_image_name
from rotation.data.folder_walk import FolderWalk
from rotation.data.image_source import (
    CELEBA_FOLDER,
    MAX_IMAGE_BYTES,
    ImageSource,
    format_fingerprint,
    safe_name,
)
from rotation.data.remote_folder import RemoteFolderSource
from rotation.data.zip_files import ZipError, entry_name, open_zip, read_entry
from rotation.errors import DatasetError, ImageError, StoreError
from rotation.reading import open_regular, real_path
from rotation.remote_paths import ImagePlace, RemotePath, is_url, redact

SHOWN = 3  # names in a message about many


def open_source(path: str | os.PathLike[str] | RemotePath) -> ImageSource:
    """Open a folder of images, a zip of images, or a folder with CelebA as distributed.

    Where CelebA's images are in a folder and in a zip, the place with more images is taken: the
    other one was often not unpacked or copied to its end.

    Parameters:
        path: on this machine, or a `RemotePath`. Text is never a URL: so the site reads from no
            store, whatever its database says.

    Raises:
        DatasetError: the path does not exist, is no folder or zip, or holds no image.
    """
    root = path if isinstance(path, RemotePath) else Path(path)
    _check(root, path)
    opened: list[ImageSource] = []
    faults: list[str] = []
    for place in image_places(root):
        try:
            opened.append(_open_place(place, root))
        except StoreError:  # another place may be a part of what is there
            raise
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


def _check(root: ImagePlace, given: object) -> None:
    """Raise `DatasetError` if there is nothing at this place."""
    if isinstance(root, RemotePath):
        root.check()
        return
    try:
        os.stat(root)
    except FileNotFoundError:
        if isinstance(given, str) and is_url(given):
            raise DatasetError(
                f"{redact(given)}: a URL. Here folders and zips of this machine are read only, as "
                "by the whole site"
            ) from None
        raise DatasetError(f"{root}: there is no such file or folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{root}: cannot be opened ({reason})") from None


def _open_place(place: ImagePlace, root: ImagePlace) -> ImageSource:
    if not place.is_dir():
        return ZipSource(place)
    if isinstance(place, RemotePath):
        return RemoteFolderSource(place)
    return FolderSource(place, Path(str(root)))


def image_places(root: ImagePlace) -> list[ImagePlace]:
    """The folders and zips that may have the images of `root`: CelebA's own, else `root`."""
    places = [root / CELEBA_FOLDER, root / f"{CELEBA_FOLDER}.zip"]
    places += [root / "Img" / place.name for place in places]  # the layout of CelebA's download
    found = [place for place in places if _exists(place)] if root.is_dir() else []
    return [*found] or [root]


def _exists(place: ImagePlace) -> bool:
    return place.exists() if isinstance(place, RemotePath) else os.path.exists(place)


def _compare(best: ImageSource, opened: Sequence[ImageSource]) -> Iterator[str]:
    """What to tell of places that are passed over although they hold other images."""
    for other in opened:
        if other is not best and other.names() != best.names():
            yield (
                f"{other.path} holds {len(other.names()):,} images and {best.path} "
                f"{len(best.names()):,}; {best.path.name} is taken. Remove the one that is not "
                "whole"
            )


def _namesake(root: ImagePlace) -> ImagePlace | None:
    """The zip beside a folder that has its name, if there is one."""
    folder = root.absolute()
    beside = folder.parent / f"{folder.name}.zip"
    return beside if root.is_dir() and beside.is_file() else None


def _compare_namesake(best: ImageSource, root: ImagePlace) -> Iterator[str]:
    """What to tell of a zip beside the folder that was given, which was unpacked in part."""
    beside = _namesake(root)
    if beside is None:
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


def _no_images(root: ImagePlace, found: ImageSource, faults: Sequence[str]) -> DatasetError:
    """The error for a place without images, with what may be the reason."""
    message = (
        f"{root}: no images found; files that end in {', '.join(sorted(IMAGE_SUFFIXES))} count"
    )
    beside = _namesake(root)
    if archives := [*([str(beside)] if beside else []), *found.archives]:
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

    path: Path

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
    """A zip, read in place. A lock guards it, since `zipfile` has one file position.

    Of a zip in a store, only its directory and the blocks of the wanted images are read.
    """

    def __init__(self, path: ImagePlace) -> None:
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

    def __reduce__(self) -> tuple[type[ZipSource], tuple[ImagePlace]]:
        path = self.path
        return ZipSource, (path if isinstance(path, RemotePath) else real_path(path),)

    def names(self) -> Sequence[str]:
        return self._names

    def fingerprint(self, name: str) -> str:
        entry = self._entry(name)
        return format_fingerprint(entry.file_size, entry.CRC)

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


def _common_celeba_folder(root: Path) -> str:
    """The inner folder's name if unpacking CelebA's zip has nested two folders of one name."""
    return CELEBA_FOLDER if (root / CELEBA_FOLDER).is_dir() else ""


def _entries(archive: zipfile.ZipFile, path: ImagePlace) -> Mapping[str, zipfile.ZipInfo]:
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
