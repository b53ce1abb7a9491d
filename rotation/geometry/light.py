"""The light on a head, and how a turn changes the shading.

The lamp stays where it is while the head turns. The logarithm of a pixel's brightness is modelled
as that of the skin's own colour plus b . n, with n the surface's normal. After a turn by R the
brightness changes by the factor exp(b . (R n - n)).

A face's colours are about symmetric, so the part of b across the face follows from the differences
between mirrored points. The part along the view does not: a cheek may be darker at its rim by its
colour too. It is taken as `FRONTAL`, since most faces are lit from the camera's side. With this
value the halves of turned faces differ by yaw nearly as those of photographs do
(`benchmarks/light_by_yaw.py`).
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
FRONTAL = 0.35  # b towards the camera
_RIDGE = (0.5, 0.5, 20.0)  # how strongly each direction is pulled to (0, 0, FRONTAL)
_ROUNDS = 10  # of reweighting
_OUTLIER = 0.15  # differences that fit worse than this count less: hair, shadows, glasses
_STRONGEST = 1.5
_FACTORS = (0.4, 2.2)  # bounds of the change


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
    ridge, usual = np.diag(_RIDGE), np.array([0, 0, FRONTAL])
    light, weight = usual, np.ones(len(pairs))
    for _ in range(_ROUNDS):
        weighted = step * weight[:, None]
        light = np.linalg.solve(weighted.T @ step + ridge, weighted.T @ change + ridge @ usual)
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
    x, z = normals[..., 0], normals[..., 2]
    across = x * np.cos(angle) + z * np.sin(angle) - x
    ahead = z * np.cos(angle) - x * np.sin(angle) - z
    return np.exp(light[0] * across + light[2] * ahead).clip(*_FACTORS).astype(np.float32)


def change_of_mirror_image(light: Floats, normals: Floats, across: NDArray[np.float64]) -> Floats:
    """The factor (H, W) by which each pixel's mirror image on the other half is brighter than it.

    Parameters:
        light: b, (3,).
        normals: (H, W, 3), of the pixels themselves.
        across: (3,), the unit normal of the face's plane of symmetry.
    """
    change = -2 * (normals @ across) * float(light @ across)
    return np.exp(change).clip(*_FACTORS).astype(np.float32)


def _pixels(points: NDArray[np.float64], shape: Sequence[int]) -> tuple[NDArray[np.intp], ...]:
    """Rows and columns of the pixels that points (N, 3) lie in."""
    return tuple(
        np.clip(points[:, axis], 0, shape[1 - axis] - 1).astype(np.intp) for axis in (1, 0)
    )
