"""The mesh of a face: 468 points with depth, from one photograph.

The network reads a square around the face. It is asked again for a square around its own result
until that stands still. The mesh of the mirrored photograph is averaged with it, so that mirroring
a photograph mirrors its mesh exactly.

Source: Y. Kartynnik et al., *Real-time Facial Surface Geometry from Monocular Video on Mobile
GPUs*, 2019. The weights are bundled (`networks/face-mesh`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from numpy.typing import NDArray

from rotation.errors import ImageError
from rotation.faces.layer_graph import NETWORKS, load_network

Floats = NDArray[np.float64]

POINTS = 468
LEFT_EAR, RIGHT_EAR = 234, 454
"""The points of the mesh nearest to the ears; left and right are the viewer's."""
LEFT_EYE_CORNER, RIGHT_EYE_CORNER = 33, 263
NOSE_TIP, FOREHEAD, CHIN = 1, 10, 152
OUTLINE = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288),
    *(397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136),
    *(172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The points around the face, from the forehead over the viewer's right and back."""

_ROOM = 1.5  # the network expects a square of so many face sizes
_ROUNDS = 4  # squares are stable after three; the fourth is read
_LEAST_SCORE = 5.0  # the network's logit that a face is there; upside down it mostly has less


@dataclass(frozen=True)
class FaceMesh:
    """The mesh of a face.

    Attributes:
        points: (468, 3). x and y in pixels of the photograph, the first pixel's centre at 0.5; z in
            the same unit, positive towards the camera, 0 about the middle of the face.
        score: the network's logit that a face is there; positive means yes.
    """

    points: Floats
    score: float

    @property
    def partners(self) -> NDArray[np.intp]:
        """For each point, the number of its mirror image on the other half of the face."""
        return _partners()

    @property
    def across(self) -> Floats:
        """The unit vector (3,) from the viewer's left half of the face to the right half."""
        steps = self.points[self.partners] - self.points
        steps *= np.sign(steps @ (self.points[RIGHT_EAR] - self.points[LEFT_EAR]))[:, None]
        total = steps.sum(axis=0)
        return total / np.linalg.norm(total)

    @property
    def middle(self) -> Floats:
        """A point (3,) on the face's plane of symmetry."""
        return self.points.mean(axis=0) / 2 + self.points[self.partners].mean(axis=0) / 2

    @property
    def yaw_deg(self) -> float:
        """The yaw, positive towards the viewer's right."""
        x, _, z = self.across
        return math.degrees(math.atan2(-z, x))

    def scaled_depth(self, factor: float) -> FaceMesh:
        """The mesh with its relief multiplied by a factor; its yaw stays.

        The relief is the depth before or behind the plane through `middle` that holds `across` and
        the vertical. The network gives the right yaw, but a relief that is too flat.
        """
        x, _, z = self.across
        middle = self.middle
        plane = middle[2] + (self.points[:, 0] - middle[0]) * z / x
        depth = plane + factor * (self.points[:, 2] - plane)
        return FaceMesh(np.column_stack([self.points[:, :2], depth]), self.score)


def find_mesh(photograph: NDArray[np.uint8], box: tuple[float, float, float, float]) -> FaceMesh:
    """The mesh of the face in a photograph.

    Parameters:
        photograph: (H, W, 3) uint8, RGB.
        box: left, top, right, bottom of about the face, in pixels; it may be off by half its size.

    Raises:
        ImageError: no face is found there.
    """
    pixels = torch.from_numpy(np.array(photograph)).permute(2, 0, 1).float() / 255
    width = pixels.shape[2]
    left, top, right, bottom = box
    mesh = _find(pixels, ((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top))
    other = _find(
        pixels.flip(2),
        (width - (left + right) / 2, (top + bottom) / 2),
        max(right - left, bottom - top),
    )
    mirrored = (other.points * (-1, 1, 1) + (width, 0, 0))[_partners()]
    score = min(mesh.score, other.score)
    if score < _LEAST_SCORE:
        raise ImageError("No face was found in the photograph.")
    return FaceMesh((mesh.points + mirrored) / 2, score)


def _find(pixels: torch.Tensor, middle: tuple[float, float], side: float) -> FaceMesh:
    """The mesh of the face in an image (3, H, W), found in some rounds."""
    x, y, angle = *middle, 0.0
    for _ in range(_ROUNDS):
        mesh = _read(pixels, x, y, side, angle)
        low, high = mesh.points[:, :2].min(axis=0), mesh.points[:, :2].max(axis=0)
        x, y = (low + high) / 2
        side = _ROOM * float((high - low).max())
        eyes = mesh.points[RIGHT_EYE_CORNER] - mesh.points[LEFT_EYE_CORNER]
        angle = math.atan2(eyes[1], eyes[0])
    return mesh


@torch.no_grad()
def _read(pixels: torch.Tensor, x: float, y: float, side: float, angle: float) -> FaceMesh:
    """The network's answer for one square, turned by `angle` radians about its middle (x, y)."""
    network = load_network("face-mesh", str(pixels.device))
    size = network.size[0]
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    places = (np.arange(size) + 0.5) / size - 0.5
    grid = np.stack(np.meshgrid(places, places), axis=-1) @ turn.T * side + (x, y)
    square = _sample(pixels, torch.from_numpy(grid), side / size)
    points, score = network(square[None])
    found = points.reshape(POINTS, 3).double().numpy() / size
    plane = (found[:, :2] - 0.5) @ turn.T * side + (x, y)
    return FaceMesh(np.column_stack([plane, -found[:, 2] * side]), float(score))


def _sample(pixels: torch.Tensor, places: torch.Tensor, step: float) -> torch.Tensor:
    """The image (3, H, W) at places (h, w, 2) that lie `step` pixels apart.

    If they lie far apart, the image is reduced first, so that no pixel is passed over.
    """
    height, width = pixels.shape[1:]
    if step > 1.5:
        size = (max(1, round(height / step)), max(1, round(width / step)))
        pixels = F.interpolate(pixels[None], size=size, mode="area")[0]
    relative = places / torch.tensor([width, height], dtype=places.dtype) * 2 - 1
    return F.grid_sample(
        pixels[None], relative[None].float(), padding_mode="border", align_corners=False
    )[0]


@cache
def _partners() -> NDArray[np.intp]:
    """For each point, the number of its mirror image."""
    config = json.loads((NETWORKS / "face-mesh" / "config.json").read_text(encoding="utf-8"))
    return np.array(config["partners"], dtype=np.intp)
