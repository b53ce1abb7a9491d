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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from numpy.typing import NDArray

from rotation.errors import ImageError
from rotation.faces.even_contrast import even_contrast
from rotation.faces.layer_graph import NETWORKS, load_network, run_network

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

DEPTH_FACTOR = 1.25
"""The mesh is flatter than faces are; its relief is multiplied by this."""
ROOM = 1.5  # the network expects a square of so many face sizes
_ROUNDS = 4  # squares are stable after three; the fourth is read
LEAST_SCORE = 5.0  # the network's logit that a face is there; upside down it mostly has less


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


@dataclass(frozen=True)
class Square:
    """A square of a photograph, in pixels: its middle, its side and its turn in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def places(self, size: int) -> Floats:
        """The middles of size x size equal cells, in pixels of the photograph: (size, size, 2)."""
        steps = (np.arange(size) + 0.5) / size - 0.5
        return self.to_photograph(np.stack(np.meshgrid(steps, steps), axis=-1))

    def to_shares(self, places: Floats) -> Floats:
        """Places (..., 2) from pixels to shares of the side, from the middle."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        upright: Floats = (places - (self.x, self.y)) @ np.array([[cos, -sin], [sin, cos]])
        return upright / self.side

    def to_photograph(self, shares: Floats) -> Floats:
        """Places (..., 2) from shares of the side, from the middle, to pixels."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        turned = shares @ np.array([[cos, sin], [-sin, cos]])
        return turned * self.side + (self.x, self.y)


Box = tuple[float, float, float, float]


def square_in_box(box: Box) -> Square:
    """The square around about a face: left, top, right, bottom."""
    left, top, right, bottom = box
    return Square((left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top))


def square_around(mesh: FaceMesh) -> Square:
    """The square in which the network expects the face of a mesh."""
    low, high = mesh.points[:, :2].min(axis=0), mesh.points[:, :2].max(axis=0)
    x, y = (low + high) / 2
    eyes = mesh.points[RIGHT_EYE_CORNER] - mesh.points[LEFT_EYE_CORNER]
    return Square(x, y, ROOM * float((high - low).max()), math.atan2(eyes[1], eyes[0]))


def find_mesh(photograph: NDArray[np.uint8], box: Box) -> FaceMesh:
    """The mesh of the face in a photograph.

    Parameters:
        photograph: (H, W, 3) uint8, RGB.
        box: left, top, right, bottom of about the face, in pixels; it may be off by half its size.

    Raises:
        ImageError: no face is found there.
    """
    pixels = to_pixels(photograph)
    width = pixels.shape[2]
    left, top, right, bottom = box
    squares = [square_in_box(box), square_in_box((width - right, top, width - left, bottom))]
    pair = [pixels, pixels.flip(2)]
    for _ in range(_ROUNDS):
        mesh, other = read_squares(pair, squares, batch=2)
        squares = [square_around(mesh), square_around(other)]
    mirrored = (other.points * (-1, 1, 1) + (width, 0, 0))[_partners()]
    score = min(mesh.score, other.score)
    if score < LEAST_SCORE:
        raise ImageError("No face was found in the photograph.")
    return FaceMesh((mesh.points + mirrored) / 2, score)


def to_pixels(photograph: NDArray[np.uint8]) -> torch.Tensor:
    """A photograph (H, W, 3) uint8 as (3, H, W) from 0 to 1."""
    return torch.from_numpy(np.array(photograph)).permute(2, 0, 1).float() / 255


def read_squares(
    photographs: Sequence[torch.Tensor],
    squares: Sequence[Square],
    *,
    even: bool = False,
    batch: int = 8,
) -> list[FaceMesh]:
    """The network's answer for one square of each photograph (3, H, W).

    Parameters:
        even: read with `even_contrast`, for hard light.
        batch: squares that the network reads at once.
    """
    size = load_network("face-mesh").size[0]
    cuts = torch.stack(
        [sample_square(each, s, size) for each, s in zip(photographs, squares, strict=True)]
    )
    if even:
        inside = torch.stack(
            [_inside(each, s, size) for each, s in zip(photographs, squares, strict=True)]
        )
        cuts = even_contrast(cuts, inside[:, None])
    points, scores = run_network("face-mesh", cuts, batch=batch)
    shares = points.reshape(-1, POINTS, 3).double().cpu().numpy() / size
    return [
        FaceMesh(
            np.column_stack([s.to_photograph(found[:, :2] - 0.5), -found[:, 2] * s.side]),
            float(score),
        )
        for found, score, s in zip(shares, scores.flatten(), squares, strict=True)
    ]


def sample_square(pixels: torch.Tensor, square: Square, size: int) -> torch.Tensor:
    """A square of an image (3, H, W) at size x size pixels; outside, the edge is repeated.

    If the new pixels are larger, the image is reduced first, so that no pixel is passed over.
    """
    height, width = pixels.shape[1:]
    step = square.side / size
    if step > 1.5:
        reduced = (max(1, round(height / step)), max(1, round(width / step)))
        pixels = F.interpolate(pixels[None], size=reduced, mode="area")[0]
    places = torch.from_numpy(square.places(size))
    relative = places / torch.tensor([width, height], dtype=places.dtype) * 2 - 1
    return F.grid_sample(
        pixels[None], relative[None].float(), padding_mode="border", align_corners=False
    )[0]


def _inside(pixels: torch.Tensor, square: Square, size: int) -> torch.Tensor:
    """1 where a cell (size, size) of a square lies in the image (3, H, W), else 0."""
    height, width = pixels.shape[1:]
    places = torch.from_numpy(square.places(size))
    within = (places >= 0) & (places <= torch.tensor([width, height]))
    return within.all(dim=-1).float()


@cache
def _partners() -> NDArray[np.intp]:
    """For each point, the number of its mirror image."""
    config = json.loads((NETWORKS / "face-mesh" / "config.json").read_text(encoding="utf-8"))
    return np.array(config["partners"], dtype=np.intp)
