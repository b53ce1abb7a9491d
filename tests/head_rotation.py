"""Rotations of a head in space, to make landmarks whose pose is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
