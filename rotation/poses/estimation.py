"""Yaw, pitch and roll of a head from five landmarks.

Landmarks are (N, 5, 2) in pixels, x right and y down: the eye at the left of the picture, the eye
at the right, the nose tip, the left and the right corner of the mouth. Only differences and their
ratios count, so any scale and place of the picture will do.

Angles are degrees: yaw > 0 looks towards the viewer's right, pitch > 0 up, roll > 0 clockwise as
seen; the rotation is Rz(roll) Ry(yaw) Rx(pitch) in axes x right, y up, z towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

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
LIMIT_DEG = 89.0
_PLAIN_ITERATIONS = 6
_ITERATIONS = 14
_DAMPING = 1e-3
_BATCH = 1024  # faces fitted together: as many as stay in the processor's cache
_RESIDUAL_SCALE = 0.15  # half eye distances; a residual of this size halves the confidence
_OUTLIER_SCALE = 0.2  # half eye distances; a landmark so far off counts half


Row = tuple[float, float, float, float]
"""Yaw, pitch and roll in degrees, confidence in [0, 1]; without a face NaN and 0."""


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

        p_k = s (R X_k)_xy + t,   Cauchy loss over R, s, t by damped, reweighted Gauss-Newton

    One landmark far off, as beneath hair or sunglasses, hardly pulls the others along; where it is
    the nose, nothing else says the yaw, and only the confidence tells.

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
    # One layout in memory: sums over another are rounded in another order, and mirrors would tell.
    upright = np.ascontiguousarray(points * np.array([1.0, -1.0]))
    centred = upright - upright.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(centred).sum(axis=(1, 2), keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        target = centred / spread
    usable = np.isfinite(target).all(axis=(1, 2))
    angles = np.full((len(points), 3), np.nan)
    residual = np.full(len(points), np.nan)
    rows = np.flatnonzero(usable)
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        angles[part], residual[part] = _gauss_newton(target[part])
    return np.rad2deg(angles), residual


def _gauss_newton(target: Floats) -> tuple[Floats, Floats]:
    """Angles (N, 3) in radians for targets (N, 5, 2) of spread 1, and the residual (N,).

    Plain least squares first, since weights say nothing before the fit is near; then each
    landmark counts by 1 / (1 + (r / c)^2), the weight of the Cauchy loss, anew at each step.
    """
    eyes = target[:, 1] - target[:, 0]
    angles = np.zeros((len(target), 3))
    angles[:, 2] = np.arctan2(-eyes[:, 1], eyes[:, 0])
    weights = np.ones(target.shape[:2])
    limit = np.deg2rad([LIMIT_DEG, LIMIT_DEG, np.inf])
    for iteration in range(_ITERATIONS):
        residual, jacobian, scale = _linearise(angles, target, weights)
        if iteration >= _PLAIN_ITERATIONS:
            weights = 1 / (1 + _squares(residual, scale) / _OUTLIER_SCALE**2)
            residual, jacobian, scale = _linearise(angles, target, weights)
        weighted = (jacobian * np.repeat(weights, 2, axis=1)[..., None]).transpose(0, 2, 1)
        normal = weighted @ jacobian + _DAMPING * np.eye(3)
        step = np.linalg.solve(normal, weighted @ residual[..., None])[..., 0]
        angles = np.clip(angles - np.clip(step, -0.5, 0.5), -limit, limit)
    residual, _, scale = _linearise(angles, target, weights)
    return angles, np.sqrt(_squares(residual, scale).mean(axis=1))


def _squares(residual: Floats, scale: Floats) -> Floats:
    """Squared distances (N, 5) of the landmarks from the fit, in units of the face."""
    return np.square(residual.reshape(-1, 5, 2) / scale[:, None, None]).sum(axis=2)


def _linearise(angles: Floats, target: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Residuals (N, 10) of the best placed and scaled face, their Jacobian (N, 10, 3), the scale.

    With face q and target p centred by the weights (N, 5), t vanishes and s = <q, p> / <q, q>:
    three unknowns are left. The Jacobian is that of s q less what the scale would take up.

    Source: L. Kaufman, *A variable projection method for solving separable nonlinear least
    squares problems*, BIT 15, 1975.
    """
    share = (weights / weights.sum(axis=1, keepdims=True))[:, None, :, None]
    turned = _turn_face(angles)
    turned -= (share * turned).sum(axis=2, keepdims=True)
    centred = target - (share[:, 0] * target).sum(axis=1, keepdims=True)
    face, ways = turned[:, 0], turned[:, 1:]
    weighted = share[:, 0] * face
    size = (weighted * face).sum(axis=(1, 2))
    scale = (weighted * centred).sum(axis=(1, 2)) / size
    along = np.einsum("nki,ndki->nd", weighted, ways) / size[:, None]
    ways = scale[:, None, None, None] * (ways - along[..., None, None] * face[:, None])
    residual = scale[:, None, None] * face - centred
    return residual.reshape(-1, 10), ways.reshape(-1, 3, 10).transpose(0, 2, 1), scale


def _turn_face(angles: Floats) -> Floats:
    """x and y of the turned mean face and their derivatives by yaw, pitch and roll, (N, 4, 5, 2).

    The first two rows of Ry(yaw) Rx(pitch) and of its derivatives, then the roll in the plane.
    """
    yaw, pitch, roll = angles.T
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr, zero = np.cos(roll), np.sin(roll), np.zeros_like(yaw)
    rows = np.array(
        [
            [[cy, -sy * sp, sy * cp], [zero, cp, sp]],
            [[-sy, -cy * sp, cy * cp], [zero, zero, zero]],
            [[zero, -sy * cp, -sy * sp], [zero, -sp, cp]],
        ]
    )
    upright = np.moveaxis(rows, -1, 0) @ MEAN_FACE.T
    x, y = upright[:, :, 0], upright[:, :, 1]
    cr, sr = cr[:, None, None], sr[:, None, None]
    turned = np.stack([cr * x + sr * y, cr * y - sr * x], axis=3)
    by_roll = turned[:, :1, :, ::-1] * np.array([1.0, -1.0])
    return np.concatenate([turned, by_roll], axis=1)
