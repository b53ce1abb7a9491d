"""`poses.csv`: read, written, and added to while poses are measured."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from rotation.data.labels_csv import format_csv, guard_formula, unguard_formula
from rotation.errors import DatasetError
from rotation.poses.estimation import Poses, Row

POSE_COLUMNS = ("filename", "yaw_deg", "pitch_deg", "roll_deg", "confidence")
CONTENT_COLUMN = "content"
_MEASURED_COLUMNS = (*POSE_COLUMNS, CONTENT_COLUMN)
_LONGEST_LINE = 1 << 16  # bytes


class Measured(NamedTuple):
    """A pose and the fingerprint of the image it was measured on; '' where that is not known."""

    pose: Row
    content: str


def read_poses(path: Path) -> dict[str, Row]:
    """Filename -> (yaw, pitch, roll, confidence) of a `poses.csv`.

    `filename` and `yaw_deg` are needed; pitch and roll default to 0 and confidence to 1. An empty
    yaw means that no face was found. Other columns are passed over.

    Raises `DatasetError` with file and line.
    """
    poses: dict[str, Row] = {}
    for name, measured, where in _read_rows(path, _read_text(path)):
        if name in poses:
            raise DatasetError(f"{where}: {name!r} stands there already.")
        poses[name] = measured.pose
    return poses


def read_measured(path: Path) -> dict[str, Measured]:
    """Filename -> what `append_measured` has written; nothing where there is no file.

    A last line that a crash cut short is passed over. Of a name that two runs measured the later
    row counts. Files of before the column `content` are read too. Errors as in `read_poses`.
    """
    if not path.exists():
        return {}
    text = _read_text(path)
    whole = text[: text.rfind("\n") + 1] or ",".join(_MEASURED_COLUMNS)
    return {name: measured for name, measured, _ in _read_rows(path, whole)}


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None


def _read_rows(path: Path, text: str) -> Iterator[tuple[str, Measured, str]]:
    """Filename, what was measured, and the place of each row."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        missing = {"filename", "yaw_deg"} - set(reader.fieldnames or ())
        if missing:
            raise DatasetError(f"{path}, line 1: the column {min(missing)!r} is missing.")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            name = unguard_formula(row["filename"] or "")
            if not name:
                raise DatasetError(f"{where}: the filename is empty.")
            yield name, Measured(_parse_pose(row, where), row.get(CONTENT_COLUMN) or ""), where
    except csv.Error as error:
        raise DatasetError(f"{path}: not a CSV file ({error}).") from None


def _parse_pose(row: Mapping[str, str | None], where: str) -> Row:
    if not row["yaw_deg"]:
        return (np.nan, np.nan, np.nan, 0.0)
    try:
        yaw = float(row["yaw_deg"])
        pitch, roll = (float(row.get(name) or 0) for name in ("pitch_deg", "roll_deg"))
        confidence = float(row.get("confidence") or 1)
    except ValueError as error:
        raise DatasetError(f"{where}: {error}.") from None
    sane = all(abs(angle) <= 180 for angle in (yaw, pitch, roll)) and 0 <= confidence <= 1
    if not sane:
        raise DatasetError(f"{where}: angles must be within +-180 degrees, confidence in [0, 1].")
    return (yaw, pitch, roll, confidence)


def append_measured(path: Path, rows: Mapping[str, Measured]) -> None:
    """Add rows to a `poses.csv`, making it with its header where it is not there yet.

    On return they are on the disk. A last line that a crash cut short is written over; processes
    that add to one file wait for each other. Raises `DatasetError` where it cannot be written.
    """
    with _locked(path) as file:
        header, text = _measured_csv(rows).split("\n", 1)
        end = _end_of_lines(file)
        file.truncate(end)
        file.seek(0)
        if end and file.readline().decode("utf-8-sig").rstrip() != header:
            # A file of before the column `content`: under its header the rows would not fit.
            _replace(path, _measured_csv({**read_measured(path), **rows}))
            return
        file.write((text if end else f"{header}\n{text}").encode())
        file.flush()
        os.fsync(file.fileno())


def revise_measured(path: Path, revise: Callable[[dict[str, Measured]], None]) -> None:
    """Have `revise` change the rows of a file of `append_measured`, and put the file in its place.

    Processes wait for each other; errors as in `append_measured`.
    """
    with _locked(path):
        rows = read_measured(path)
        revise(rows)
        _replace(path, _measured_csv(rows))


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file, open to add to, while no other process changes it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # Another process may have put a new file in its place while this one waited.
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


def poses_csv(names: Iterable[str], poses: Poses) -> str:
    """The text of a `poses.csv`."""
    rows = zip(names, zip(*poses.columns, strict=True), strict=True)
    return format_csv([POSE_COLUMNS, *(_pose_row(name, pose) for name, pose in rows)])


def _measured_csv(rows: Mapping[str, Measured]) -> str:
    measured = ([*_pose_row(name, row.pose), row.content] for name, row in rows.items())
    return format_csv([_MEASURED_COLUMNS, *measured])


def _pose_row(name: str, pose: Row) -> list[str]:
    return [guard_formula(name), *_pose_fields(pose)]


def _pose_fields(pose: Row) -> list[str]:
    *angles, confidence = pose
    return [*("" if np.isnan(angle) else f"{angle:.3f}" for angle in angles), f"{confidence:.4f}"]


def _end_of_lines(file: BinaryIO) -> int:
    """The offset behind the last line that is whole."""
    start = max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE)
    file.seek(start)
    return start + file.read().rfind(b"\n") + 1
