"""What goes with a head: ears, long hair, glasses, neck and shoulders."""

from __future__ import annotations

import numpy as np

from rotation.synthetic.fields import Floats, ramp
from rotation.synthetic.parameters import Identity
from rotation.synthetic.shape import Surface, Ints, grid_triangles, unit

EAR_ROWS, EAR_COLUMNS = 11, 12
CURTAIN_ROWS, CURTAIN_COLUMNS = 16, 37
NECK_ROWS, NECK_COLUMNS = 6, 28
TORSO_ROWS, TORSO_COLUMNS = 14, 40


def ball(rows: int, columns: int) -> Floats:
    """Unit sphere grid (rows, columns, 3), poles up and down, first column at the back."""
    polar = np.linspace(0, np.pi, rows)[:, None]
    turn = (np.arange(columns) / columns * 2 - 1)[None] * np.pi
    x, z = np.sin(polar) * np.sin(turn), np.sin(polar) * np.cos(turn)
    y = np.broadcast_to(np.cos(polar), x.shape)
    return np.stack([x, y, z], -1).astype(np.float32)


def ellipsoid(grid: Floats, centre: tuple[float, float, float], radii: tuple[float, ...]) -> Surface:
    """The unit sphere grid stretched and moved, with exact normals."""
    size = np.asarray(radii, np.float32)
    points = grid * size + np.asarray(centre, np.float32)
    return _surface(points, unit(grid / size))


def _surface(points: Floats, normals: Floats) -> Surface:
    flat = points.reshape(-1, 3)
    return Surface(flat, flat, normals.reshape(-1, 3))


def mirrored(surface: Surface) -> Surface:
    """The same mesh on the other side (its triangles must be turned round)."""
    flip = np.array([-1, 1, 1], np.float32)
    return Surface(surface.base * flip, surface.points * flip, surface.normals * flip)


def ear(person: Identity) -> Surface:
    """The ear on the viewer's right."""
    wide = 0.735 * person.face_width
    ear_shape = ellipsoid(
        ball(EAR_ROWS, EAR_COLUMNS), (wide + 0.02, -0.10, -0.06), (0.075, 0.25, 0.15)
    )
    # Tilted back, and standing off the head behind.
    x, y, z = ear_shape.points.T
    points = np.stack([x + 0.25 * np.maximum(-0.06 - z, 0), y, z - 0.22 * (y + 0.1)], -1)
    return Surface(ear_shape.base, points.astype(np.float32), ear_shape.normals)


def curtain(person: Identity) -> Surface:
    """Long hair: a sheet around the back and the sides, open in front."""
    down = np.linspace(0, 1, CURTAIN_ROWS)[:, None]
    across = np.linspace(-1, 1, CURTAIN_COLUMNS)[None]
    opening = 1.28 - 0.34 * ramp(down, 0.35, 1.0)
    turn = np.pi + across * (np.pi - opening)
    y = 0.55 - down * (0.55 + person.hair_length) + 0.0 * across
    spread = 1 + 0.16 * ramp(down, 0.0, 0.7) - 0.10 * ramp(down, 0.75, 1.0)
    wide = (0.72 * person.face_width + 0.8 * person.hair_volume) * spread
    deep = (0.78 + person.hair_volume) * (1 - 0.25 * ramp(down, 0.3, 0.8))
    x, z = np.sin(turn) * wide, np.cos(turn) * deep
    points = np.stack(np.broadcast_arrays(-x, y, z), -1).astype(np.float32)
    normals = np.stack(np.broadcast_arrays(-x / wide**2, 0 * y, z / deep**2), -1)
    return _surface(points, unit(normals.astype(np.float32)))


def glasses(person: Identity) -> tuple[Surface, Ints]:
    """Frame of a pair of glasses: two flat rims, a bridge and two arms, two-sided."""
    turn = np.linspace(-np.pi, np.pi, 29)
    reach = np.array([1.0, 1.3])[:, None]
    pieces: list[Floats] = []
    tri: list[Ints] = []
    count = 0
    square = (np.abs(np.cos(turn)) ** 4 + np.abs(np.sin(turn)) ** 4) ** -0.25
    rx, ry = 0.205 * square, 0.155 * square
    eye = max(person.eye_spacing, 0.30)
    x = np.cos(turn) * (rx + 0.045 * (reach - 1) / 0.3)
    y = np.sin(turn) * (ry + 0.045 * (reach - 1) / 0.3) - 0.02
    for side in (-1, 1):
        rim_x = side * (eye + x)
        rim = np.stack([rim_x, y, _glass_depth(rim_x)], -1)
        count = _add(pieces, tri, rim, count)
    bx = np.linspace(-1, 1, 7)[None] * (eye - 0.2)
    by = 0.04 + np.array([-0.02, 0.025])[:, None] + 0.02 * (1 - (bx / bx.max()) ** 2)
    count = _add(pieces, tri, np.stack(np.broadcast_arrays(bx, by, _glass_depth(bx)), -1), count)
    out = 0.79 * person.face_width
    az = np.linspace(1, 0, 9)[None]
    edge = eye + 0.23
    for side in (-1, 1):
        ax = side * (edge + (out - edge) * ramp(az.astype(np.float32), 1.0, 0.45))
        height = 0.05 + np.array([-0.028, 0.028])[:, None]
        depth = -0.05 + az * (_glass_depth(np.array(edge)) + 0.05)
        count = _add(pieces, tri, np.stack(np.broadcast_arrays(ax, height, depth), -1), count)
    points = np.concatenate(pieces).astype(np.float32)
    normals = np.zeros_like(points)
    normals[:, 1:] = (0.6, 0.8)
    return Surface(points, points, normals), np.concatenate(tri)


def _glass_depth(x: np.ndarray) -> np.ndarray:
    return 0.93 - 0.42 * x * x


def _add(pieces: list[Floats], triangles: list[Ints], strip: np.ndarray, count: int) -> int:
    rows, columns = strip.shape[:2]
    triangles.append(grid_triangles(rows, columns, False) + count)
    pieces.append(strip.reshape(-1, 3))
    return count + rows * columns


def neck(person: Identity, top: Floats) -> Surface:
    """From under the skull at ``top`` (3,), in camera coordinates, down into the shoulders."""
    down = np.linspace(0, 1, NECK_ROWS, dtype=np.float32)[:, None]
    turn = (np.arange(NECK_COLUMNS) / NECK_COLUMNS * 2 - 1)[None] * np.pi
    radius = (0.50 if person.male else 0.40) + 0.10 * ramp(down, 0.45, 1.0)
    foot = np.array([0.0, -1.75, -0.22], np.float32)
    ring = np.stack([np.sin(turn) + 0 * down, 0 * turn + 0 * down, np.cos(turn) + 0 * down], -1)
    points = top + (foot - top) * down[..., None] + ring * radius[..., None]
    return _surface(points.astype(np.float32), ring.astype(np.float32))


def torso(person: Identity) -> Surface:
    """Shoulders and chest, in camera coordinates; they do not turn with the head."""
    wide = 2.15 if person.male else 1.85
    return ellipsoid(ball(TORSO_ROWS, TORSO_COLUMNS), (0, -2.62, -0.30), (wide, 1.38, 0.75))
