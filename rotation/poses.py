"""Yaw, pitch and roll of a head from five landmarks.

Landmarks are (N, 5, 2) in pixels, x right and y down: the eye at the left of the picture, the eye
at the right, the nose tip, the left and the right corner of the mouth. Only differences and their
ratios count, so any scale and place of the picture will do.

Angles are degrees: yaw > 0 looks towards the viewer's right, pitch > 0 up, roll > 0 clockwise as
seen; the rotation is Rz(roll) Ry(yaw) Rx(pitch) in axes x right, y up, z towards the viewer.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from rotation.errors import DatasetError

Floats = NDArray[np.float64]

MEAN_FACE: Floats = np.array(
    [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, -1.22, 1.15], [-0.87, -2.12, 0.0], [0.87, -2.12, 0.0]]
)
"""A mean face in half eye distances (about 31 mm): x right, y up, z towards the viewer.

Across and down it is the mean of aligned CelebA (eyes 38 px apart, nose 23 px and mouth 40 px
below them). The depths, within the range of adult faces, leave little residual on MTCNN's landmarks
of CelebA and little error in yaw on synthetic heads: the nose tip about 36 mm before the eyes, the
corners of the mouth level with them. So the error on synthetic heads is no independent test of it.
"""
MIRROR_ORDER = (1, 0, 2, 4, 3)
POSE_COLUMNS = ("filename", "yaw_deg", "pitch_deg", "roll_deg", "confidence")
LIMIT_DEG = 89.0
_ITERATIONS = 12
_DAMPING = 1e-3
_LONGEST_LINE = 1 << 16  # bytes
_RESIDUAL_SCALE = 0.15  # half eye distances; a residual of this size halves the confidence


@dataclass(frozen=True)
class Poses:
    """Angles (N,) in degrees and confidence (N,) in [0, 1]; without a face NaN and 0."""

    yaw_deg: Floats
    pitch_deg: Floats
    roll_deg: Floats
    confidence: Floats

    def __len__(self) -> int:
        return len(self.yaw_deg)

    @property
    def columns(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Yaw, pitch, roll and confidence."""
        return self.yaw_deg, self.pitch_deg, self.roll_deg, self.confidence


def mirror_landmarks(points: Floats) -> Floats:
    """The landmarks (N, 5, 2) of the mirrored picture, about x = 0."""
    return points[:, MIRROR_ORDER, :] * np.array([-1.0, 1.0])


