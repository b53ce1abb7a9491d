"""Yaw, pitch and roll of a head from five landmarks.

Landmarks are (N, 5, 2) in pixels, with x to the right and y down. Their order is: the eye at the
left of the image, the eye at the right, the nose tip, the left and the right corner of the mouth.
The estimate does not depend on the scale and position of the face.

Angles are in degrees: yaw > 0 looks towards the viewer's right, pitch > 0 looks up, roll > 0 is
clockwise as seen. The rotation is Rz(roll) Ry(yaw) Rx(pitch), in axes x right, y up and z towards
the viewer.
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
"""The five landmarks (5, 3) of a mean face, in half eye distances (about 31 mm).

The axes are x right, y up and z towards the viewer. x and y are the mean of aligned CelebA: the
eyes are 38 px apart, the nose tip is 23 px and the mouth 40 px below them.

The depths lie within the range of adult faces: the nose tip is about 36 mm in front of the eyes,
and the corners of the mouth are level with them. They were chosen for a small residual on MTCNN's
landmarks of CelebA and a small error in yaw on synthetic heads. So the error on synthetic heads is
no independent test.
"""
MIRROR_ORDER = (1, 0, 2, 4, 3)
"""The order of the landmarks in the mirrored image."""
LIMIT_DEG = 89.0
"""Bound of the absolute yaw and pitch."""
_PLAIN_ITERATIONS = 6
_ITERATIONS = 14
_DAMPING = 1e-3
_BATCH = 1024  # faces fitted together; more do not fit into the processor's cache
_RESIDUAL_SCALE = 0.15  # half eye distances; a residual of this size halves the confidence
_OUTLIER_SCALE = 0.2  # half eye distances; a landmark so far off has half the weight


MIN_CONFIDENCE = 0.2
"""Poses with less confidence mostly come from images without a face. They are not used."""

PoseRow = tuple[float, float, float, float]
"""Yaw, pitch and roll in degrees, and the confidence in [0, 1]; NaN and 0 without a face."""


def trusted_yaw(pose: PoseRow) -> float:
    """The yaw of a pose in degrees; NaN if its confidence is below `MIN_CONFIDENCE`."""
    return pose[0] if pose[3] >= MIN_CONFIDENCE else float("nan")


@dataclass(frozen=True)
class Poses:
    """Angles (N,) in degrees and confidence (N,) in [0, 1]; NaN and 0 without a face."""

    yaw_deg: Floats
    pitch_deg: Floats
    roll_deg: Floats
    confidence: Floats

    def __len__(self) -> int:
        return len(self.yaw_deg)

    @property
    def is_trusted(self) -> NDArray[np.bool_]:
        """Whether each pose is known with a confidence of `MIN_CONFIDENCE` at least (N,)."""
        return np.isfinite(self.yaw_deg) & (self.confidence >= MIN_CONFIDENCE)

    @property
    def columns(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Yaw, pitch, roll and confidence."""
        return self.yaw_deg, self.pitch_deg, self.roll_deg, self.confidence


def mirror_landmarks(points: Floats) -> Floats:
    """The landmarks (N, 5, 2) of the image mirrored about x = 0."""
    return points[:, MIRROR_ORDER, :] * np.array([-1.0, 1.0])


def estimate_poses(landmarks: NDArray[np.floating]) -> Poses:
    """Estimate poses by fitting a rotated mean face to landmarks, under weak perspective.

        p_k = s (R X_k)_xy + t

    A damped, reweighted Gauss-Newton method minimises the Cauchy loss over R, s and t. So a single
    wrong landmark, as under hair or sunglasses, has little influence. A wrong nose tip still gives
    a wrong yaw; then only the confidence is low.

    The landmarks and their mirror image are both fitted. Yaw and roll are half the difference of
    the two fits, pitch is half the sum. So a mirror negates yaw and roll exactly.

    The confidence is 1 / (1 + (r / 0.15)^2), with the residual r in half eye distances.

    Parameters:
        landmarks: (N, 5, 2), pixels. Rows with NaN get NaN angles and confidence 0.

    Raises:
        DatasetError: the landmarks have another shape.
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
    """Angles (N, 3) in degrees and root mean square residual (N,) in half eye distances."""
    # Sums over another memory layout are rounded differently, and mirrors would not be exact.
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
    """Angles (N, 3) in radians and residual (N,) for targets (N, 5, 2), centred and of norm 1.

    The first steps are plain least squares, since weights mean little before the fit is near.
    Then each step weights a landmark by 1 / (1 + (r / c)^2), the weight of the Cauchy loss.
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
    """Squared distances (N, 5) of the landmarks from the fit, in units of the mean face."""
    return np.square(residual.reshape(-1, 5, 2) / scale[:, None, None]).sum(axis=2)


def _linearise(angles: Floats, target: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Residuals (N, 10) at the best scale and position, their Jacobian (N, 10, 3), and the scale.

    Variable projection eliminates s and t. If the face q and the target p are centred by the
    weights (N, 5), t is zero and s = <q, p> / <q, q>. The three angles are left. The Jacobian is
    that of s q, without the part along q, which the scale takes up.

    Source: L. Kaufman, *A variable projection method for solving separable nonlinear least
    squares problems*, BIT 15, 1975.
    """
    share = (weights / weights.sum(axis=1, keepdims=True))[:, None, :, None]
    turned = _rotate_face(angles)
    turned -= (share * turned).sum(axis=2, keepdims=True)
    centred = target - (share[:, 0] * target).sum(axis=1, keepdims=True)
    face, derivatives = turned[:, 0], turned[:, 1:]
    weighted = share[:, 0] * face
    size = (weighted * face).sum(axis=(1, 2))
    scale = (weighted * centred).sum(axis=(1, 2)) / size
    along = np.einsum("nki,ndki->nd", weighted, derivatives) / size[:, None]
    derivatives = scale[:, None, None, None] * (
        derivatives - along[..., None, None] * face[:, None]
    )
    residual = scale[:, None, None] * face - centred
    return residual.reshape(-1, 10), derivatives.reshape(-1, 3, 10).transpose(0, 2, 1), scale


def _rotate_face(angles: Floats) -> Floats:
    """x and y of the rotated mean face and their derivatives by yaw, pitch and roll, (N, 4, 5, 2).

    `rows` has the first two rows of Ry(yaw) Rx(pitch) and of its derivatives by yaw and pitch. The
    roll then rotates in the image plane.
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
