"""The files of an upload in the home folder: receive them in pieces, complete and remove them.

An upload has a folder of its own in `pictures`, with a random name. Until all bytes are
here, its files end in `.part`, so that no backup copies them. Their sizes alone tell how much is
there. So an upload goes on after a lost connection and after a restart of the site.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from labeler.errors import Conflict, InvalidInput, NotFound, StorageFull, WrongOffset
from labeler.home_files import PICTURES
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.private_files import PRIVATE_FOLDER, make_private_file
from rotation.file_locks import lock_open_file

ZIP = "images.zip"
PART = ".part"
MB = 10**6
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of an upload. `name`: as it is stored; `size`: bytes."""

    name: str
    size: int


class UploadFolder:
    """The folder of one upload.

    Parameters:
        home: the home folder of the site.
        name: that of the folder, from `new_folder_name`.
        files: its files, in the order in which their bytes arrive.
        spare: bytes that must stay free on the disk.
    """

    def __init__(self, home: Path, name: str, files: Sequence[UploadedFile], spare: int) -> None:
        self.path = home / PICTURES / name
        self._files = files
        self._size = sum(file.size for file in files)
        self._spare = spare

    @property
    def images(self) -> Path:
        """The zip file of the images."""
        return self.path / ZIP

    def create(self) -> None:
        """Make the folder with empty files.

        Raises:
            StorageFull: the disk is full.
        """
        try:
            self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            self.path.mkdir(mode=PRIVATE_FOLDER)
        except OSError as error:
            raise _as_full(error) from None
        for file in self._files:
            make_private_file(self._part(file))

    def received(self) -> int:
        """Return how many bytes are here."""
        return sum(self._received(file) for file in self._files)

    def append(self, offset: int, data: bytes) -> int:
        """Store a piece; returns the bytes that are here then.

        Parameters:
            offset: the bytes that the sender believes to be here.

        Raises:
            WrongOffset: other bytes are here, for example because another tab has sent them.
            InvalidInput: there are more bytes than the upload has.
            StorageFull: the disk has too little space. What was here before stays.
            NotFound: the upload was removed.
        """
        with self._locked():
            here = self.received()
            if offset != here:
                raise WrongOffset(
                    _(
                        "The piece begins at byte %(offset)s, but %(here)s bytes are here. Send "
                        "the piece that begins at byte %(here)s.",
                        offset=write_number(offset),
                        here=write_number(here),
                    ),
                    here,
                )
            if offset + len(data) > self._size:
                raise InvalidInput(
                    _(
                        "The upload has %(size)s bytes, and this piece would end at byte "
                        "%(end)s. Choose the file again: it has changed.",
                        size=write_number(self._size),
                        end=write_number(offset + len(data)),
                    )
                )
            check_space(self.path, len(data), self._spare)
            self._write(here, memoryview(data))
            return here + len(data)

    def complete(self) -> None:
        """Give the files their names. It may be repeated.

        Raises:
            Conflict: bytes are missing.
            NotFound: the upload was removed.
        """
        with self._locked():
            here = self.received()
            if here != self._size:
                raise Conflict(
                    _(
                        "%(here)s of %(size)s bytes are here. Choose the same file again, and the "
                        "upload continues.",
                        here=write_number(here),
                        size=write_number(self._size),
                    )
                )
            for file in self._files:
                part = self._part(file)
                if part.exists():
                    with part.open("rb") as written:
                        os.fsync(written.fileno())
                    part.rename(self.path / file.name)

    def remove(self) -> None:
        """Remove the folder with all that is in it; nothing happens if it is gone."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path)

    def _part(self, file: UploadedFile) -> Path:
        return self.path / f"{file.name}{PART}"

    def _received(self, file: UploadedFile) -> int:
        for path in (self._part(file), self.path / file.name):
            with suppress(FileNotFoundError):
                return path.stat().st_size
        return 0

    def _write(self, offset: int, data: memoryview) -> None:
        """Write a piece, which may reach into the next file. Its beginning stays if that fails."""
        start, written = 0, 0
        for file in self._files:
            within = offset + written - start
            room = file.size - within
            if written < len(data) and 0 <= within < file.size:
                piece = data[written : written + room]
                _append(self._part(file), within, piece)
                written += len(piece)
            start += file.size

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """Hold the lock of this upload, so that pieces of two tabs come one after the other."""
        lock = self.path / f"lock{PART}"
        try:
            make_private_file(lock)
            with lock.open("rb") as file:
                lock_open_file(file)
                yield file
        except FileNotFoundError:
            raise NotFound(_("This upload has been removed.")) from None


def new_folder_name() -> str:
    """Return a name for the folder of a new upload."""
    return secrets.token_hex(8)


def check_space(folder: Path, wanted: int, spare: int) -> None:
    """Check that the disk of a folder has space.

    Parameters:
        wanted: bytes that are going to be written.
        spare: bytes that must stay free besides.

    Raises:
        StorageFull: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free - spare < wanted:
        raise StorageFull(
            _(
                "The disk of the site has %(free)s MB free. %(wanted)s MB are needed, and "
                "%(spare)s MB must stay free for votes (SIDELIGHT_UPLOAD_SPARE_MB). Free some "
                "space on the server; an upload that has begun then continues.",
                free=write_number(free // MB),
                wanted=write_number(-(-wanted // MB)),
                spare=write_number(spare // MB),
            )
        )


def _append(path: Path, offset: int, piece: memoryview) -> None:
    with path.open("r+b", buffering=0) as file:
        try:
            file.seek(offset)
            while piece:
                piece = piece[file.write(piece) :]
        except OSError as error:
            file.truncate(offset)
            raise _as_full(error) from None


def _as_full(error: OSError) -> OSError | StorageFull:
    if error.errno not in _FULL:
        return error
    return StorageFull(
        _(
            "The disk of the site is full (%(reason)s). Free some space on the server; an upload "
            "that has begun then continues.",
            reason=error.strerror,
        )
    )
