"""The main face of a photograph and of its mirror image, and what both show of its surface.

Each of the two is searched on its own. So whoever joins their results symmetrically gets exactly
mirrored results for a mirrored photograph, whatever the networks do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from rotation.data.crop import CELEBA_WIDTH, has_celeba_shape
from rotation.faces.face_finder import find_faces
from rotation.faces.face_mesh import FaceMesh, Square, to_pixels
from rotation.faces.face_surface import place_mean_face, read_surface
from rotation.faces.mean_face import FaceSurface, SurfacePair
from rotation.faces.shrinking import Shrunk, shrink_pair
from rotation.poses.estimation import estimate_poses, mirror_landmarks

CELEBA_SQUARE = (129.6, 145.7)
"""Middle y and side of the square around the face of an aligned CelebA image (178 x 218): the
median of 190 images. Its middle x is the image's, so that mirror images are read at one place."""
SHIFT = 0.03  # of the face's size, in each direction
SCALE = 0.06
ROTATION_DEG = 4.0
GAMMA = 1.3
DARKEST, BRIGHTEST = 0.6, 1.1
GRAIN = 1.0  # grey levels

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FacePair:
    """A photograph and its mirror image, and the meshes of the main face in each.

    Attributes:
        pixels: both images, (3, H, W) from 0 to 1.
        meshes: in their pixels; None where no face was found.
        n_faces: how many faces were found; 0 if neither image shows one.
    """

    pixels: tuple[torch.Tensor, torch.Tensor]
    meshes: tuple[FaceMesh | None, FaceMesh | None]
    n_faces: int

    @property
    def yaw_deg(self) -> float:
        """The head's yaw, positive towards the viewer's right; NaN without a face."""
        yaws = [mesh.yaw_deg for mesh in self.meshes if mesh is not None]
        if not yaws:
            return float("nan")
        if self.meshes[0] is None:
            return -yaws[0]
        return yaws[0] if self.meshes[1] is None else (yaws[0] - yaws[1]) / 2


def find_pairs(
    photographs: Sequence[Image.Image], landmarks: Floats | None = None
) -> list[FacePair]:
    """Find the main face in photographs and in their mirror images.

    Parameters:
        photographs: RGB.
        landmarks: (N, 5, 2) CelebA's five, in pixels of an image 178 wide; NaN: unknown. They are
            used for images of CelebA's shape and save the search.
    """
    return find_shrunk_pairs([shrink_pair(each) for each in photographs], landmarks)


def find_shrunk_pairs(
    photographs: Sequence[Shrunk], landmarks: Floats | None = None
) -> list[FacePair]:
    """The same for photographs that `shrink_pair` has reduced already."""
    plain, flips = [pair[0] for pair in photographs], [pair[1] for pair in photographs]
    placed = _place(plain, landmarks)
    found, found_mirrored = _search(plain, placed, 0), _search(flips, placed, 1)
    return [
        FacePair(
            (to_pixels(picture), to_pixels(flip)),
            (one[0], two[0]),
            max(one[1], two[1]),
        )
        for picture, flip, one, two in zip(plain, flips, found, found_mirrored, strict=True)
    ]


def read_pair(pair: FacePair) -> SurfacePair:
    """What the photograph and its mirror image show of the face."""
    one, two = (
        read_surface(pixels, mesh) if mesh is not None else None
        for pixels, mesh in zip(pair.pixels, pair.meshes, strict=True)
    )
    return one, two


