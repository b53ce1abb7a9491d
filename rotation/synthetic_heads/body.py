"""The parts around a head: ears, long hair, glasses, neck and shoulders."""

from __future__ import annotations

from functools import cache

import numpy as np

from rotation.synthetic_heads.fields import Floats, Ints, ramp
from rotation.synthetic_heads.parameters import Identity
from rotation.synthetic_heads.shape import Surface, grid_triangles, unit

RIM_COLUMNS, BRIDGE_COLUMNS, ARM_COLUMNS = 29, 7, 9
EAR_ROWS, EAR_COLUMNS = 11, 12
CURTAIN_ROWS, CURTAIN_COLUMNS = 16, 37
NECK_ROWS, NECK_COLUMNS = 6, 28
TORSO_ROWS, TORSO_COLUMNS = 14, 40
NECK_FOOT = (0.0, -1.75, -0.22)


@cache
def ball(rows: int, columns: int) -> Floats:
    """Unit sphere grid (3, rows * columns), poles up and down, first column at the back."""
    polar = np.linspace(0, np.pi, rows)[:, None]
    turn = (np.arange(columns) / columns * 2 - 1)[None] * np.pi
    x, z = np.sin(polar) * np.sin(turn), np.sin(polar) * np.cos(turn)
    return _flat(x, np.cos(polar), z)


def ellipsoid(grid: Floats, centre: tuple[float, ...], radii: tuple[float, ...]) -> Surface:
    """The unit sphere grid stretched and moved, with exact normals."""
    size = np.asarray(radii, np.float32)[:, None]
    points = grid * size + np.asarray(centre, np.float32)[:, None]
    return Surface(points, points, unit(grid / size))


def _flat(x: Floats, y: Floats, z: Floats) -> Floats:
    """Coordinates of a grid, broadcast together, as (3, V)."""
    return np.stack(np.broadcast_arrays(x, y, z)).reshape(3, -1).astype(np.float32)


def mirrored(surface: Surface) -> Surface:
    """The mirrored mesh. The orientation of its triangles must be reversed."""
    flip = np.array([[-1], [1], [1]], np.float32)
    return Surface(surface.base * flip, surface.points * flip, surface.normals * flip)


def ear(person: Identity) -> Surface:
    """The ear on the viewer's right."""
    centre = (0.735 * person.face_width + 0.02, -0.10, -0.06)
    plain = ellipsoid(ball(EAR_ROWS, EAR_COLUMNS), centre, (0.075, 0.25, 0.15))
    # The ear is tilted back, and its rear stands off the head.
    x, y, z = plain.points
    points = np.stack([x + 0.25 * np.maximum(-0.06 - z, 0), y, z - 0.22 * (y + 0.1)])
    return Surface(plain.base, points, plain.normals)


def curtain(person: Identity) -> Surface:
    """Long hair: a sheet around the back and the sides, open in front."""
    down = np.linspace(0, 1, CURTAIN_ROWS)[:, None]
    across = np.linspace(-1, 1, CURTAIN_COLUMNS)[None]
    opening = 1.28 - 0.34 * ramp(down, 0.35, 1.0)
    turn = np.pi + across * (np.pi - opening)
    y = 0.45 - down * (0.45 + person.hair_length - 0.16 * across**4)
    spread = 0.9 + 0.26 * ramp(y, 0.45, -0.45) - 0.12 * ramp(down, 0.7, 1.0)
    half_width = (0.72 * person.face_width + 0.8 * person.hair_volume) * spread
    half_depth = (0.78 + person.hair_volume) * (1 - 0.25 * ramp(down, 0.3, 0.8))
    x, z = np.sin(turn) * half_width, np.cos(turn) * half_depth
    points = _flat(-x, y, z)
    return Surface(points, points, unit(_flat(-x / half_width**2, 0 * y, z / half_depth**2)))


def glasses(person: Identity) -> Surface:
    """Frame of a pair of glasses: two flat rims, a bridge and two arms, two-sided."""
    eye = max(person.eye_spacing, 0.30)
    rim = _rim(eye)
    bridge = _bridge(eye)
    arm = _arm(person, eye + 0.23)
    flip = np.array([-1, 1, 1])[:, None, None]
    strips = [rim, rim * flip, bridge, arm, arm * flip]
    points = np.concatenate([strip.reshape(3, -1) for strip in strips], axis=1).astype(np.float32)
    normals = np.broadcast_to(np.array([[0], [0.6], [0.8]], np.float32), points.shape)
    return Surface(points, points, normals)


@cache
def glasses_triangles() -> Ints:
    """Triangles of the frame's five strips, in the order of ``glasses``."""
    triangles, start = [], 0
    for columns in (RIM_COLUMNS, RIM_COLUMNS, BRIDGE_COLUMNS, ARM_COLUMNS, ARM_COLUMNS):
        triangles.append(grid_triangles(2, columns, False) + start)
        start += 2 * columns
    return np.concatenate(triangles)


def _rim(eye: float) -> Floats:
    turn = np.linspace(-np.pi, np.pi, RIM_COLUMNS)
    out = np.array([0.0, 0.045])[:, None]
    square = (np.cos(turn) ** 4 + np.sin(turn) ** 4) ** -0.25
    x = eye + np.cos(turn) * (0.205 * square + out)
    y = np.sin(turn) * (0.150 * square + out) - 0.02
    return np.stack([x, y, _glass_depth(x)])


def _bridge(eye: float) -> Floats:
    t = np.linspace(-1, 1, BRIDGE_COLUMNS)[None]
    x = t * (eye - 0.2) + np.zeros((2, 1))
    y = 0.05 + np.array([-0.02, 0.03])[:, None] + 0.03 * (1 - t * t)
    return np.stack([x, y, _glass_depth(x) + 0.08 * (1 - t * t)])


def _arm(person: Identity, edge: float) -> Floats:
    back = np.linspace(0, 1, ARM_COLUMNS)[None] + np.zeros((2, 1))
    x = edge + (0.80 * person.face_width - edge) * np.sqrt(np.minimum(back / 0.5, 1))
    y = 0.05 + np.array([-0.028, 0.028])[:, None] + 0 * back
    front = 0.90 - 0.46 * edge * edge
    return np.stack([x, y, front + (-0.05 - front) * back])


def _glass_depth(x: Floats) -> Floats:
    return 0.90 - 0.46 * x * x


def neck(person: Identity, top: Floats) -> Surface:
    """The neck, from ``top`` (3,) under the skull into the shoulders, in camera coordinates."""
    down = np.linspace(0, 1, NECK_ROWS)[:, None]
    turn = (np.arange(NECK_COLUMNS) / NECK_COLUMNS * 2 - 1)[None] * np.pi
    radius = (0.50 if person.male else 0.40) + 0.10 * ramp(down, 0.45, 1.0)
    x, y, z = (high + (low - high) * down for high, low in zip(top, NECK_FOOT, strict=True))
    points = _flat(x + np.sin(turn) * radius, y, z + np.cos(turn) * radius)
    return Surface(points, points, _flat(np.sin(turn), 0 * down, np.cos(turn)))


def torso(person: Identity) -> Surface:
    """Shoulders and chest, in camera coordinates; they do not turn with the head."""
    half_width = 2.15 if person.male else 1.85
    return ellipsoid(ball(TORSO_ROWS, TORSO_COLUMNS), (0, -2.62, -0.30), (half_width, 1.38, 0.75))
