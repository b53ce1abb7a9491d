"""Search a folder for images, and note what of it is not used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rotation.data.file_names import is_archive_name, is_hidden, is_image_name, is_utf8


class FolderWalk:
    """What a folder holds. Linked folders are not searched, and hidden ones are passed over.

    Attributes:
        images: their names, relative to the folder.
        archives: names of archives, which are not opened.
    """

    def __init__(self, base: Path, is_inside: Callable[[str], bool]) -> None:
        self.images: list[str] = []
        self.archives: list[str] = []
        self._leaving: list[str] = []
        self._linked: list[str] = []
        self._unnamable: list[str] = []
        self._closed: list[str] = []
        prefix = len(os.path.join(base, ""))
        for folder, subfolders, files in os.walk(base, onerror=self._note_closed):
            subfolders[:] = [name for name in subfolders if not is_hidden(name)]
            start = folder[prefix:].replace(os.sep, "/")
            start += "/" if start else ""
            self._linked += [
                start + name for name in subfolders if os.path.islink(os.path.join(folder, name))
            ]
            for file in files:
                self._add(start + file, os.path.join(folder, file), is_inside)

    def _add(self, name: str, path: str, is_inside: Callable[[str], bool]) -> None:
        if is_archive_name(name):
            self.archives.append(name)
        if not is_image_name(name):
            return
        if not is_utf8(name):
            self._unnamable.append(name)
            return
        stays = not os.path.islink(path) or is_inside(path)
        (self.images if stays else self._leaving).append(name)

    def _note_closed(self, error: OSError) -> None:
        self._closed.append(f"{error.filename} ({error.strerror})")

    def notes(self) -> Iterator[str]:
        """What of the folder is not used, and what to do."""
        if self._leaving:
            yield (
                f"{len(self._leaving):,} images are left out, because they are links that lead out "
                f"of the data set (such as {self._leaving[0]}). Give the folder that holds the "
                "links and the files, or copy the files"
            )
        if self._unnamable:
            yield (
                f"{len(self._unnamable):,} images are left out, because their names are not UTF-8 "
                f"(such as {self._unnamable[0]!r}); rename them"
            )
        if self._linked:
            yield (
                f"{len(self._linked):,} linked folders are not searched (such as "
                f"{self._linked[0]}); give the folder itself"
            )
        if self._closed:
            yield f"{len(self._closed):,} folders cannot be read, such as {self._closed[0]}"
