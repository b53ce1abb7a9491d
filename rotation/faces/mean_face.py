"""A mean face, and what a photograph shows at the places of its surface.

The places form a regular grid (`mean_face.safetensors`, made by `benchmarks/mean_face.py`). The
first half of them lies on the viewer's right half of the face, and the second half has their mirror
images in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

Floats = NDArray[np.float64]

FILE = Path(__file__).with_name("mean_face.safetensors")


@dataclass(frozen=True)
class MeanFace:
    """The mean face and its places.

    Attributes:
        points: (468, 3) in half eye distances, 0 between the eyes; x right, y up, z to the viewer.
        triangles: (T, 3) numbers of points, counter-clockwise as seen.
        corners: (P, 3) numbers of the three points around each place.
        weights: (P, 3) of these points; a place is their weighted mean.
        skin: (P,) False on eyes, brows and mouth.
        places: (P, 2) x and y of the places on the mean face.
    """

    points: Floats
    triangles: NDArray[np.intp]
    corners: NDArray[np.intp]
    weights: Floats
    skin: NDArray[np.bool_]
    places: Floats

    def on_surface(self, values: Floats) -> Floats:
        """Values (468, K) of the points, at the places (P, K)."""
        return (values[self.corners] * self.weights[:, :, None]).sum(axis=1)


@dataclass(frozen=True)
class FaceSurface:
    """What one photograph shows at the P places of the mean face.

    Attributes:
        brightness: (P,) grey levels from 0 to 255.
        normals: (P, 3) unit vectors: x right, y up, z towards the camera.
        seen: (P,) from 0 (turned away, or outside of the photograph) to 1.
    """

    brightness: Floats
    normals: Floats
    seen: Floats


@cache
def mean_face() -> MeanFace:
    """The mean face that is part of the program."""
    stored = load_file(FILE)
    points, weights = stored["points"].astype(np.float64), stored["weights"].astype(np.float64)
    corners = stored["corners"].astype(np.intp)
    places = (points[corners, :2] * weights[:, :, None]).sum(axis=1)
    triangles = stored["triangles"].astype(np.intp)
    return MeanFace(points, triangles, corners, weights, stored["skin"], places)


SurfacePair = tuple[FaceSurface | None, FaceSurface | None]
"""What a photograph and its mirror image show of the face; None: no face was found."""
