"""The files of a result as one ZIP, written while it is sent: no copy is made on the disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

from labeler.studio.results import known_files, read_file


class _Sink(io.RawIOBase):
    """Holds what was written to it until it is taken. It cannot seek, so `zipfile` streams."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def stream_zip(folder: Path, inside: str, *, reports: bool = True) -> Iterator[bytes]:
    """Stream the known files of a result as a ZIP. They are compressed already, so they are stored.

    A file that goes away meanwhile is left out.

    Parameters:
        inside: the folder in the ZIP that holds them.
        reports: include the reports.
    """
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name in known_files(folder, reports=reports):
            yield from _add(archive, sink, folder / name, f"{inside}/{name}")
    yield sink.take()


def _add(archive: zipfile.ZipFile, sink: _Sink, path: Path, name: str) -> Iterator[bytes]:
    pieces = read_file(path)
    try:
        first = next(pieces, b"")
        entry = zipfile.ZipInfo.from_file(path, name)
    except OSError:
        return
    entry.file_size = 0  # told after the content, which may have changed since
    with archive.open(entry, "w", force_zip64=True) as target:
        target.write(first)
        yield sink.take()
        for piece in pieces:
            target.write(piece)
            yield sink.take()
