"""The pose cache: a CSV file that keeps measured poses from run to run.

Its columns are those of `poses.csv`, and `content`: the fingerprint of the image that was measured.
Files of earlier versions lack that column. Several processes may use one file at once.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rotation.data import csv_text
from rotation.data.csv_rows import read_keyed
from rotation.data.image_source import ImageSource
from rotation.data.labels_csv import format_csv
from rotation.errors import DatasetError, StoreError
from rotation.file_locks import lock_open_file
from rotation.poses.estimation import PoseRow
from rotation.poses.pose_csv import POSE_COLUMNS, parse_pose, pose_cells
from rotation.reading import read_bytes

CONTENT_COLUMN = "content"
_COLUMNS = (*POSE_COLUMNS, CONTENT_COLUMN)
_LONGEST_LINE = 1 << 16  # bytes


class CachedPose(NamedTuple):
    """A pose and the fingerprint of the image it was measured on; '' if that is unknown."""

    pose: PoseRow
    content: str


class PoseCache:
    """The poses of an image set, each valid as long as its image is not replaced.

    A row without a fingerprint comes from an earlier version. It takes the fingerprint that its
    image has when the row is first used.

    Parameters:
        path: the CSV file. It is made when the first pose is added.
        source: the images.
    """

    def __init__(self, path: Path, source: ImageSource) -> None:
        self._path, self._source = path, source
        self._rows = read_pose_cache(path)
        self._fingerprints: dict[str, str] = {}

    @property
    def poses(self) -> dict[str, PoseRow]:
        """The poses by filename."""
        return {name: row.pose for name, row in self._rows.items()}

    def drop_replaced(self, names: Iterable[str]) -> list[str]:
        """Drop the poses of those images that have been replaced, and return their names."""
        present = [
            name for name in dict.fromkeys(names) if name in self._rows and self._fingerprint(name)
        ]
        kept = {name: self._rows[name].content for name in present}
        replaced = [name for name in present if kept[name] not in ("", self._fingerprint(name))]
        unknown = {name: self._fingerprint(name) for name in present if not kept[name]}
        if not (replaced or unknown):
            return []

        def revise(rows: dict[str, CachedPose]) -> None:
            for name in replaced:
                # Another process may have measured the new image already.
                if name in rows and rows[name].content == kept[name]:
                    del rows[name]
            for name, content in unknown.items():
                if name in rows and not rows[name].content:
                    rows[name] = CachedPose(rows[name].pose, content)

        revise_pose_cache(self._path, revise)
        revise(self._rows)
        return replaced

    def add(
        self,
        names: Sequence[str],
        poses: Iterable[PoseRow],
        contents: Iterable[str] | None = None,
    ) -> None:
        """Keep the poses of images.

        Parameters:
            contents: the fingerprints of the images that were measured; None reads them now.
        """
        known = contents if contents is not None else map(self._fingerprint, names)
        rows = {
            name: CachedPose(pose, content)
            for name, pose, content in zip(names, poses, known, strict=True)
        }
        append_to_pose_cache(self._path, rows)
        self._rows |= rows

    def _fingerprint(self, name: str) -> str:
        """The fingerprint of an image, read once in a run; '' if it is not in the image set."""
        if name not in self._fingerprints:
            try:
                self._fingerprints[name] = self._source.fingerprint(name)
            except StoreError:  # nobody knows whether the image was replaced
                raise
            except DatasetError:
                self._fingerprints[name] = ""
        return self._fingerprints[name]


def read_pose_cache(path: Path) -> dict[str, CachedPose]:
    """The rows of a cache file by filename; none if there is no file.

    A last line that a crash has cut short is ignored. If two runs have measured an image, the
    later row counts.

    Raises:
        DatasetError: the file cannot be read or a value is wrong.
    """
    if not path.exists():
        return {}
    try:
        whole_lines = _whole_lines(read_bytes(path, csv_text.MAX_BYTES))
        found = read_keyed(
            csv_text.decode(whole_lines) or ",".join(_COLUMNS),
            ("yaw_deg",),
            lambda cells: CachedPose(parse_pose(cells), cells.text(CONTENT_COLUMN)),
            later_counts=True,
            any_name=True,
        )
    except csv_text.CsvError as error:
        raise error.about(path) from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    return {name: entry.value for name, entry in found.items()}


def append_to_pose_cache(path: Path, rows: Mapping[str, CachedPose]) -> None:
    """Add rows to a cache file, which is made if it does not exist.

    The rows are on the disk when this returns. A last line that a crash has cut short is
    overwritten.

    Raises:
        DatasetError: the file cannot be written.
    """
    with _locked(path) as file:
        header, text = _format_rows(rows).split("\n", 1)
        end = _end_of_lines(file)
        file.seek(0)
        if end and file.readline().decode("utf-8-sig", "replace").rstrip() != header:
            # The file of an earlier version has no column `content`, and one that a spreadsheet
            # saved has another dialect, so it is rewritten.
            _replace(path, _format_rows({**read_pose_cache(path), **rows}))
            return
        file.truncate(end)
        file.write((text if end else f"{header}\n{text}").encode())
        file.flush()
        os.fsync(file.fileno())


def revise_pose_cache(path: Path, revise: Callable[[dict[str, CachedPose]], None]) -> None:
    """Let `revise` change the rows of a cache file, and rewrite the file.

    Raises:
        DatasetError: the file cannot be written.
    """
    with _locked(path):
        rows = read_pose_cache(path)
        revise(rows)
        _replace(path, _format_rows(rows))


def _format_rows(rows: Mapping[str, CachedPose]) -> str:
    cells = ([*pose_cells(name, row.pose), row.content] for name, row in rows.items())
    return format_csv([_COLUMNS, *cells])


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file, open for appending, locked against changes by other processes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with path.open("a+b") as file:
                lock_open_file(file)
                # Another process may have replaced the file while this one waited for the lock.
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    yield file
                    return
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror}).") from None


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _end_of_lines(file: BinaryIO) -> int:
    """The offset after the last complete line."""
    start = max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE)
    file.seek(start)
    return start + _last_end(file.read())


def _whole_lines(data: bytes) -> bytes:
    """A file without a last line that was cut short; one in UTF-16 was saved whole elsewhere."""
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data if is_wide else data[: _last_end(data)]


def _last_end(data: bytes) -> int:
    """The offset after the last end of a line."""
    return max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
