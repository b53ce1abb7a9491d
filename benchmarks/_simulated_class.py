"""A simulated class that labels the faces of Extended Yale B, whose lamps are known.

**Truth.** The azimuth of the lamp in the file name: >= 35 left, <= -35 right, within 10 center.
Other images are not used. (In these files, a negative azimuth is on the viewer's right.)

**Difficulty.** A person of skill s errs on a face with probability min(0.6, (1 - s) m), with

- m = 2.5 for a lamp next to a boundary (azimuth 10 or 35);
- m = 2.5 for a nearly black image (mean grey below 24 of 255, a tenth of the images);
- m = 4 for both, and m = 1 otherwise.

All m are divided by their mean over the faces. So s is the accuracy over all faces, and errors of
different people coincide.

**Kinds of people**, 40 in all:

- 24 good: s evenly from .88 to .95. Wrong answers go to a neighbour: left and right to center with
  85 %, to the opposite side with 5 %, to unsure with 10 %; center to each side with 45 %.
- 6 careless: s = .70; wrong answers are center or the opposite side, equally likely.
- 4 biased to center: they say center with 35 %, otherwise they answer as a good one of s = .90.
- 3 spammers: any of the three labels, at random.
- 3 one-sided: they say left with 70 %, otherwise they answer as a good one of s = .90.

Before all that, a person with a copy rate copies a proposal that is shown, with this probability.
Nobody looks at pixels: the benchmark knows which face each image shows.
"""

from __future__ import annotations

import io
import random
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

NAME = re.compile(r"yaleB\d\d_P00A([+-]\d{3})E[+-]\d\d\.pgm$")
KINDS = {"good": 24, "careless": 6, "centered": 4, "spammer": 3, "one_sided": 3}
BAD = ("spammer", "one_sided")  # must be flagged
MEDIAN_MS = {"good": 1500, "careless": 900, "centered": 1300, "spammer": 600, "one_sided": 800}
DARK = 24.0
MOST_ERRORS = 0.6
# Where a wrong answer goes, by the true label: left, center, right, unsure.
ANSWERS = ("left", "center", "right", "unsure")
NEIGHBOURS = {
    "left": (0.0, 0.85, 0.05, 0.10),
    "center": (0.45, 0.0, 0.45, 0.10),
    "right": (0.05, 0.85, 0.0, 0.10),
}
ANYWHERE = {
    "left": (0.0, 0.5, 0.5, 0.0),
    "center": (0.5, 0.0, 0.5, 0.0),
    "right": (0.5, 0.5, 0.0, 0.0),
}
MIRRORED = {"left": "right", "right": "left"}


@dataclass(frozen=True, slots=True)
class Face:
    """A picture whose light is known. `trouble` multiplies the errors; its mean is 1."""

    label: str
    trouble: float


def read_faces(path: Path) -> dict[str, Face]:
    """The faces of the zip by name in it, those of boundary lamps left out."""
    found: dict[str, tuple[str, float]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            match = NAME.search(name)
            label = label_of(int(match[1])) if match else None
            if match and label:
                grey = np.asarray(Image.open(io.BytesIO(archive.read(name)))).mean()
                found[name] = label, _trouble(abs(int(match[1])), float(grey))
    mean = sum(trouble for _, trouble in found.values()) / len(found)
    return {name: Face(label, trouble / mean) for name, (label, trouble) in found.items()}


def label_of(azimuth: int) -> str | None:
    """The true label of a lamp; None at the boundary."""
    if abs(azimuth) >= 35:
        return "left" if azimuth > 0 else "right"
    return "center" if abs(azimuth) <= 10 else None


def _trouble(azimuth: int, grey: float) -> float:
    return (1.0, 2.5, 4.0)[(azimuth in (10, 35)) + (grey < DARK)]


@dataclass
class SimulatedPerson:
    """One person. `copy_rate` is the probability of copying a proposal that is shown."""

    kind: str
    skill: float
    copy_rate: float
    rng: random.Random

    def answer(self, face: Face, mirrored: bool, shown: str | None) -> str:
        """What they press, of the picture as they see it (`mirrored`: flipped)."""
        if shown is not None and self.rng.random() < self.copy_rate:
            return shown
        if self.kind == "spammer":
            return self.rng.choice(ANSWERS[:3])
        if self.kind == "one_sided" and self.rng.random() < 0.70:
            return "left"
        if self.kind == "centered" and self.rng.random() < 0.35:
            return "center"
        seen = MIRRORED.get(face.label, face.label) if mirrored else face.label
        if self.rng.random() >= min(MOST_ERRORS, (1 - self.skill) * face.trouble):
            return seen
        wrong = ANYWHERE if self.kind == "careless" else NEIGHBOURS
        return self.rng.choices(ANSWERS, wrong[seen])[0]

    def elapsed_ms(self) -> int:
        """How long they looked."""
        return round(self.rng.lognormvariate(np.log(MEDIAN_MS[self.kind]), 0.4))


def make_class(ids: Sequence[int], seed: int, copy_rate: float = 0.0) -> dict[int, SimulatedPerson]:
    """People by number of account, the kinds in random order."""
    rng = random.Random(seed)
    kinds = [kind for kind, count in KINDS.items() for _ in range(count)]
    rng.shuffle(kinds)
    skills = {"careless": 0.70, "centered": 0.90, "one_sided": 0.90, "spammer": 1 / 3}
    return {
        number: SimulatedPerson(
            kind,
            skills.get(kind, rng.uniform(0.88, 0.95)),
            copy_rate,
            random.Random(rng.getrandbits(64)),
        )
        for number, kind in zip(ids, kinds, strict=True)
    }


def class_accuracy(people: Mapping[int, SimulatedPerson], faces: Sequence[Face]) -> float:
    """The share of right answers of the whole class without proposals, by trial."""
    trials = [(person, face) for person in people.values() for face in faces]
    return sum(p.answer(face, False, None) == face.label for p, face in trials) / len(trials)
