"""Pose and camera: from a head's own coordinates to pixels.

The camera is fixed. The head turns about a point between its centre and its face. So the eyes stay
near the same place, as in aligned photographs, and the rotation is still visible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.synthetic_heads.fields import Floats
from rotation.synthetic_heads.parameters import Scene

PIVOT = np.array([[0.0], [-0.10], [0.32]], np.float32)
DISTANCE = 12.0
AIM_Y = -0.20
# Pixels per decimetre in the 64-pixel face crop: eyes 18 pixels apart.
CROP_SCALE = 28.5


@dataclass(frozen=True, slots=True)
class View:
    """An image of ``width`` x ``height`` pixels; the optical axis at (``axis_x``, ``axis_y``)."""

    width: int
    height: int
    axis_x: float
    axis_y: float
    scale: float

    def enlarged(self, factor: int) -> View:
        """The same view with ``factor`` times as many pixels each way."""
        return View(
            self.width * factor,
            self.height * factor,
            self.axis_x * factor,
            self.axis_y * factor,
            self.scale * factor,
        )


def square_view(size: int) -> View:
    """The face crop at ``size`` x ``size`` pixels."""
    return View(size, size, size / 2, size / 2, CROP_SCALE * size / 64)


# CelebA's aligned images. Their standard crop (24, 56, 152, 184) is square_view(128).
CELEBA_VIEW = View(178, 218, 88.0, 120.0, CROP_SCALE * 2)


def rotation_matrix(scene: Scene) -> NDArray[np.float32]:
    """Rz(roll) Ry(yaw) Rx(pitch): the nose points to azimuth yaw and elevation pitch."""
    yaw, pitch, roll = np.deg2rad([scene.yaw_deg, scene.pitch_deg, scene.roll_deg])
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x).astype(np.float32)


def turn(vectors: Floats, matrix: NDArray[np.float32]) -> Floats:
    """Rotate vectors (3, V). Sums are ordered so that a mirrored input gives a mirrored output."""
    x, y, z = vectors
    return np.stack([row[0] * x + row[2] * z + row[1] * y for row in matrix])


def place(points: Floats, matrix: NDArray[np.float32]) -> Floats:
    """Head coordinates to camera coordinates: rotation about the pivot."""
    return turn(points - PIVOT, matrix) + PIVOT


def project(points: Floats, view: View) -> Floats:
    """Camera coordinates (3, V) to pixels x right, y down, and depth towards the viewer."""
    x, y, z = points
    near = np.float32(view.scale * DISTANCE) / (np.float32(DISTANCE) - z)
    across, down = view.axis_x + x * near, view.axis_y - (y - AIM_Y) * near
    return np.stack([across, down, z]).astype(np.float32)
