"""Turning a head forth and back: pictures with the faults of a turn, whose truth is known.

The head is turned by an angle. Layers and depth are made anew from the turned frame, and the head
is turned back. What the turned frame hid is then guessed, as it is in any turn; but the photograph
shows what is really there. So a model
can learn from photographs alone how to draw hidden parts (H. Zhou et al., *Rotate-and-Render*, CVPR
2020, arXiv 2003.08124).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from rotation.data.crop import Pixels
from rotation.faces.face_finder import find_faces
from rotation.faces.face_mesh import FaceMesh
from rotation.faces.person_matte import find_matte
from rotation.geometry.drawing import HEAD_CROP, HiddenParts, crop_side, find_hidden
from rotation.geometry.head import Head, build_head
from rotation.geometry.layers import fill_smoothly
from rotation.geometry.photograph import LEAST_FACE, face_window
from rotation.geometry.turning import HeadTurner, TurnedFrame

MAX_SOURCE_YAW_DEG = 45.0
"""Photographs of heads that are turned further are not used."""
_BLACK = 3  # of 255; borders of rotated pictures are black, up to JPEG's rounding


def turn_and_return(head: Head, angle_deg: float) -> TurnedFrame:
    """The photograph after its head was turned by an angle and back again.

    The lamp turns with the head, so seen skin keeps its brightness.
    """
    there = HeadTurner(head).turn(angle_deg, relight=False)
    turned = build_head(there.image.astype(np.float32), turned_mesh(head, angle_deg), there.alpha)
    return HeadTurner(turned).turn(-angle_deg, relight=False)


def turned_mesh(head: Head, angle_deg: float) -> FaceMesh:
    """The mesh of a head that was turned by an angle about its axis."""
    angle = math.radians(angle_deg)
    (column, depth), points = head.axis, head.mesh.points.copy()
    beside, before = points[:, 0] - column, points[:, 2] - depth
    points[:, 0] = column + beside * math.cos(angle) + before * math.sin(angle)
    points[:, 2] = depth + before * math.cos(angle) - beside * math.sin(angle)
    return FaceMesh(points, head.mesh.score)


def measure_for_return(photographs: Sequence[Pixels], size: int) -> list[Head | None]:
    """The main head of each photograph (H, W, 3), in a window around it; None if it is no use.

    There must be a face, of enough pixels, and turned by no more than `MAX_SOURCE_YAW_DEG`. A head
    that is larger than a crop of `size` pixels needs is reduced first.
    """
    found = find_faces(photographs)
    return [
        _measure(pixels, face.mesh, size) if face and _is_usable(face.mesh) else None
        for pixels, face in zip(photographs, found, strict=True)
    ]


def _is_usable(mesh: FaceMesh) -> bool:
    is_large = bool(np.ptp(mesh.points[:, 0]) >= LEAST_FACE)
    return is_large and abs(mesh.yaw_deg) <= MAX_SOURCE_YAW_DEG


def _measure(pixels: Pixels, mesh: FaceMesh, size: int) -> Head:
    whole = Image.fromarray(fill_black_border(pixels))
    scale = min(1.0, size / crop_side(mesh, HEAD_CROP))
    width, height = (round(side * scale) for side in whole.size)
    image = whole.resize((width, height), Image.Resampling.LANCZOS)
    points = mesh.points * scale
    (left, top), (right, bottom) = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    window = face_window((left, top, right, bottom), image.size)
    view = np.array(image.crop(window))
    moved = FaceMesh(points - (window[0], window[1], 0), mesh.score)
    return build_head(view.astype(np.float32) / 255, moved, find_matte(view))


def fill_black_border(pixels: Pixels) -> Pixels:
    """A photograph (H, W, 3) whose black borders are filled from their surroundings.

    Pictures that were rotated upright have black corners. A model would learn to draw them.
    """
    numbers, _ = ndimage.label(pixels.max(axis=2) <= _BLACK)
    at_edge = np.unique(np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]]))
    black = np.isin(numbers, at_edge[at_edge > 0])
    if not black.any() or black.all():
        return pixels
    near = ndimage.binary_dilation(black, iterations=2)
    filled = fill_smoothly(pixels.astype(np.float32), (~near).astype(np.float32))
    return np.where(near[..., None], np.rint(filled), pixels).astype(np.uint8)


def return_crops(head: Head, angle_deg: float, size: int) -> tuple[torch.Tensor, HiddenParts]:
    """What a model learns from: the true crop, and the crop after a turn forth and back.

    Parameters:
        head: as it was measured in a photograph.
        angle_deg: by how much it is turned forth.
        size: the side S of the crops.

    Returns:
        The photograph's crop (3, S, S), 0 to 1; and the returned crop with what of it is known.
    """
    still = HeadTurner(head).turn(0.0)
    truth = find_hidden(still, 0.0, head, size, HEAD_CROP).image
    parts = find_hidden(turn_and_return(head, angle_deg), 0.0, head, size, HEAD_CROP, sure=True)
    return truth, parts
