"""Read entries of zip files that other people made, with bounded memory.

A path may lead into a zip: `CelebA.zip/list_attr_celeba.csv` is the entry `list_attr_celeba.csv`.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from rotation.reading import open_regular, read_bytes
from rotation.remote_paths import ImagePlace, RemotePath

_PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_STEP = 4096  # bytes at a time where `zipfile` does not bound what a step unpacks
_ENCRYPTED = 1  # the flag of an entry
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,  # an unknown way of packing
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,  # a name in another encoding than stated, or a closed file
)


class ZipError(Exception):
    """A zip or an entry of it cannot be read. The text gives the reason."""


@contextmanager
def open_zip(path: ImagePlace) -> Iterator[zipfile.ZipFile]:
    """A zip on the disk or in a store, open for reading.

    Raises:
        ZipError: it cannot be opened, or is no zip.
        StoreError: the store cannot be reached, or does not give the file.
    """
    try:
        # The file of a store has all that `zipfile` asks of one.
        file = cast(BinaryIO, path.open()) if isinstance(path, RemotePath) else open_regular(path)
    except (OSError, ValueError) as error:
        raise ZipError(_reason(error)) from None
    with file, read_directory(file) as archive:
        yield archive


def read_directory(file: BinaryIO) -> zipfile.ZipFile:
    """The zip in an open file; raises `ZipError` if it is none."""
    try:
        return zipfile.ZipFile(file)
    except _FAULTS as error:
        raise ZipError(_reason(error)) from None


def entry_name(entry: zipfile.ZipInfo) -> str:
    r"""The name of an entry with `/`; some programs on Windows write `\`."""
    return entry.filename.replace("\\", "/")


def read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of an entry. At most the stated size is unpacked, so a zip bomb does no harm.

    Raises:
        ZipError: it is damaged, encrypted or packed in an unknown way.
    """
    if entry.flag_bits & _ENCRYPTED:
        raise ZipError("it is encrypted; make a zip without a password")
    step = max(1, entry.file_size) if entry.compress_type in _PLAIN_METHODS else _STEP
    parts, left = [], entry.file_size
    try:
        with archive.open(entry) as file:
            while left > 0 and (part := file.read(min(step, left))):
                parts.append(part)
                left -= len(part)
    except _FAULTS as error:
        raise ZipError(_reason(error)) from None
    if left > 0:
        raise ZipError(f"it ends {left} bytes early")
    return b"".join(parts)


def read_place(path: ImagePlace, limit: int) -> bytes:
    """The bytes of a file, or of an entry if the path leads into a zip.

    Raises:
        OSError: it cannot be read, or it has more than `limit` bytes.
        StoreError: the same of a file in a store.
    """
    outer, inner = _part_at_zip(path)
    if outer is None:
        if isinstance(path, RemotePath):
            return path.read_bytes(limit)
        return read_bytes(path, limit)
    try:
        with open_zip(outer) as archive:
            for entry in archive.infolist():
                if entry_name(entry) == inner:
                    if entry.file_size > limit:
                        raise ZipError(f"it is larger than {limit >> 20} MiB")
                    return read_entry(archive, entry)
    except ZipError as error:
        raise OSError(0, str(error), str(path)) from None
    raise FileNotFoundError(2, f"not in {outer.name}", str(path))


def _part_at_zip(path: ImagePlace) -> tuple[ImagePlace | None, str]:
    """The zip that a path leads into, and the name there; None if it leads into none."""
    if isinstance(path, RemotePath):
        zips = [folder for folder in path.parents if folder.is_zip()]
        return (zips[0], path.relative_to(zips[0]).as_posix()) if zips else (None, "")
    outer = next((folder for folder in path.parents if folder.is_file()), None)
    return outer, "" if outer is None else path.relative_to(outer).as_posix()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
