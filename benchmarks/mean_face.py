#!/usr/bin/env python3
"""Make `rotation/faces/mean_face.safetensors`: a mean face, and places on its surface.

The face meshes of photographs that look at the camera are made symmetric, scaled to half the
distance of the eyes, and averaged. Triangles join neighbouring points. A regular grid of places
lies inside the outline, each with its triangle's three points and their weights. Places on eyes,
brows and mouth do not count as skin.

Example:
    python benchmarks/mean_face.py $CELEBA --out build/mean_face.safetensors
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import _project  # noqa: F401
import numpy as np
from matplotlib.path import Path as Outline
from safetensors.numpy import save_file
from scipy.spatial import Delaunay
from tqdm import tqdm

from rotation.data.crop import has_celeba_shape, read_image
from rotation.data.sources import open_source
from rotation.faces.face_finder import find_faces
from rotation.faces.face_mesh import OUTLINE, FaceMesh

STEP = 0.19  # half eye distances between neighbouring places
FRONTAL_DEG = 6.0
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
MOUTH = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
)
NOT_SKIN = (*EYES, *BROWS, MOUTH)


def frontal_meshes(path: Path, most: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Meshes (468, 3) of faces that look at the camera, symmetric and of one size, y up."""
    shapes: list[np.ndarray] = []
    partners = np.array([])
    with open_source(path) as source, tqdm(total=most, unit=" faces", disable=None) as bar:
        names = iter(source.names())
        while len(shapes) < most and (some := list(islice(names, 32))):
            pictures = [np.asarray(read_image(source, name)) for name in some]
            pictures = [each for each in pictures if has_celeba_shape(*each.shape[1::-1])]
            for face in find_faces(pictures):
                if face is None or abs(face.mesh.yaw_deg) > FRONTAL_DEG:
                    continue
                partners = face.mesh.partners
                shapes.append(normal_shape(face.mesh))
                bar.update()
    return shapes[:most], partners


def normal_shape(mesh: FaceMesh) -> np.ndarray:
    """The mesh (468, 3) upright, symmetric, 0 between the eyes, eyes at -1 and 1, y up."""
    points = mesh.points * (1, -1, 1)
    symmetric = (points + points[mesh.partners] * (-1, 1, 1)) / 2
    left, right = (symmetric[list(eye)].mean(axis=0) for eye in EYES)
    return (symmetric - (left + right) / 2) / ((right - left)[0] / 2)


def place_grid(points: np.ndarray, triangles: Delaunay) -> tuple[np.ndarray, np.ndarray]:
    """The three points (P, 3) and their weights (P, 3) of a symmetric grid inside the outline."""
    outline = Outline(points[list(OUTLINE), :2])
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    half = (np.arange(int(high[0] / STEP) + 1) + 0.5) * STEP
    across = np.concatenate([-half[::-1], half])
    down = np.arange(low[1] + STEP / 2, high[1], STEP)
    grid = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    inside = outline.contains_points(grid) & outline.contains_points(grid * (-1, 1))
    grid = grid[inside]
    right = grid[grid[:, 0] > 0]
    found = triangles.find_simplex(right)
    affine = triangles.transform[found]
    two = np.einsum("nij,nj->ni", affine[:, :2], right - affine[:, 2])
    weights = np.column_stack([two, 1 - two.sum(axis=1)])
    return triangles.simplices[found], weights


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="CelebA's folder")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    parser.add_argument("--faces", type=int, default=300)
    arguments = parser.parse_args()
    shapes, partners = frontal_meshes(arguments.images, arguments.faces)
    points = np.mean(shapes, axis=0)
    points = (points + points[partners] * (-1, 1, 1)) / 2
    triangles = Delaunay(points[:, :2])
    corners, weights = place_grid(points, triangles)
    # The left half has the mirrored places, so that a mirror exchanges places exactly.
    corners = np.concatenate([corners, partners[corners]])
    weights = np.concatenate([weights, weights])
    half = len(corners) // 2
    places = (points[corners] * weights[:, :, None]).sum(axis=1)[:, :2]
    skin = ~np.any([Outline(points[list(p), :2]).contains_points(places) for p in NOT_SKIN], axis=0)
    skin = skin & np.roll(skin, half)
    arrays = {
        "points": points.astype(np.float32),
        "triangles": own_triangles(triangles.simplices, partners, points).astype(np.int32),
        "corners": corners.astype(np.int32),
        "weights": weights.astype(np.float32),
        "skin": skin,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: np.ascontiguousarray(each) for name, each in arrays.items()}, arguments.out)
    print(f"{arguments.out}: {len(shapes)} faces, {len(corners)} places, {skin.sum()} of skin")


def own_triangles(simplices: np.ndarray, partners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The triangles inside the outline, and their mirror images, seen counter-clockwise."""
    outline = Outline(points[list(OUTLINE), :2])
    inside = simplices[outline.contains_points(points[simplices, :2].mean(axis=1))]
    both = np.concatenate([inside, partners[inside]])
    a, b, c = points[both, :2].swapaxes(0, 1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    both[area < 0] = both[area < 0][:, ::-1]
    return both


if __name__ == "__main__":
    main()