def read_variant(pair: FacePair, rng: np.random.Generator) -> SurfacePair:
    """What a variant of the photograph shows, with the same light.

    The mesh is moved, scaled and turned a little; exposure and contrast are changed; grain is
    added. No step changes the brightness of one part more than of another.
    """
    shift, scale = rng.uniform(-SHIFT, SHIFT, 2), rng.uniform(1 - SCALE, 1 + SCALE)
    angle = np.deg2rad(rng.uniform(-ROTATION_DEG, ROTATION_DEG))
    gamma = np.exp(rng.uniform(-np.log(GAMMA), np.log(GAMMA)))
    exposure, seed = rng.uniform(DARKEST, BRIGHTEST), rng.integers(2**32)
    surfaces: list[FaceSurface | None] = []
    for side, (pixels, mesh) in enumerate(zip(pair.pixels, pair.meshes, strict=True)):
        if mesh is None:
            surfaces.append(None)
            continue
        turn = -1 if side else 1  # the mirror image is varied in the mirrored way
        seen = read_surface(pixels, _moved(mesh, shift * (turn, 1), scale, turn * angle))
        grain = np.random.default_rng(seed).normal(0, GRAIN, len(seen.brightness))
        levels = (seen.brightness / 255) ** gamma * 255 * exposure + grain
        surfaces.append(FaceSurface(np.clip(levels, 0, 255), seen.normals, seen.seen))
    return surfaces[0], surfaces[1]


_Meshes = list[tuple[FaceMesh, FaceMesh] | None]


def _place(photographs: Sequence[npt.NDArray[np.uint8]], landmarks: Floats | None) -> _Meshes:
    """The mean face at known landmarks, on each photograph and on its mirror image."""
    meshes: _Meshes = [None] * len(photographs)
    if landmarks is None:
        return meshes
    known = np.isfinite(landmarks).all(axis=(1, 2))
    rows = [row for row in np.flatnonzero(known).tolist() if _is_celeba(photographs[row])]
    if not rows:
        return meshes
    widths = np.array([photographs[row].shape[1] for row in rows], dtype=np.float64)
    points = landmarks[rows] * (widths / CELEBA_WIDTH)[:, None, None]
    mirrored = mirror_landmarks(points) + np.stack([widths, 0 * widths], axis=1)[:, None]
    seen, flipped = (place_mean_face(each, estimate_poses(each)) for each in (points, mirrored))
    for row, one, two in zip(rows, seen, flipped, strict=True):
        if one is not None and two is not None and _lies_in(one, photographs[row]):
            meshes[row] = (one, two)
    return meshes


def _search(
    photographs: Sequence[npt.NDArray[np.uint8]], placed: _Meshes, side: int
) -> list[tuple[FaceMesh | None, int]]:
    """The mesh and the number of faces in each photograph; `side` 1: these are mirror images."""
    found: list[tuple[FaceMesh | None, int]] = [
        (known[side], 1) if known is not None else (None, 0) for known in placed
    ]
    rows = [row for row, known in enumerate(placed) if known is None]
    squares = [_known_square(photographs[row]) for row in rows]
    faces = find_faces([photographs[row] for row in rows], squares)
    for row, face in zip(rows, faces, strict=True):
        found[row] = (face.mesh, face.n_faces) if face is not None else (None, 0)
    return found


def _known_square(photograph: npt.NDArray[np.uint8]) -> Square | None:
    """The square around the face in an image of CelebA's shape."""
    if not _is_celeba(photograph):
        return None
    width = photograph.shape[1]
    y, side = (value * width / CELEBA_WIDTH for value in CELEBA_SQUARE)
    return Square(width / 2, y, side)


def _lies_in(mesh: FaceMesh, photograph: npt.NDArray[np.uint8]) -> bool:
    """Whether the middle of a face lies in the photograph; landmarks of a file may be wrong."""
    x, y = mesh.points[:, :2].mean(axis=0)
    height, width = photograph.shape[:2]
    return bool(0 <= x <= width and 0 <= y <= height)


def _is_celeba(photograph: npt.NDArray[np.uint8]) -> bool:
    height, width = photograph.shape[:2]
    return has_celeba_shape(width, height)


def _moved(mesh: FaceMesh, shift: npt.NDArray[np.float64], scale: float, angle: float) -> FaceMesh:
    """The mesh shifted by shares of its size, scaled, and turned in the picture's plane."""
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    middle, size = (low + high) / 2, float((high - low)[:2].max())
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, scale]])
    points = (mesh.points - middle) @ matrix.T + middle + (*(shift * size), 0)
    return FaceMesh(points, mesh.score)
