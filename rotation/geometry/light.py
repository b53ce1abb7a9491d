"""The light on a head, and how a turn changes the shading.

The lamp stays where it is while the head turns. The logarithm of a pixel's brightness is modelled
as that of the skin's own colour plus b . n, with n the surface's normal. A face's colours are about
symmetric, so b follows from the differences between mirrored points of the face. After a turn by R
the brightness changes by the factor exp(b . (R n - n) / 2). Only half of the change is applied:
ambient light and shadows of hair make the lamp seem stronger than it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rotation.faces.face_mesh import FaceMesh
from rotation.geometry.layers import Floats

_SMOOTH = 0.05  # face widths over which depth and brightness are averaged
_DARK = 0.03  # of 1: brightness below it says nothing
_RIDGE = 0.5  # pulls directions that the differences do not show to zero
_ROUNDS = 10  # of reweighting
_OUTLIER = 0.15  # differences that fit worse than this count less: hair, shadows, glasses
_STRONGEST = 1.5
_FACTORS = (0.6, 1.6)  # bounds of the change
_SHARE = 0.5  # of the change that is applied


def surface_normals(depth: Floats, scale: float) -> Floats:
    """The unit normals (H, W, 3) of a depth map, averaged over a share of the scale in pixels.

    x points to the viewer's right, y down, z to the camera.
    """
    down, right = np.gradient(ndimage.gaussian_filter(depth, _SMOOTH * scale))
    normals = np.stack([-right, -down, np.ones_like(depth)], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return normals.astype(np.float32)


def estimate_light(photograph: Floats, mesh: FaceMesh, normals: Floats, scale: float) -> Floats:
    """The light vector b (3,) of a face: where it comes from, and how much it matters.

    Parameters:
        photograph: (H, W, 3), 0 to 1.
        mesh: the face's mesh.
        normals: (H, W, 3).
        scale: the face's width in pixels.
    """
    grey = ndimage.gaussian_filter(photograph.mean(axis=2), 0.4 * _SMOOTH * scale)
    rows, columns = _pixels(mesh.points, grey.shape)
    brightness, normal = np.log(np.maximum(grey[rows, columns], _DARK)), normals[rows, columns]
    partner = mesh.partners
    pairs = np.flatnonzero(partner > np.arange(len(partner)))
    step = normal[pairs] - normal[partner[pairs]]
    change = brightness[pairs] - brightness[partner[pairs]]
    light, weight = np.zeros(3), np.ones(len(pairs))
    for _ in range(_ROUNDS):
        weighted = step * weight[:, None]
        light = np.linalg.solve(weighted.T @ step + _RIDGE * np.eye(3), weighted.T @ change)
        weight = 1 / (1 + np.square((change - step @ light) / _OUTLIER))
    strength = float(np.linalg.norm(light))
    return (light * min(1.0, _STRONGEST / max(strength, 1e-9))).astype(np.float32)


def shading_change(light: Floats, normals: Floats, turn: Floats, angle_deg: float) -> Floats:
    """The factor (H, W) by which a turn changes the brightness of each pixel of the source.

    Parameters:
        light: b, (3,).
        normals: (H, W, 3), before the turn.
        turn: (H, W), the share of the angle by which each pixel turns.
        angle_deg: positive towards the viewer's right.
    """
    angle = turn * math.radians(angle_deg)
    light = _SHARE * light
    x, z = normals[..., 0], normals[..., 2]
    across = x * np.cos(angle) + z * np.sin(angle) - x
    ahead = z * np.cos(angle) - x * np.sin(angle) - z
    return np.exp(light[0] * across + light[2] * ahead).clip(*_FACTORS).astype(np.float32)


def _pixels(points: NDArray[np.float64], shape: Sequence[int]) -> tuple[NDArray[np.intp], ...]:
    """Rows and columns of the pixels that points (N, 3) lie in."""
    return tuple(
        np.clip(points[:, axis], 0, shape[1 - axis] - 1).astype(np.intp) for axis in (1, 0)
    )
