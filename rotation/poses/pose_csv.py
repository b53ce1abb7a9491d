"""`poses.csv`: its columns, reader and writer."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from rotation.data.csv_rows import CsvError, read_records
from rotation.data.labels_csv import format_csv, guard_formula, unguard_formula
from rotation.errors import DatasetError
from rotation.poses.estimation import PoseRow, Poses
from rotation.reading import read_bytes

POSE_COLUMNS = ("filename", "yaw_deg", "pitch_deg", "roll_deg", "confidence")


def read_poses(path: Path) -> dict[str, PoseRow]:
    """The poses of a `poses.csv` by filename.

    The columns `filename` and `yaw_deg` are needed. Pitch and roll default to 0 and the confidence
    to 1. An empty yaw means that no face was found. Other columns are ignored.

    Raises:
        DatasetError: the file cannot be read, a value is wrong, or a filename is repeated. The
            message names file and line.
    """
    poses: dict[str, PoseRow] = {}
    for name, cells, where in parse_rows(path, read_text(path)):
        if name in poses:
            raise DatasetError(f"{where}: {name!r} stands there already.")
        poses[name] = parse_pose(cells, where)
    return poses


def format_poses(names: Iterable[str], poses: Poses) -> str:
    """The text of a `poses.csv`."""
    rows = zip(names, zip(*poses.columns, strict=True), strict=True)
    return format_csv([POSE_COLUMNS, *(pose_cells(name, pose) for name, pose in rows)])


def read_text(path: Path) -> str:
    """The text of a CSV file in UTF-8; `DatasetError` if it cannot be read."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None


def parse_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, str], str]]:
    """Filename, cells by column, and file and line of each row.

    Raises:
        DatasetError: the text is no CSV, a column is missing, has no name or stands there twice,
            or a filename is empty.
    """
    try:
        for line, cells in read_records(io.StringIO(text, newline=""), ("filename", "yaw_deg")):
            where = f"{path}, line {line}"
            name = unguard_formula(cells.get("filename", ""))
            if not name:
                raise DatasetError(f"{where}: the filename is empty.")
            yield name, cells, where
    except CsvError as fault:
        raise DatasetError(f"{path}, {fault}.") from None


def parse_pose(cells: Mapping[str, str], where: str) -> PoseRow:
    """The pose in the cells of a row; `DatasetError`, beginning with `where`, for a wrong value."""
    if not cells.get("yaw_deg"):
        return (np.nan, np.nan, np.nan, 0.0)
    yaw, pitch, roll, confidence = (
        _number(cells, name, usual, where)
        for name, usual in zip(POSE_COLUMNS[1:], (0.0, 0.0, 0.0, 1.0), strict=True)
    )
    if any(not abs(angle) <= 180 for angle in (yaw, pitch, roll)) or not 0 <= confidence <= 1:
        raise DatasetError(f"{where}: angles must be within +-180 degrees, confidence in [0, 1].")
    return (yaw, pitch, roll, confidence)


def _number(cells: Mapping[str, str], name: str, usual: float, where: str) -> float:
    """The number in the column `name`; `usual` if the cell is empty or missing."""
    text = cells.get(name)
    try:
        return float(text) if text else usual
    except ValueError:
        raise DatasetError(
            f"{where}, column {name!r}: {text!r} is no number. Give one, or leave the cell empty."
        ) from None


def pose_cells(name: str, pose: PoseRow) -> list[str]:
    """The cells of a row in the order of `POSE_COLUMNS`."""
    *angles, confidence = pose
    degrees = ("" if np.isnan(angle) else f"{angle:.3f}" for angle in angles)
    return [guard_formula(name), *degrees, f"{confidence:.4f}"]
