"""Landmarks: the places of facial features in the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rotation.synthetic_heads.camera import View, place, project, rotation_matrix, square_view
from rotation.synthetic_heads.fields import Floats
from rotation.synthetic_heads.paint import mouth_line
from rotation.synthetic_heads.parameters import Head
from rotation.synthetic_heads.shape import face_points, nose_tip_height


def landmarks(heads: Sequence[Head], size: int = 64) -> NDArray[np.float32]:
    """Coordinates (x, y) of left eye, right eye, nose tip, left and right mouth corner, (N, 5, 2).

    Left is the viewer's, as in CelebA. The centre of the first pixel is (0.5, 0.5). Occluded points
    have coordinates too.
    """
    return landmarks_in_view(heads, square_view(size))


def landmarks_in_view(heads: Sequence[Head], view: View) -> NDArray[np.float32]:
    """``landmarks`` in another view, for example ``camera.CELEBA_VIEW``."""
    out = np.empty((len(heads), 5, 2), np.float32)
    for row, head in zip(out, heads, strict=True):
        row[:] = project(place(_features(head), rotation_matrix(head)), view)[:2].T
    return out


def _features(head: Head) -> Floats:
    person = head.identity
    half, middle, rise = mouth_line(person, head.smile)
    eye, corner = person.eye_spacing, middle + rise
    x = np.array([-eye, eye, 0, -half, half], np.float32)
    y = np.array([0, 0, nose_tip_height(person), corner, corner], np.float32)
    return face_points(person, head.smile, x, y)
