"""Faces of Extended Yale B, and the same faces pasted into scenes.

A scene shows the head at 35 to 100 % of the frame, anywhere, turned by up to 15 degrees in the
plane. Behind it is a wall that is lit from the other side, a gradient, or a texture. The outline of
the head is that of the face mesh under frontal lamps, since all pictures of a person have one pose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from rotation.data.decoding import decode
from rotation.data.sources import open_source
from rotation.faces.face_finder import find_faces
from rotation.faces.face_mesh import OUTLINE

NAME = re.compile(r"yaleB(\d\d)_P00A([+-]\d{3})E([+-]\d\d)\.pgm$")
LEFT, CENTER, RIGHT = 0, 1, 2
SCENE_SIDE = 256  # pixels
SMALLEST, LARGEST = 0.35, 1.0  # of the head, in the frame
MOST_TURN_DEG = 15.0
WIDER = (1.06, 1.08)  # the outline is widened by this, since the mesh ends inside the skin


@dataclass(frozen=True)
class Pictures:
    """Pictures of people under known lamps.

    Attributes:
        pixels: (H, W, 3) uint8 each.
        labels: (N,) 0 left, 1 center, 2 right, -1 between them.
        people, azimuths, elevations: (N,); an azimuth above 0 is at the viewer's left.
    """

    pixels: list[np.ndarray]
    labels: np.ndarray
    people: np.ndarray
    azimuths: np.ndarray
    elevations: np.ndarray


def label_of(azimuth: int) -> int:
    """The label of a lamp."""
    if abs(azimuth) >= 35:
        return LEFT if azimuth > 0 else RIGHT
    return CENTER if abs(azimuth) <= 10 else -1


def read_yale(path: str) -> Pictures:
    """All pictures of the zip or folder of Extended Yale B."""
    rows, pixels = [], []
    with open_source(path) as source:
        for name in source.names():
            if found := NAME.search(name):
                rows.append([int(group) for group in found.groups()])
                picture = decode(source.read(name), name).convert("RGB")
                pixels.append(np.asarray(picture))
    people, azimuths, elevations = np.array(rows).T
    labels = np.array([label_of(azimuth) for azimuth in azimuths])
    return Pictures(pixels, labels, people, azimuths, elevations)


def paste_into_scenes(faces: Pictures, seed: int = 5) -> list[np.ndarray]:
    """Each face in a scene of its own."""
    rng = np.random.default_rng(seed)
    outlines = {person: _outline(faces, person) for person in np.unique(faces.people)}
    return [
        _paste(pixels, outlines[person], int(label), rng)
        for pixels, person, label in zip(faces.pixels, faces.people, faces.labels, strict=True)
    ]


def _outline(faces: Pictures, person: int) -> np.ndarray:
    """The head's outline (K, 2) in pixels: the median of pictures with the lamp in front."""
    front = (np.abs(faces.azimuths) <= 10) & (np.abs(faces.elevations) <= 20)
    rows = np.flatnonzero((faces.people == person) & front)
    found = [face for face in find_faces([faces.pixels[row] for row in rows]) if face]
    points = np.median([face.mesh.points[list(OUTLINE), :2] for face in found], axis=0)
    middle = points.mean(axis=0)
    return middle + (points - middle) * WIDER


def _paste(
    pixels: np.ndarray, outline: np.ndarray, label: int, rng: np.random.Generator
) -> np.ndarray:
    height, width = pixels.shape[:2]
    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in outline], fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(3))
    low, high = outline.min(axis=0), outline.max(axis=0)
    head = rng.uniform(SMALLEST, LARGEST) * SCENE_SIDE
    scale = head / (high - low).max()
    angle = np.deg2rad(rng.uniform(-MOST_TURN_DEG, MOST_TURN_DEG))
    room = (SCENE_SIDE - head) / 2
    x, y = SCENE_SIDE / 2 + rng.uniform(-room, room, 2)
    (from_x, from_y), cos, sin = (low + high) / 2, np.cos(angle) / scale, np.sin(angle) / scale
    data = (cos, -sin, from_x - cos * x + sin * y, sin, cos, from_y - sin * x - cos * y)
    size, affine = (SCENE_SIDE, SCENE_SIDE), Image.Transform.AFFINE
    head_pixels = Image.fromarray(pixels).transform(size, affine, data, Image.Resampling.BICUBIC)
    share = mask.transform(size, affine, data, Image.Resampling.BILINEAR)
    alpha = np.asarray(share, float)[..., None] / 255
    scene = np.asarray(head_pixels, float) * alpha + _background(label, rng) * (1 - alpha)
    return np.clip(np.rint(scene), 0, 255).astype(np.uint8)


def _background(label: int, rng: np.random.Generator) -> np.ndarray:
    """A wall lit from the other side, a gradient in any direction, or a texture."""
    across = np.tile(np.linspace(-1, 1, SCENE_SIDE), (SCENE_SIDE, 1))
    kind = rng.integers(3)
    if kind == 0:
        side = {LEFT: 1, RIGHT: -1}.get(label, int(rng.choice([-1, 1])))
        grey = rng.uniform(60, 160) + side * rng.uniform(30, 90) * across
    elif kind == 1:
        angle = rng.uniform(0, 2 * np.pi)
        slope = np.cos(angle) * across + np.sin(angle) * across.T
        grey = rng.uniform(30, 200) + rng.uniform(20, 100) * slope
    else:
        steps = np.fft.fftfreq(SCENE_SIDE)
        radius = np.hypot(steps[:, None], steps[None])
        radius[0, 0] = 1
        noise = np.fft.fft2(rng.standard_normal((SCENE_SIDE, SCENE_SIDE)))
        texture = np.fft.ifft2(noise / radius**1.4).real
        grey = rng.uniform(60, 180) + texture / texture.std() * rng.uniform(25, 60)
    tint = rng.uniform(0.85, 1.15, 3)
    return np.clip(grey[..., None] * tint, 0, 255)
