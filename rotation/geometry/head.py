"""The head in a photograph: its layers, the depth of each pixel, and the axis that it turns about.

Inside the face the depth is that of the face mesh. From there to the person's outline it falls off
as an ellipse does, to a depth a little behind the ears. Where the face itself ends at the outline,
its rim falls off in the same way. The axis stands vertically behind the ears. The turn fades below
the jaw, so necks twist and shoulders stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import Delaunay

from rotation.faces.face_mesh import (
    CHIN,
    DEPTH_FACTOR,
    FOREHEAD,
    LEFT_EAR,
    NOSE_TIP,
    OUTLINE,
    RIGHT_EAR,
    FaceMesh,
    find_mesh,
)
from rotation.faces.person_matte import find_matte
from rotation.geometry.layers import Floats, Layers, smoothstep, split_layers
from rotation.synthetic_heads.raster import rasterise

AXIS_BEHIND_EARS = 0.05
OUTLINE_BEHIND_EARS = 0.35
CROWN_BEHIND_EARS = 0.05
"""How far the turning axis, the head's outline at the sides, and its outline at the top lie behind
the ears, in face widths."""
_EDGE = 0.05  # face widths inside the outline within which the surface turns to the back
_NECK = 0.45  # the turn fades over so many face heights below the jaw
_REACH = (0.6, 0.95)  # it fades this many face widths beside the face, for what is no head
_SUPERSAMPLING = 4


@dataclass(frozen=True)
class Head:
    """The head in a photograph (H, W). Lengths are in pixels.

    Attributes:
        photograph: (H, W, 3), 0 to 1.
        layers: person and background.
        mesh: the mesh of the face, its relief scaled.
        face: (H, W), the share of each pixel that lies in the face's outline.
        depth: (H, W), positive towards the camera.
        turn: (H, W), by which share of the angle each pixel turns, 0 to 1.
        axis: column and depth of the vertical axis.
    """

    photograph: Floats
    layers: Layers
    mesh: FaceMesh
    face: Floats
    depth: Floats
    turn: Floats
    axis: tuple[float, float]

    @property
    def yaw_deg(self) -> float:
        """The yaw in the photograph, positive towards the viewer's right."""
        return self.mesh.yaw_deg

    @property
    def face_width(self) -> float:
        """The distance of the mesh's points nearest to the ears."""
        return face_width(self.mesh)


def measure_head(
    photograph: NDArray[np.uint8], box: tuple[float, float, float, float] | None = None
) -> Head:
    """The head in a photograph (H, W, 3), uint8.

    Parameters:
        box: left, top, right, bottom of about the face; None: a middling part of the photograph.

    Raises:
        ImageError: no face is found.
    """
    height, width = photograph.shape[:2]
    box = box or (0.2 * width, 0.25 * height, 0.8 * width, 0.85 * height)
    mesh = find_mesh(photograph, box).scaled_depth(DEPTH_FACTOR)
    return build_head(photograph.astype(np.float32) / 255, mesh, find_matte(photograph))


def build_head(photograph: Floats, mesh: FaceMesh, matte: Floats) -> Head:
    """The head in a photograph whose face and people are known.

    Parameters:
        photograph: (H, W, 3), 0 to 1.
        mesh: of the face, with the relief of real faces.
        matte: (H, W), the share of each pixel that shows people.
    """
    height, width = photograph.shape[:2]
    nose = mesh.points[NOSE_TIP]
    inside = (int(np.clip(nose[1], 0, height - 1)), int(np.clip(nose[0], 0, width - 1)))
    face = _outline_mask(mesh, (height, width))
    reach = _reach(mesh, face)
    layers = split_layers(photograph, matte, inside, face_width(mesh), reach)
    axis = _axis(mesh)
    return Head(
        photograph=photograph,
        layers=layers,
        mesh=mesh,
        face=face,
        depth=_depth(mesh, face, layers.alpha, axis[1]),
        turn=_turn_share(mesh, face.shape) * reach,
        axis=axis,
    )


def face_width(mesh: FaceMesh) -> float:
    """The distance of the mesh's points nearest to the ears, in pixels."""
    return float(np.linalg.norm(mesh.points[RIGHT_EAR] - mesh.points[LEFT_EAR]))


def _axis(mesh: FaceMesh) -> tuple[float, float]:
    """Column and depth of the axis: behind the middle between the ears, away from the face."""
    middle = (mesh.points[LEFT_EAR] + mesh.points[RIGHT_EAR]) / 2
    x, _, z = mesh.across
    forward = np.array([-z, x]) / np.hypot(x, z)
    column, depth = middle[[0, 2]] - AXIS_BEHIND_EARS * face_width(mesh) * forward
    return float(column), float(depth)


def _outline_mask(mesh: FaceMesh, shape: tuple[int, int]) -> Floats:
    """The share (H, W) of each pixel that lies in the face's outline."""
    height, width = shape
    mask = Image.new("L", (width * _SUPERSAMPLING, height * _SUPERSAMPLING))
    corners = [tuple(mesh.points[number, :2] * _SUPERSAMPLING - 0.5) for number in OUTLINE]
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    return np.asarray(mask.resize((width, height), Image.Resampling.BOX), np.float32) / 255


