"""Photographs that turning is judged on, drawn by person, apart from those for tuning.

Of CelebA's first 10,000 images the people of the last 500 are kept aside, of Labeled Faces in the
Wild a tenth of the people, by a hash of the name. Who of them is judged, and by which photograph,
is drawn by a hash with a seed. So the split is the same everywhere, and whoever trains or tunes can
leave these people out.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from rotation.data.celeba import read_tables
from rotation.data.crop import CELEBA_HEIGHT, CELEBA_WIDTH, CROP_BOX, Pixels, crop_box
from rotation.data.sources import open_source
from rotation.poses.mtcnn import LandmarkDetector

Box = tuple[float, float, float, float]
HELD_OUT = 500
"""The last images of CelebA's first 10,000. Neither they nor their people trained `celeba-64`."""
EYES = (89.0, 111.5)
"""The middle between the eyes in aligned images of CelebA, in pixels."""
EYE_SIDE = 128
"""Side of the crops that eyes are looked for in."""
FARTHEST = 0.2
"""A box moves at most so many of its sides in one round."""
LFW_WINDOW = (36, 2, 36 + CELEBA_WIDTH, 2 + CELEBA_HEIGHT)
"""The part of a deep-funneled picture of 250 x 250 that has CelebA's alignment."""
LFW_SHARE = 0.1
"""Of the people, kept aside for judging."""


@dataclass(frozen=True)
class Photograph:
    """A photograph, or one with a turned head in it.

    Attributes:
        name: unique within its set.
        person: who is shown.
        pixels: (H, W, 3), RGB.
        window: left, top, right, bottom of the part that has CelebA's alignment.
        light: `left`, `center` or `right`.
    """

    name: str
    person: str
    pixels: Pixels
    window: Box
    light: str = "center"

    def with_pixels(self, pixels: Pixels) -> Photograph:
        """The same photograph with other contents."""
        return replace(self, pixels=pixels)


@dataclass(frozen=True)
class PhotographSet:
    """All photographs of a data set, by name, and the people.

    Attributes:
        title: `celeba` or `lfw`.
        path: the folder or zip.
        people: the person of each name.
        candidates: the names that the judging set is drawn from.
    """

    title: str
    path: Path
    people: Mapping[str, str]
    candidates: Sequence[str]
    _open: list = field(default_factory=list, repr=False)

    def read(self, name: str) -> Photograph:
        """One photograph with its window."""
        if not self._open:
            lfw = self.title == "lfw"
            self._open.append(zipfile.ZipFile(self.path) if lfw else open_source(self.path))
        with Image.open(io.BytesIO(self._open[0].read(name))) as image:
            pixels = np.asarray(image.convert("RGB"))
        height, width = pixels.shape[:2]
        window = LFW_WINDOW if self.title == "lfw" else (0, 0, width, height)
        return Photograph(name, self.people[name], pixels, window)

    def judged(self, count: int, seed: int) -> list[str]:
        """One photograph each of `count` people, both drawn by hashes, whatever the yaw."""
        shown = defaultdict(list)
        for name in self.candidates:
            shown[self.people[name]].append(name)
        people = sorted(shown, key=lambda person: _draw(self.title, seed, person))
        return [
            min(shown[p], key=lambda name: _draw(self.title, seed, name)) for p in people[:count]
        ]

    def others(self) -> list[str]:
        """The photographs of everybody who is never judged, in a drawn order: for tuning."""
        people = {self.people[name] for name in self.candidates}
        left = [name for name, person in self.people.items() if person not in people]
        return sorted(left, key=lambda name: _draw(self.title, 0, name))


def celeba(folder: Path) -> PhotographSet:
    """The first 10,000 images of CelebA; the judging set comes from the last 500."""
    with open_source(folder) as images:
        names = images.names()
    table = read_tables(folder).identities
    if table is None:
        raise SystemExit(f"{folder} has no identity_CelebA.txt, by which people are kept apart.")
    known = dict(zip(table.filenames, table.values[:, 0].tolist(), strict=True))
    people = {name: str(known[name]) for name in names if name in known}
    return PhotographSet("celeba", folder, people, [n for n in names[-HELD_OUT:] if n in people])


def lfw(path: Path) -> PhotographSet:
    """Labeled Faces in the Wild, deep-funneled, as a zip of NAME/NAME_0001.jpg."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
    people = {name: name.split("/")[-2] for name in names}
    return PhotographSet("lfw", path, people, [n for n in names if is_kept_aside(people[n])])


def is_kept_aside(person: str) -> bool:
    """Whether a person of Labeled Faces in the Wild may be judged, so is not for training."""
    return int(_draw("lfw", 0, person)[:8], 16) < LFW_SHARE * 2**32


def standard_box(photograph: Photograph) -> Box:
    """The box of the standard crop, in pixels of the photograph."""
    left, top, right, bottom = photograph.window
    box = crop_box(round(right - left), round(bottom - top))
    return left + box[0], top + box[1], left + box[2], top + box[3]


def cut(pixels: Pixels, box: Box, side: int) -> Pixels:
    """A box of a photograph (H, W, 3) as (side, side, 3), with antialiasing.

    Beyond the edge of the photograph its last pixels are repeated.
    """
    height, width = pixels.shape[:2]
    over = int(np.ceil(max(0, -box[0], -box[1], box[2] - width, box[3] - height)))
    if over:
        pixels = np.pad(pixels, ((over, over), (over, over), (0, 0)), mode="edge")
        box = tuple(edge + over for edge in box)
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))


def standard_crops(photograph: Photograph, frames: Pixels, side: int) -> Pixels:
    """The standard crops (K, side, side, 3) of frames (K, H, W, 3) of a photograph."""
    box = standard_box(photograph)
    return np.stack([cut(frame, box, side) for frame in frames])


def boxes_at_eyes(photograph: Photograph, frames: Pixels, rounds: int = 2) -> list[Box]:
    """The standard box of each frame (K, H, W, 3), moved so that the eyes have CelebA's place.

    A head that turns about its neck moves sideways. CelebA aligns each photograph by the eyes.
    """
    boxes = [standard_box(photograph)] * len(frames)
    left, top, right, bottom = CROP_BOX
    place = (np.array(EYES) - (left, top)) / (right - left, bottom - top)
    for _ in range(rounds):
        crops = np.stack([cut(f, box, EYE_SIDE) for f, box in zip(frames, boxes, strict=True)])
        points, _ = LandmarkDetector().detect_crops(crops)
        off = points[:, :2].mean(axis=1) / EYE_SIDE - place
        off = np.clip(np.nan_to_num(off), -FARTHEST, FARTHEST)
        boxes = [_moved(box, step) for box, step in zip(boxes, off.tolist(), strict=True)]
    return boxes


def _moved(box: Box, step: Sequence[float]) -> Box:
    """A box moved by a step (2,) in its own sides."""
    left, top, right, bottom = box
    across, down = step[0] * (right - left), step[1] * (bottom - top)
    return left + across, top + down, right + across, bottom + down


def _draw(title: str, seed: int, key: str) -> str:
    return hashlib.sha256(f"{title}:{seed}:{key}".encode()).hexdigest()
