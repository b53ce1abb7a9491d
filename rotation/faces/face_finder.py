"""The mesh of the main face in each photograph, whatever its place, size, turn and light.

Candidates come from the detector, or from a square that is known already. The mesh's network reads
each candidate some times. The face that it is sure of, and that is largest and nearest to the
middle, is the main face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rotation.faces.face_detector import detect_faces
from rotation.faces.face_mesh import (
    DEPTH_FACTOR,
    LEAST_SCORE,
    FaceMesh,
    Square,
    read_squares,
    square_around,
    to_pixels,
)

MOST_CANDIDATES = 4  # detections that are looked at in one photograph
ROUNDS = 3  # of the mesh's network from a detection
KNOWN_ROUNDS = 1  # from a square that is known
MOST_ROUNDS = 6  # of a face that the network is not sure of yet
LEAST_FACE = 6.0  # pixels of a face's longer side
MOST_YAW_DEG = 75.0  # beyond, half of the mesh is guessed
LEAST_SIDE = 16  # pixels of a photograph's shorter side
_FIRST_SCORE = -2.0  # below, a candidate is given up
_FAR = 0.5  # weight of the distance from the middle, against the size of the face


@dataclass(frozen=True)
class FoundFace:
    """The main face of a photograph.

    Attributes:
        mesh: its mesh, in pixels of the photograph, with the relief of real faces.
        n_faces: how many faces were found; the others were left out.
    """

    mesh: FaceMesh
    n_faces: int


def find_faces(
    photographs: Sequence[NDArray[np.uint8]], squares: Sequence[Square | None] | None = None
) -> list[FoundFace | None]:
    """The main face of each photograph; None where there is none.

    The result of a photograph does not depend on the others.

    Parameters:
        photographs: (H, W, 3) uint8 each, RGB.
        squares: 1.5 times as large as the face, where it is known. If no face is there, the
            whole photograph is searched.
    """
    pixels = [to_pixels(each) for each in photographs]
    found: list[FoundFace | None] = [None] * len(pixels)
    given = {row: square for row, square in enumerate(squares or []) if square is not None}
    known = _follow(pixels, list(given), list(given.values()), KNOWN_ROUNDS)
    for row, mesh in zip(given, known, strict=True):
        found[row] = FoundFace(mesh, 1) if mesh is not None else None
    rest = [
        row
        for row, each in enumerate(pixels)
        if found[row] is None and min(each.shape[1:]) >= LEAST_SIDE
    ]
    for row, face in zip(rest, _search([pixels[row] for row in rest]), strict=True):
        found[row] = face
    return found


def _search(pixels: Sequence[torch.Tensor]) -> list[FoundFace | None]:
    """The main face of each photograph (3, H, W), by the detector."""
    if not pixels:
        return []
    rows, squares = [], []
    for row, detections in enumerate(detect_faces(pixels)):
        candidates = [each.square for each in detections[:MOST_CANDIDATES]]
        candidates.append(_middle(pixels[row]))
        rows += [row] * len(candidates)
        squares += candidates
    meshes: list[list[FaceMesh]] = [[] for _ in pixels]
    for row, mesh in zip(rows, _follow(pixels, rows, squares, ROUNDS), strict=True):
        if mesh is not None:
            meshes[row].append(mesh)
    return [_main_face(found, each) for found, each in zip(meshes, pixels, strict=True)]


def _middle(photograph: torch.Tensor) -> Square:
    """The central square, in case the photograph shows nothing but a face."""
    height, width = photograph.shape[1:]
    return Square(width / 2, height / 2, float(min(height, width)))


def _follow(
    pixels: Sequence[torch.Tensor], rows: Sequence[int], squares: Sequence[Square], rounds: int
) -> list[FaceMesh | None]:
    """The mesh in each square of a photograph; None where no face is.

    A mesh counts after so many rounds, as soon as the network is sure of it.
    """
    meshes: list[FaceMesh | None] = [None] * len(rows)
    waiting = dict(enumerate(squares))
    for number in range(1, MOST_ROUNDS + 1):
        places = list(waiting)
        if not places:
            break
        shown = [pixels[rows[place]] for place in places]
        read = read_squares(shown, [waiting[place] for place in places], even=True)
        for place, photograph, mesh in zip(places, shown, read, strict=True):
            waiting.pop(place)
            if not _is_usable(mesh, photograph) or mesh.score < _FIRST_SCORE:
                continue
            if number >= rounds and mesh.score >= LEAST_SCORE:
                meshes[place] = mesh.scaled_depth(DEPTH_FACTOR)
            else:
                waiting[place] = square_around(mesh)
    return meshes


def _is_usable(mesh: FaceMesh, photograph: torch.Tensor) -> bool:
    """Whether the face's middle lies in the photograph, and it is no profile and no dot."""
    x, y = mesh.points[:, :2].mean(axis=0)
    height, width = photograph.shape[1:]
    inside = 0 <= x <= width and 0 <= y <= height
    return inside and _size(mesh) >= LEAST_FACE and abs(mesh.yaw_deg) <= MOST_YAW_DEG


def _main_face(meshes: list[FaceMesh], photograph: torch.Tensor) -> FoundFace | None:
    """The largest face, where a face far from the middle counts as smaller."""
    height, width = photograph.shape[1:]
    faces: list[FaceMesh] = []
    for mesh in sorted(meshes, key=lambda m: -m.score):
        if all(_distance(mesh, other) > max(_size(mesh), _size(other)) / 2 for other in faces):
            faces.append(mesh)

    def rank(mesh: FaceMesh) -> float:
        x, y = mesh.points[:, :2].mean(axis=0)
        away = np.hypot(x - width / 2, y - height / 2)
        return float(_size(mesh) - _FAR * away)

    return FoundFace(max(faces, key=rank), len(faces)) if faces else None


def _size(mesh: FaceMesh) -> float:
    low, high = mesh.points[:, :2].min(axis=0), mesh.points[:, :2].max(axis=0)
    return float((high - low).max())


def _distance(one: FaceMesh, two: FaceMesh) -> float:
    return float(np.hypot(*(one.points[:, :2].mean(axis=0) - two.points[:, :2].mean(axis=0))))
