"""Two judges of yaw that the engine's geometry does not use: dlib's 68 points, and MTCNN's five.

Both see standard crops, and read each one and its mirror image. Points are brought to one size,
place and roll; a ridge regression on the part of them that a mirror negates gives the sine of the
yaw. So a mirrored picture has exactly the negated yaw, and a symmetric face has none.

The regressions are fitted to photographs of people who are not judged. Their target is the yaw by
MediaPipe's mesh. So a judge shares the scale of the mesh, but not its errors in single pictures. On
rendered heads, whose yaws are known, the scale itself is checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rotation.data.crop import Pixels
from rotation.poses.mtcnn import LandmarkDetector

Floats = NDArray[np.float64]
SIDE = 256
"""Side of the crops that the judges see."""
MIRRORED_68 = np.array(
    [
        *range(16, -1, -1),  # jaw
        *range(26, 16, -1),  # brows
        *range(27, 31),  # ridge of the nose
        *range(35, 30, -1),  # its base
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),  # lips, outside
        *(64, 63, 62, 61, 60, 67, 66, 65),  # lips, inside
    ]
)
MIRRORED_5 = np.array([1, 0, 2, 4, 3])
EYES = {68: (list(range(36, 42)), list(range(42, 48))), 5: ([0], [1])}
RIDGES = {68: 3e-3, 5: 1e-3}
STEEPEST_DEG = 60.0  # no face is read as turned further


@dataclass(frozen=True)
class Calibration:
    """Weights (2 P,) of the mirror-odd coordinates of P points; see `odd_part`."""

    weights: Floats

    def yaw_deg(self, points: Floats) -> Floats:
        """Yaws (N,) of faces with points (N, P, 2)."""
        sine = odd_part(points) @ self.weights
        steepest = np.sin(np.radians(STEEPEST_DEG))
        return np.degrees(np.arcsin(np.clip(sine, -steepest, steepest)))


def fit_calibration(points: Floats, yaw_deg: Floats, rounds: int = 3) -> Calibration:
    """Fit points (N, P, 2) to yaws (N,); pictures that fit badly lose weight."""
    odd, target = odd_part(points), np.sin(np.radians(yaw_deg))
    ridge = RIDGES[points.shape[1]] * np.eye(odd.shape[1])
    share = np.ones(len(odd))
    for _ in range(rounds):
        weighted = odd * share[:, None]
        weights = np.linalg.solve(
            weighted.T @ odd / len(odd) + ridge, weighted.T @ target / len(odd)
        )
        miss = np.abs(odd @ weights - target)
        share = 1 / (1 + np.square(miss / (3 * np.median(miss) + 1e-9)))
    fitted = odd @ weights
    # A ridge draws yaws towards the front; one factor gives them their size again.
    return Calibration(weights * float((share * target) @ target / ((share * fitted) @ target)))


def odd_part(points: Floats) -> Floats:
    """What a mirror negates of the shape of faces with points (N, P, 2): (N, 2 P)."""
    shapes = _normalise(points)
    order = MIRRORED_68 if points.shape[1] == 68 else MIRRORED_5
    mirrored = shapes[:, order] * np.array([-1.0, 1.0])
    return ((shapes - mirrored) / 2).reshape(len(points), -1)


def _normalise(points: Floats) -> Floats:
    """About the middle of the eyes, level eyes, root mean square distance 1."""
    left, right = (points[:, rows].mean(axis=1) for rows in EYES[points.shape[1]])
    along = right - left
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    centred = points - ((left + right) / 2)[:, None]
    level = np.stack(
        [(centred * along[:, None]).sum(axis=2), (centred * across[:, None]).sum(axis=2)], axis=2
    )
    # Heights alone set the size: widths shrink as a head turns.
    size = np.sqrt(np.square(level[..., 1]).mean(axis=1))
    return level / size[:, None, None]


def read_points(crops: Pixels, judges: Sequence[str] = ("68 points", "MTCNN")) -> dict[str, Floats]:
    """Points of standard crops (N, S, S, 3) by judge, in pixels of crops of 256 a side."""
    readers = {"68 points": _points_68, "MTCNN": _points_5}
    return {name: readers[name](crops) for name in judges}


def _points_5(crops: Pixels) -> Floats:
    points, _ = LandmarkDetector().detect_crops(_large(crops))
    return points


def _points_68(crops: Pixels) -> Floats:
    return np.stack([_mirror_averaged(crop) for crop in _large(crops)])


def _mirror_averaged(crop: Pixels) -> Floats:
    seen = _look(crop)
    mirrored = _look(np.ascontiguousarray(crop[:, ::-1]))[MIRRORED_68]
    return (seen + (mirrored * (-1, 1) + (SIDE - 1, 0))) / 2


def _look(crop: Pixels) -> Floats:
    """The points in the detected face, or in the usual box where none is found in a bad frame."""
    import dlib  # late: needs `make judge`
    from _face_judge import USUAL_BOX, detect, person_models

    shape = person_models()[0](crop, dlib.rectangle(*(detect(crop) or USUAL_BOX)))
    return np.array([(shape.part(k).x, shape.part(k).y) for k in range(68)], dtype=np.float64)


def _large(crops: Pixels) -> Pixels:
    if crops.shape[1] == SIDE:
        return crops
    return np.stack(
        [
            np.asarray(Image.fromarray(c).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            for c in crops
        ]
    )


@dataclass(frozen=True)
class YawJudges:
    """Both judges with their calibrations."""

    calibrations: dict[str, Calibration]

    def read(self, crops: Pixels) -> dict[str, Floats]:
        """Yaws (N,) by each judge of standard crops (N, S, S, 3); > 0 to the viewer's right."""
        points = read_points(crops)
        return {name: fit.yaw_deg(points[name]) for name, fit in self.calibrations.items()}

    def save(self, path: Path) -> None:
        """As JSON."""
        path.write_text(
            json.dumps({k: v.weights.tolist() for k, v in self.calibrations.items()}), "utf-8"
        )

    @classmethod
    def load(cls, path: Path) -> YawJudges:
        """What `save` wrote."""
        weights = json.loads(path.read_text("utf-8"))
        return cls({name: Calibration(np.array(found)) for name, found in weights.items()})


def calibrate(crops: Pixels, yaw_deg: Floats) -> YawJudges:
    """Fit both judges to crops (N, S, S, 3) of known yaw."""
    points = read_points(crops)
    return YawJudges({name: fit_calibration(found, yaw_deg) for name, found in points.items()})