def estimate_poses(landmarks: NDArray[np.floating]) -> Poses:
    """Fit a turned mean face to landmarks under weak perspective.

        p_k = s (R X_k)_xy + t,   least squares over R, s, t by damped Gauss-Newton

    Exactly antisymmetric: each estimate is half the difference (for pitch half the sum) of the
    fits of the landmarks and of their mirror image, so a mirror negates yaw and roll to the last
    bit. The confidence falls with the residual r in half eye distances: 1 / (1 + (r / 0.15)^2).

    Parameters: landmarks (N, 5, 2), pixels; rows with NaN give confidence 0.
    Raises `DatasetError` for another shape.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.ndim != 3 or points.shape[1:] != (5, 2):
        raise DatasetError(f"Landmarks must have the shape (N, 5, 2), not {points.shape}.")
    seen, residual = _fit(points)
    flipped, residual_flipped = _fit(mirror_landmarks(points))
    yaw, pitch, roll = (seen + flipped * np.array([-1.0, 1.0, -1.0])).T / 2
    error = (residual + residual_flipped) / 2
    confidence = np.nan_to_num(1.0 / (1.0 + (error / _RESIDUAL_SCALE) ** 2), nan=0.0)
    return Poses(yaw, pitch, roll, confidence)


def _fit(points: Floats) -> tuple[Floats, Floats]:
    """Angles (N, 3) in degrees and root mean square residual (N,) in units of the face."""
    upright = points * np.array([1.0, -1.0])
    centred = upright - upright.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(centred).sum(axis=(1, 2), keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        target = centred / spread
    usable = np.isfinite(target).all(axis=(1, 2))
    angles = np.full((len(points), 3), np.nan)
    residual = np.full(len(points), np.nan)
    angles[usable], residual[usable] = _gauss_newton(target[usable])
    return np.rad2deg(angles), residual


def _gauss_newton(target: Floats) -> tuple[Floats, Floats]:
    """Angles (N, 3) in radians for centred targets (N, 5, 2); the scale is solved in closed form.

    With the face centred, t vanishes and the best s is <q, p> / <q, q>: three unknowns are left.
    """
    eyes = target[:, 1] - target[:, 0]
    angles = np.zeros((len(target), 3))
    angles[:, 2] = np.arctan2(-eyes[:, 1], eyes[:, 0])
    limit = np.deg2rad([LIMIT_DEG, LIMIT_DEG, np.inf])
    for _ in range(_ITERATIONS):
        residual = _residuals(angles, target)
        jacobian = _jacobian(angles, target)
        normal = np.einsum("nij,nik->njk", jacobian, jacobian) + _DAMPING * np.eye(3)
        gradient = np.einsum("nij,ni->nj", jacobian, residual)
        step = np.linalg.solve(normal, gradient[..., None])[..., 0]
        angles = np.clip(angles - np.clip(step, -0.5, 0.5), -limit, limit)
    scale = _project(angles)[1]
    error = np.sqrt(np.square(_residuals(angles, target)).mean(axis=1) * 2) / scale
    return angles, error


def _residuals(angles: Floats, target: Floats) -> Floats:
    """(N, 10): the face turned by `angles` (N, 3) and scaled to fit, less the target."""
    turned, _ = _project(angles)
    scale = (turned * target).sum(axis=(1, 2)) / np.square(turned).sum(axis=(1, 2))
    return (turned * scale[:, None, None] - target).reshape(len(target), 10)


def _project(angles: Floats) -> tuple[Floats, Floats]:
    """The turned mean face (N, 5, 2), and the factor (N,) that scales it to spread 1."""
    face = MEAN_FACE - MEAN_FACE.mean(axis=0)
    turned = np.einsum("nij,kj->nki", rotation_matrices(angles)[:, :2], face)
    return turned, 1.0 / np.sqrt(np.square(turned).sum(axis=(1, 2)))


def _jacobian(angles: Floats, target: Floats, step: float = 1e-5) -> Floats:
    """(N, 10, 3) by central differences: exact enough, and no formula to get wrong."""
    columns = []
    for axis in np.eye(3) * step:
        ahead, behind = _residuals(angles + axis, target), _residuals(angles - axis, target)
        columns.append((ahead - behind) / (2 * step))
    return np.stack(columns, axis=2)


def rotation_matrices(angles: Floats) -> Floats:
    """Rz(roll) Ry(yaw) Rx(pitch), (N, 3, 3), of (N, 3) yaw, pitch, roll in radians."""
    yaw, pitch, roll = np.asarray(angles, dtype=np.float64).T
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    about_x = np.array([[one, zero, zero], [zero, cp, sp], [zero, -sp, cp]])
    about_y = np.array([[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]])
    about_z = np.array([[cr, sr, zero], [-sr, cr, zero], [zero, zero, one]])
    return np.einsum("ijn,jkn,kln->nil", about_z, about_y, about_x)


def read_poses(path: Path, resume: bool = False) -> dict[str, tuple[float, float, float, float]]:
    """Filename -> (yaw, pitch, roll, confidence) of a `poses.csv`.

    `filename` and `yaw_deg` are needed; pitch and roll default to 0 and confidence to 1. An empty
    yaw means that no face was found. `resume` reads what `append_poses` has written: a last line
    that a crash cut short is passed over; of a name that two runs measured the later row counts.

    Raises `DatasetError` with file and line.
    """
    poses: dict[str, tuple[float, float, float, float]] = {}
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if resume:
            text = text[: text.rfind("\n") + 1] or ",".join(POSE_COLUMNS)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = {"filename", "yaw_deg"} - set(reader.fieldnames or ())
        if missing:
            raise DatasetError(f"{path}, line 1: the column {min(missing)!r} is missing.")
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            name = row["filename"] or ""
            if not name or (name in poses and not resume):
                raise DatasetError(f"{where}: {name!r} is empty or stands there already.")
            poses[name] = _parse_pose(row, where)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: not a CSV file in UTF-8 ({error}).") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    return poses


def _parse_pose(row: Mapping[str, str | None], where: str) -> tuple[float, float, float, float]:
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


def append_poses(path: Path, names: Iterable[str], poses: Poses) -> None:
    """Add rows to a `poses.csv`, making it with its header where it is not there yet.

    On return they are on the disk. A last line that a crash cut short is written over; processes
    that add to one file wait for each other. Raises `DatasetError` where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = _end_of_lines(file)
            file.truncate(end)
            header, rows = poses_csv(names, poses).split("\n", 1)
            file.write((rows if end else f"{header}\n{rows}").encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror}).") from None


def poses_csv(names: Iterable[str], poses: Poses) -> str:
    """The text of a `poses.csv`."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(POSE_COLUMNS)
    for name, yaw, pitch, roll, confidence in zip(names, *poses.columns, strict=True):
        angles = ["" if np.isnan(a) else f"{a:.3f}" for a in (yaw, pitch, roll)]
        writer.writerow([name, *angles, f"{confidence:.4f}"])
    return text.getvalue()


def _end_of_lines(file: BinaryIO) -> int:
    """The offset behind the last line that is whole."""
    start = max(0, file.seek(0, os.SEEK_END) - _LONGEST_LINE)
    file.seek(start)
    return start + file.read().rfind(b"\n") + 1
