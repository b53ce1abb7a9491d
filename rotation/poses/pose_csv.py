"""`poses.csv`: its columns, reader and writer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from rotation.data.csv_rows import Cells, read_keyed_file
from rotation.data.formulas import guard_formula
from rotation.data.labels_csv import format_csv
from rotation.poses.estimation import PoseRow, Poses

POSE_COLUMNS = ("filename", "yaw_deg", "pitch_deg", "roll_deg", "confidence")
NO_FACE: PoseRow = (np.nan, np.nan, np.nan, 0.0)
_FINGERPRINT = re.compile(r"\d+-[0-9a-f]{8}|unreadable")  # `ImageSource.fingerprint`


def read_poses(path: Path) -> dict[str, PoseRow]:
    """The poses of a `poses.csv` by filename.

    The columns `filename` and `yaw_deg` are needed. Pitch and roll default to 0 and the confidence
    to 1. An empty yaw means that no face was found. Other columns are ignored, and so
    is the fingerprint of the image where a row of the pose cache was added to the file.

    Raises:
        DatasetError: the file cannot be read, a value is wrong, or a filename has two poses. The
            message names the lines.
    """
    return read_keyed_file(path, ("yaw_deg",), parse_pose, any_name=True, nameless=_FINGERPRINT)


def format_poses(names: Iterable[str], poses: Poses) -> str:
    """The text of a `poses.csv`."""
    rows = zip(names, zip(*poses.columns, strict=True), strict=True)
    return format_csv([POSE_COLUMNS, *(pose_cells(name, pose) for name, pose in rows)])


def parse_pose(cells: Cells) -> PoseRow:
    """The pose in the cells of a row; `CellError` for a wrong value."""
    yaw, pitch, roll = (cells.number(name, -180, 180) for name in POSE_COLUMNS[1:4])
    confidence = cells.number(POSE_COLUMNS[4], 0, 1)
    if yaw is None:
        return NO_FACE
    return (yaw, pitch or 0.0, roll or 0.0, 1.0 if confidence is None else confidence)


def pose_cells(name: str, pose: PoseRow) -> list[str]:
    """The cells of a row in the order of `POSE_COLUMNS`."""
    *angles, confidence = pose
    degrees = ("" if np.isnan(angle) else f"{angle:.3f}" for angle in angles)
    return [guard_formula(name), *degrees, f"{confidence:.4f}"]
