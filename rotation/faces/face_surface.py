"""Read a photograph at the places of the mean face: their brightness and normals.

A mesh puts the places on a photograph. Where five landmarks are known instead, the mean face itself
is turned and scaled to them.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from numpy.typing import NDArray

from rotation.faces.face_mesh import FaceMesh, sample_square, square_around
from rotation.faces.mean_face import FaceSurface, mean_face
from rotation.poses.estimation import MEAN_FACE, MIN_CONFIDENCE, Poses

Floats = NDArray[np.float64]

SIDE = 64  # pixels to which the square around a face is reduced before it is read
LANDMARK_SCORE = 20.0  # of a mesh that was placed by landmarks
_LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601


def place_mean_face(landmarks: Floats, poses: Poses) -> list[FaceMesh | None]:
    """The mean face at landmarks (N, 5, 2) in pixels, as meshes; None without a trusted pose.

    Parameters:
        poses: of these landmarks (`rotation.poses.estimation.estimate_poses`).
    """
    meshes: list[FaceMesh | None] = []
    angles = np.deg2rad(np.column_stack([poses.yaw_deg, poses.pitch_deg, poses.roll_deg]))
    for points, turn, confidence in zip(landmarks, angles, poses.confidence, strict=True):
        meshes.append(_place(points, turn) if confidence >= MIN_CONFIDENCE else None)
    return meshes


def _place(landmarks: Floats, angles: Floats) -> FaceMesh:
    """The mean face turned by yaw, pitch and roll, shifted and scaled to five landmarks."""
    matrix = _rotation(*angles)
    shape, five = (points @ matrix.T * (1, -1, 1) for points in (mean_face().points, MEAN_FACE))
    model, target = five[:, :2] - five[:, :2].mean(axis=0), landmarks - landmarks.mean(axis=0)
    scale = float((model * target).sum() / (model**2).sum())
    shift = landmarks.mean(axis=0) - scale * five[:, :2].mean(axis=0)
    return FaceMesh(shape * scale + (*shift, 0), LANDMARK_SCORE)


def _rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Rz(roll) Ry(yaw) Rx(pitch) of angles in radians, see `rotation.poses.estimation`."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def read_surface(pixels: torch.Tensor, mesh: FaceMesh) -> FaceSurface:
    """Read a photograph (3, H, W) from 0 to 1 at the places that a mesh puts on it."""
    face = mean_face()
    normals = face.on_surface(_point_normals(mesh.points * (1, -1, 1)))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    places = face.on_surface(mesh.points[:, :2])
    square = square_around(mesh)
    cut = sample_square(pixels, square, SIDE)
    grey = torch.tensordot(_LUMA, cut, 1) * 255
    shares = square.to_shares(places)
    grid = torch.from_numpy(shares * 2).float()[None, None]
    found = F.grid_sample(grey[None, None], grid, padding_mode="border", align_corners=False)
    height, width = pixels.shape[1:]
    inside = ((places >= 0) & (places <= (width, height))).all(axis=1)
    seen = np.clip((normals[:, 2] - 0.1) / 0.3, 0, 1) * inside
    return FaceSurface(found[0, 0, 0].double().numpy(), normals, seen)


def _point_normals(points: Floats) -> Floats:
    """The normals (468, 3) of points with y up and z towards the viewer, longer on larger areas."""
    triangles = mean_face().triangles
    a, b, c = (points[triangles[:, k]] for k in range(3))
    areas = np.cross(b - a, c - a)
    total = np.zeros_like(points)
    for k in range(3):
        np.add.at(total, triangles[:, k], areas)
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.maximum(lengths, 1e-9)
