"""The surface of one head in its own coordinates: x to the viewer's right, y up, z to the front.

The skull is a sphere deformed by smooth fields. Facial features displace it forward, hair displaces
it outward. The origin is at the height of the eyes, between the ears; 1.0 is 100 mm. Everything but
the hair's parting is exactly symmetric in x.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from rotation.synthetic_heads.fields import Floats, Ints, bump, ramp
from rotation.synthetic_heads.parameters import Identity

ROWS, COLUMNS = 74, 76
CENTRE_Y, UP, DOWN = 0.02, 1.10, 1.17
FRONT, BACK = 0.86, 0.98
JAW_FRONT = 0.55


@dataclass(frozen=True, slots=True)
class Surface:
    """A mesh: ``base`` (3, V) paints, ``points`` (3, V) and ``normals`` (3, V) are seen."""

    base: Floats
    points: Floats
    normals: Floats


@cache
def sphere_angles() -> tuple[Floats, Floats]:
    """Polar angle from the top (ROWS, 1) and azimuth, denser in front (1, COLUMNS)."""
    polar = np.linspace(0, np.pi, ROWS)[:, None]
    u = np.arange(COLUMNS) / COLUMNS * 2 - 1
    azimuth = np.pi * (0.45 * u + 0.55 * u**3)
    return polar.astype(np.float32), azimuth[None].astype(np.float32)


@cache
def grid_triangles(rows: int, columns: int, closed: bool) -> Ints:
    """Triangles of a grid of vertices, counter-clockwise from outside, diagonals mirrored in x."""
    i = np.arange(rows - 1)[:, None]
    j = np.arange(columns if closed else columns - 1)[None]
    k = (j + 1) % columns
    a, b, c, d = (i * columns + j, i * columns + k, (i + 1) * columns + j, (i + 1) * columns + k)
    left = np.broadcast_to(j < (columns if closed else columns - 1) / 2, a.shape)
    one = np.where(left[..., None], np.stack([a, c, d], -1), np.stack([a, c, b], -1))
    two = np.where(left[..., None], np.stack([a, d, b], -1), np.stack([b, c, d], -1))
    return np.concatenate([one.reshape(-1, 3), two.reshape(-1, 3)])


def head_surface(person: Identity, smile: float) -> Surface:
    """Skull, face and short hair as one mesh of ROWS x COLUMNS vertices."""
    polar, azimuth = sphere_angles()
    base = _skull(person, polar, azimuth)
    facing = ramp(np.cos(azimuth), 0.05, 0.45)
    front = slice(*np.flatnonzero(facing[0])[[0, -1]] + [0, 1])
    base[2, :, front] += relief(person, smile, *base[:2, :, front]) * facing[:, front]
    points = base
    if person.hair_volume > 0:
        points = base + _outward(base) * hair_thickness(person, base)
    normals = grid_normals(points)
    return Surface(base.reshape(3, -1), points.reshape(3, -1), normals.reshape(3, -1))


def _skull(person: Identity, polar: Floats, azimuth: Floats) -> Floats:
    y = np.cos(polar)
    half_width, front, back = _outline(person, y)
    z = np.cos(azimuth)
    z = z * np.where(z > 0, front, back)
    x = np.sin(azimuth) * half_width
    height = CENTRE_Y + np.where(y >= 0, UP, DOWN * person.face_length) * y
    # The jaw's lower edge rises from the chin to the ears.
    below = np.maximum(-y, 0)
    rise = 0.62 * ramp(below, 0.25, 1.0) * np.clip(JAW_FRONT - z, 0, 0.75)
    return np.stack(np.broadcast_arrays(x, height + rise, z)).astype(np.float32)


def _outline(person: Identity, y: Floats) -> tuple[Floats, Floats, Floats]:
    """Half width, front and back of the skull at the height ``y`` of the unit sphere."""
    ring = np.sqrt(np.maximum(1 - y * y, 0))
    below = np.maximum(-y, 0)
    upper = y >= 0
    half_width = np.where(upper, ring**0.9, ring**person.jaw_square)
    half_width = half_width * (
        0.755 * person.face_width * (1 - person.jaw_width * ramp(below, 0.1, 0.95))
    )
    front = FRONT * np.where(upper, ring**0.75, ring**0.42)
    return half_width, front, BACK * np.where(upper, ring**0.9, ring**1.3)


def face_points(person: Identity, smile: float, x: Floats, y: Floats) -> Floats:
    """Points (3, P) of the bare face at (x, y), for x and y well inside the front of the face.

    ``y`` is on a face of length 1, where the features are drawn (see ``face_height``).
    """
    height = np.where(y < 0, y * person.face_length, y)
    above = height >= CENTRE_Y
    sphere = (height - CENTRE_Y) / np.where(above, UP, DOWN * person.face_length)
    half_width, front, _ = _outline(person, sphere)
    depth = np.sqrt(np.maximum(1 - (x / half_width) ** 2, 0))
    z = front * depth + relief(person, smile, x, height) * ramp(depth, 0.05, 0.45)
    return np.stack([x, height, z]).astype(np.float32)


def relief(person: Identity, smile: float, x: Floats, y: Floats) -> Floats:
    """The displacement of the face from the plain skull at (x, y) of its front."""
    s = np.abs(x)
    y = face_height(person, y)
    eye = person.eye_spacing
    male = 1.0 if person.male else 0.0
    dent = -0.115 * bump((s - eye) / 0.17, (y - 0.02) / 0.105)
    ball = 0.055 * bump((s - eye) / 0.10, y / 0.075)
    ridge = (0.012 + 0.05 * person.brow_ridge) * bump((s - 0.24) / 0.2, (y - 0.19) / 0.07)
    cheek = (0.02 + 0.05 * person.cheeks + 0.03 * smile) * bump(
        (s - 0.42) / 0.16, (y + 0.30) / 0.15
    )
    lips = 0.055 * bump(x / 0.19, (y + 0.68) / 0.085) * (1 + 0.5 * person.lip_fullness)
    groove = -0.03 * bump(x / 0.2, (y + 0.85) / 0.05)
    chin = (0.05 + 0.08 * person.chin) * bump(x / (0.15 + 0.04 * male), (y + 1.0) / 0.11)
    fold = -0.035 * smile * bump((s - 0.34 - 0.1 * (-0.55 - y)) / 0.04, (y + 0.6) / 0.14)
    return dent + ball + ridge + cheek + lips + groove + chin + fold + _nose(person, s, y)


def _nose(person: Identity, s: Floats, y: Floats) -> Floats:
    tip = nose_tip_height(person)
    along = np.clip((0.10 - y) / (0.10 - tip), 0, 1)
    drop = ramp(y, tip - 0.165, tip + 0.03)
    width = (0.060 + 0.034 * along) * person.nose_width
    bridge = person.nose_height * (0.05 + 0.25 * along**1.35) * ramp(y, 0.24, 0.02) * drop
    wings = 0.085 * bump((s - 0.122 * person.nose_width) / 0.047, (y - tip + 0.03) / 0.062)
    bulb = 0.045 * bump(s / (0.085 * person.nose_width), (y - tip - 0.01) / 0.065)
    return bridge * np.exp(-0.5 * (s / width) ** 2) + wings + bulb


def nose_tip_height(person: Identity) -> float:
    """y of the nose's tip, before the face's length is applied."""
    return -0.40 * person.nose_length


def face_height(person: Identity, y: Floats) -> Floats:
    """Convert y to a face of length 1."""
    return np.where(y < 0, y * np.float32(1 / person.face_length), y)


def _outward(base: Floats) -> Floats:
    x, y, z = base
    return unit(np.stack([x / 0.57, (y - CENTRE_Y) / 1.25, np.where(z > 0, z / 0.74, z / 0.96)]))


def hair_field(person: Identity, base: Floats) -> Floats:
    """Signed distance from the hair's edge at ``base`` (3, ...): positive where hair grows."""
    x, y, z = base
    s = np.abs(x)
    turn = np.arctan2(s, z)
    front = person.hairline - person.fringe * (0.30 - 0.10 * ramp(s, 0.1, 0.5))
    front = front - 0.18 * ramp(s, 0.2, 0.55) + person.hair_part * x * 0.32
    side = np.float32(person.hair_sides)
    nape = np.minimum(side, -0.55)
    low, high = 0.72, 1.30
    edge = front + (side - front) * ramp(turn, low, high)
    t = np.clip((turn - low) / (high - low), 0, 1)
    slope = (front - side) * (6 / (high - low) / 0.72) * t * (1 - t)
    edge = edge + (0.26 - edge) * ramp(turn, 1.42, 1.5) * ramp(turn, 1.9, 1.72) * (side > -0.4)
    edge = edge + (nape - edge) * ramp(turn, 1.74, 1.95)
    return ((y - edge) / np.sqrt(1 + slope * slope)).astype(np.float32)


def hair_thickness(person: Identity, base: Floats) -> Floats:
    """The outward displacement of the surface by hair; 0 on skin."""
    field = hair_field(person, base)
    lip = ramp(field, -0.02, 0.16)
    top = 0.55 + 0.45 * ramp(base[1], 0.1, 0.8)
    return (person.hair_volume * lip * top).astype(np.float32)


def grid_normals(points: Floats) -> Floats:
    """Unit normals (3, rows, columns) of a grid that is closed around and has poles at its ends."""
    around = np.roll(points, -1, axis=2) - np.roll(points, 1, axis=2)
    down = np.empty_like(points)
    down[:, 1:-1] = points[:, 2:] - points[:, :-2]
    down[:, 0], down[:, -1] = points[:, 1] - points[:, 0], points[:, -1] - points[:, -2]
    return unit(_cross(down, around))


def _cross(a: Floats, b: Floats) -> Floats:
    pairs = ((1, 2), (2, 0), (0, 1))
    return np.stack([a[i] * b[j] - a[j] * b[i] for i, j in pairs])


def unit(vectors: Floats) -> Floats:
    """Vectors (3, ...) scaled to length 1."""
    x, y, z = vectors
    return vectors / np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-9))