def _face_depth(mesh: FaceMesh, shape: tuple[int, ...]) -> Floats:
    """The depth (H, W) of the mesh's surface that is nearest to the camera; NaN beside it.

    Which points are neighbours is told from the front. From the side a nose lies before a cheek,
    and points that are neighbours in the picture may belong to either.
    """
    x, _, z = mesh.across
    front = np.column_stack([mesh.points[:, [0, 2]] @ (x, z), mesh.points[:, 1]])
    triangles = Delaunay(front).simplices.T
    (x0, y0), (x1, y1), (x2, y2) = (front[corner].T for corner in triangles)
    turned = (x1 - x0) * (y2 - y0) > (x2 - x0) * (y1 - y0)  # the rasteriser's front has y upwards
    triangles[1:, turned] = triangles[:0:-1, turned]
    points = mesh.points.T.astype(np.float32)
    unit = np.float32(face_width(mesh))
    points[2] /= unit  # the rasteriser compares depths of a few units
    one_sided = np.zeros(triangles.shape[1], dtype=np.bool_)
    found = rasterise(points, triangles.astype(np.intp), one_sided, shape[1], shape[0])
    depth = np.full(shape, np.nan)
    depth.flat[found.pixels] = found.depth * unit
    return depth


def _depth(mesh: FaceMesh, face: Floats, alpha: Floats, axis_depth: float) -> Floats:
    """The depth (H, W) of each pixel: the mesh's in the face, an ellipse from there to the outline.

    z = z_rim + (z_outline - z_rim) (1 - sqrt(1 - t^2)),    t = d_face / (d_face + d_outline)

    In the face, within `_EDGE` of the outline, the same with t = 1 - d_outline / `_EDGE`.
    """
    unit = face_width(mesh)
    inside = face > 0.5
    depth = _face_depth(mesh, face.shape)
    inside &= np.isfinite(depth)
    from_face, (row, column) = ndimage.distance_transform_edt(~inside, return_indices=True)
    rim = ndimage.gaussian_filter(depth[row, column], 0.04 * unit)
    # The last pixel before the outline is at the outline, however near the face is.
    to_outline = np.maximum(ndimage.distance_transform_edt(alpha > 0.5) - 1, 0)
    share = np.where(alpha > 0.5, from_face / np.maximum(from_face + to_outline, 1e-6), 1)
    beside = np.square(np.arange(face.shape[1]) + 0.5 - mesh.middle[0])
    above = np.square(np.arange(face.shape[0]) + 0.5 - mesh.middle[1])[:, None]
    sideways = np.sqrt(beside / (beside + above))
    behind = OUTLINE_BEHIND_EARS * sideways + CROWN_BEHIND_EARS * (1 - sideways)
    end = axis_depth - (behind - AXIS_BEHIND_EARS) * unit
    around = rim + (end - rim) * (1 - np.sqrt(1 - np.clip(share, 0, 1) ** 2))
    fine = ndimage.gaussian_filter(np.where(inside, depth, rim), 0.008 * unit)
    surface = np.where(inside, fine, ndimage.gaussian_filter(around, 0.02 * unit))
    # Where the face itself ends at the outline, the head goes on behind it.
    to_edge = np.clip(to_outline / (_EDGE * unit), 0, 1)
    to_edge = np.maximum(to_edge, smoothstep(_EDGE, 3 * _EDGE, from_face / unit))
    return (end + (surface - end) * np.sqrt(1 - (1 - to_edge) ** 2)).astype(np.float32)


def _turn_share(mesh: FaceMesh, shape: tuple[int, int]) -> Floats:
    """The share of the angle by which each pixel (H, W) turns: 1 to the jaw, 0 at the shoulders."""
    height, width = shape
    jaw = np.array([mesh.points[number, :2] for number in OUTLINE[8:29]])
    jaw = jaw[np.argsort(jaw[:, 0])]
    chin, forehead = mesh.points[CHIN, 1], mesh.points[FOREHEAD, 1]
    length = chin - forehead
    line = np.maximum(np.interp(np.arange(width) + 0.5, *jaw.T), chin - length / 4)
    below = (np.arange(height)[:, None] + 0.5 - line) / (_NECK * length)
    return (1 - smoothstep(0, 1, below)).astype(np.float32)


def _reach(mesh: FaceMesh, face: Floats) -> Floats:
    """1 at the head (H, W) and below it, falling to 0 far beside and above the face."""
    away = ndimage.distance_transform_edt(face < 0.5) / face_width(mesh)
    rows = np.arange(len(face))[:, None] + 0.5
    chin, forehead = mesh.points[CHIN, 1], mesh.points[FOREHEAD, 1]
    below = smoothstep(0, 0.2, (rows - chin) / (chin - forehead))
    return np.maximum(1 - smoothstep(*_REACH, away), below).astype(np.float32)
