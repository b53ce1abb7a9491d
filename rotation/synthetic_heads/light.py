"""Light: a lamp at an azimuth and elevation, ambient light, and soft cast shadows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotation.synthetic_heads.fields import Floats, Ints
from rotation.synthetic_heads.parameters import Scene
from rotation.synthetic_heads.raster import rasterise

# Shadow map around the head, with texels of MAP_TEXEL decimetres. Large texels give soft edges.
MAP_SIZE = 64
MAP_TEXEL = 0.05
MAP_CENTRE_Y = -0.15
NORMAL_OFFSET = 0.09
SOFT_DEPTH = 0.16
WRAP = 0.18


def lamp_direction(scene: Scene) -> NDArray[np.float32]:
    """Unit vector from the head to the lamp; azimuth > 0 is the viewer's left."""
    azimuth, elevation = np.deg2rad([scene.light_azimuth_deg, scene.light_elevation_deg])
    flat = np.cos(elevation)
    return np.array(
        [-np.sin(azimuth) * flat, np.sin(elevation), np.cos(azimuth) * flat], np.float32
    )


def lamp_frame(scene: Scene, points: Floats) -> Floats:
    """Points (3, P) as the lamp sees them (3, P): x, y in texels (y down), z towards the lamp."""
    azimuth = np.deg2rad(scene.light_azimuth_deg)
    lamp = lamp_direction(scene)
    right = np.array([np.cos(azimuth), 0, np.sin(azimuth)], np.float32)
    up = np.array(
        [lamp[1] * right[2], lamp[2] * right[0] - lamp[0] * right[2], -lamp[1] * right[0]]
    )
    x, y, z = points
    y = y - np.float32(MAP_CENTRE_Y)
    texels = np.float32(1 / MAP_TEXEL)
    across = (x * right[0] + z * right[2]) * texels + np.float32(MAP_SIZE / 2)
    along = np.float32(MAP_SIZE / 2) - (x * up[0] + z * up[2] + y * up[1]) * texels
    return np.stack([across, along, x * lamp[0] + z * lamp[2] + y * lamp[1]])


def shadow_map(
    scene: Scene, points: Floats, triangles: Ints, two_sided: NDArray[np.bool_]
) -> Floats:
    """Height towards the lamp of the nearest surface, (MAP_SIZE, MAP_SIZE); very low where none."""
    hit = rasterise(lamp_frame(scene, points), triangles, two_sided, MAP_SIZE, MAP_SIZE)
    nearest = np.full(MAP_SIZE * MAP_SIZE, -100, np.float32)
    nearest[hit.pixels] = hit.depth
    return nearest.reshape(MAP_SIZE, MAP_SIZE)


def lit_share(scene: Scene, nearest: Floats, points: Floats, normals: Floats) -> Floats:
    """Share of the lamp that reaches each point (P,): percentage-closer filtering (Reeves 1987).

    Nine texels are weighted by a quadratic B-spline, so that edges of shadows are smooth.
    """
    seen = lamp_frame(scene, points + np.float32(NORMAL_OFFSET) * normals)
    x, y = np.clip(seen[0], 1.5, MAP_SIZE - 1.5), np.clip(seen[1], 1.5, MAP_SIZE - 1.5)
    column = np.clip(np.floor(x), 1, MAP_SIZE - 2)
    row = np.clip(np.floor(y), 1, MAP_SIZE - 2)
    wx, wy = _spline(x - column - 0.5), _spline(y - row - 0.5)
    flat = nearest.ravel() * np.float32(1 / SOFT_DEPTH)
    start = (row * MAP_SIZE + column).astype(np.intp)
    level = seen[2] * np.float32(1 / SOFT_DEPTH) + 1
    total = np.zeros_like(level)
    for j in (-1, 0, 1):
        line = [
            wx[i + 1] * np.clip(level - flat[start + (j * MAP_SIZE + i)], 0, 1) for i in (-1, 0, 1)
        ]
        total += wy[j + 1] * ((line[0] + line[2]) + line[1])
    return total


def soften(lit: Floats, pixels: Ints, width: int, height: int, radius: int) -> Floats:
    """Blur the lit share (P,) of the covered pixels by two box means of that radius in pixels."""
    picture = np.ones((height, width), np.float32)
    picture.ravel()[pixels] = lit
    for _ in range(2):
        picture = _box_mean(_box_mean(picture, radius).T, radius).T
    return picture.ravel()[pixels]


def _box_mean(picture: Floats, radius: int) -> Floats:
    """Mean over 2 radius + 1 columns. Left and right are paired, so that a flip is exact."""
    width = picture.shape[1]
    padded = np.pad(picture, ((0, 0), (radius, radius)), mode="edge")
    total = picture.copy()
    for k in range(1, radius + 1):
        left = padded[:, radius - k : radius - k + width]
        total += left + padded[:, radius + k : radius + k + width]
    return total * np.float32(1 / (2 * radius + 1))


def _spline(t: Floats) -> tuple[Floats, Floats, Floats]:
    """Quadratic B-spline weights of the texels before, at and after; t in [-0.5, 0.5]."""
    return 0.5 * (0.5 - t) ** 2, 0.75 - t * t, 0.5 * (0.5 + t) ** 2


def shade(
    scene: Scene,
    colour: Floats,
    normals: Floats,
    occlusion: Floats,
    lit: Floats,
    gloss: Floats,
) -> Floats:
    """Linear colours (3, P) under the lamp and the ambient light, with a soft highlight."""
    lamp = lamp_direction(scene)
    facing = normals[0] * lamp[0] + normals[2] * lamp[2] + normals[1] * lamp[1]
    diffuse = np.maximum((facing + WRAP) * (1 / (1 + WRAP)), 0) * lit
    strength = scene.light_strength
    ambient = (0.62 - 0.46 * strength) * occlusion * (0.80 + 0.20 * normals[1])
    key = (0.36 + 0.70 * strength) * (0.35 + 0.65 * occlusion) * diffuse
    half = lamp + np.array([0, 0, 1], np.float32)
    half = half / np.sqrt((half * half).sum())
    mirror = np.maximum(normals[0] * half[0] + normals[2] * half[2] + normals[1] * half[1], 0)
    highlight = gloss * mirror**16 * lit * strength
    return colour * (ambient + key) + highlight
