"""Ground truth: true renders of a synthetic head at other yaws, lights, pitches and identities.

All renders use the scene of the source: the same background, lamp, pitch and smile. Renders are
made on demand and kept, since all variants are judged against the same ones. This module does not
import torch, so that the judges' processes start quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rotation.data.crop import Pixels
from rotation.data.labels import LABELS
from rotation.synthetic_heads.parameters import Head, light_class
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads, sample_identity

GRID_REACH_DEG = 50.0
GRID_STEP_DEG = 2.5

PITCH_STEPS_DEG = np.arange(-12.0, 12.1, 4.0)
LAMPS_DEG = (-60.0, -40.0, 0.0, 40.0, 60.0)
GALLERY_IDENTITY = BENCHMARK_IDENTITY + 500_000
SOURCE_YAW_DEG = 10.0


def benchmark_heads(count: int, seed: int) -> list[Head]:
    """Heads of people that no model has seen, within +-10 degrees of yaw, lights alternating."""
    pool = sample_heads(
        12 * count + 60, seed, BENCHMARK_IDENTITY, (-SOURCE_YAW_DEG, SOURCE_YAW_DEG)
    )
    by_light = {label: [h for h in pool if class_of(h) == label] for label in LABELS}
    return [by_light[LABELS[k % 3]][k // 3] for k in range(count)]


def class_of(head: Head) -> str:
    """The light class of a head."""
    return light_class(head.light_azimuth_deg)


@dataclass
class TrueRenders:
    """True renders (n, S, S, 3) of one head, made on demand. Angles are in degrees.

    Attributes:
        head: the head.
        size: S, the side of renders in pixels.
        people: the number of other people in the gallery.
        step_deg: the step of the grid of yaws.
    """

    head: Head
    size: int = 64
    people: int = 50
    step_deg: float = GRID_STEP_DEG
    _kept: dict[Hashable, Pixels] = field(default_factory=dict, repr=False)

    @property
    def grid_deg(self) -> NDArray[np.float64]:
        """The yaws of the reference renders that the yaw of a frame is measured by."""
        return np.arange(-GRID_REACH_DEG, GRID_REACH_DEG + 0.1, self.step_deg)

    @property
    def grid(self) -> Pixels:
        """The head at each yaw of `grid_deg`."""
        return self._keep("grid", lambda: self.turned(self.grid_deg))

    def turned(self, yaws_deg: Sequence[float] | NDArray[np.float64]) -> Pixels:
        """The head at each of the given yaws."""
        return np.concatenate([self._at(float(yaw)) for yaw in yaws_deg])

    def lit(self, yaw_deg: float) -> tuple[Pixels, list[str]]:
        """The head at a yaw under its own lamp and under `LAMPS_DEG`, and the class of each."""
        own = self.head.light_azimuth_deg
        heads = [replace(self.head, yaw_deg=yaw_deg, light_azimuth_deg=lamp) for lamp in LAMPS_DEG]
        others = self._keep(("lit", yaw_deg), lambda: render(heads, self.size))
        classes: list[str] = [light_class(lamp) for lamp in (own, *LAMPS_DEG)]
        return np.concatenate([self._at(yaw_deg), others]), classes

    def nodding(self, yaw_deg: float) -> Pixels:
        """The head at a yaw with its pitch changed by each of `PITCH_STEPS_DEG`."""
        up, down = PITCH_STEPS_DEG[PITCH_STEPS_DEG > 0], PITCH_STEPS_DEG[PITCH_STEPS_DEG < 0]
        heads = [
            replace(self.head, yaw_deg=yaw_deg, pitch_deg=self.head.pitch_deg + float(step))
            for step in (*down, *up)
        ]
        nods = self._keep(("nodding", yaw_deg), lambda: render(heads, self.size))
        return np.concatenate([nods[: len(down)], self._at(yaw_deg), nods[len(down) :]])

    def gallery(self, yaw_deg: float) -> Pixels:
        """`people` other persons in the same scene, at the same yaw."""
        heads = [
            replace(self.head, yaw_deg=yaw_deg, identity=sample_identity(GALLERY_IDENTITY + k))
            for k in range(self.people)
        ]
        return self._keep(("gallery", yaw_deg), lambda: render(heads, self.size))

    def _at(self, yaw_deg: float) -> Pixels:
        def one() -> Pixels:
            return render([replace(self.head, yaw_deg=yaw_deg)], self.size)

        return self._keep(("yaw", yaw_deg), one)

    def _keep(self, key: Hashable, make: Callable[[], Pixels]) -> Pixels:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]
