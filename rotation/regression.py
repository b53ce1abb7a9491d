"""One regression of latents on yaw, light, yaw x light and pitch, over every labelled image.

    z = c + L yaw- + R yaw+ + sum_l light_l (c_l + L_l yaw- + R_l yaw+) + P pitch + noise

with yaw- = min(yaw, 0), yaw+ = max(yaw, 0) and indicators of left and right light (center is the
base). The yaw coefficients are adjusted for the light, and a source's direction is
L + L_light, R + R_light: every image helps, where a cluster of the source's own light has a third
of them. Normal equations are summed up block by block, so that no more than one block of latents
need be in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rotation.directions import Direction
from rotation.errors import SelectionError

Floats = NDArray[np.floating]
SIDES = ("left", "right")
"""The lights that get indicators; center has none."""

COLUMNS = 10
_SCALE_DEG = 10.0  # angles are counted in tens of degrees, so that columns are of like size


@dataclass
class NormalEquations:
    """X'X (p, p), X'Z (p, D) and the sum of squares of Z, summed up in float64."""

    gram: NDArray[np.float64] = field(default_factory=lambda: np.zeros((COLUMNS, COLUMNS)))
    moment: NDArray[np.float64] | None = None
    squares: float = 0.0
    count: float = 0.0

    def add(self, design: Floats, latents: Floats, weights: Floats | None = None) -> None:
        """Take in latents (n, D) with their design (n, p), weighted by (n,) where given."""
        share = np.ones(len(design)) if weights is None else np.asarray(weights, np.float64)
        rows = np.asarray(design, np.float64)
        self.gram += (rows * share[:, None]).T @ rows
        moment = (rows * share[:, None]).T.astype(latents.dtype) @ latents
        self.moment = moment.astype(np.float64) + (0 if self.moment is None else self.moment)
        self.squares += float(share @ np.square(latents).sum(axis=1, dtype=np.float64))
        self.count += float(share.sum())


def design_matrix(yaws_deg: Floats, lights: Iterable[str], pitches_deg: Floats) -> Floats:
    """The columns (n, 10): 1, yaw-, yaw+; left, its yaw-, yaw+; right, its yaw-, yaw+; pitch."""
    yaw = np.asarray(yaws_deg, np.float64) / _SCALE_DEG
    base = np.stack([np.ones(len(yaw)), np.minimum(yaw, 0), np.maximum(yaw, 0)], axis=1)
    names = np.array(list(lights), dtype=object)
    lit = [base * (names == side)[:, None] for side in SIDES]
    pitch = np.nan_to_num(np.asarray(pitches_deg, np.float64))[:, None] / _SCALE_DEG
    return np.concatenate([base, *lit, pitch], axis=1)


def direction_for(equations: NormalEquations, light: str | None, ridge: float = 1.0) -> Direction:
    """The direction of a source under a light (None: that of center light).

    `ridge` counts as so many images: it is added to the diagonal of X'X but for the constant.
    Raises `SelectionError` where the images do not tell one side's slope.
    """
    if equations.moment is None or equations.gram[1, 1] == 0 or equations.gram[2, 2] == 0:
        raise SelectionError("A regression needs images turned to both sides; widen --yaw.")
    penalty = np.diag([0.0] + [ridge] * (COLUMNS - 1))
    slopes = np.linalg.solve(equations.gram + penalty, equations.moment)
    own = 3 * (SIDES.index(light) + 1) if light in SIDES else None
    left, right = slopes[1].copy(), slopes[2].copy()
    if own is not None:
        left, right = left + slopes[own + 1], right + slopes[own + 2]
    mean = equations.moment[0] / equations.count
    total = equations.squares - equations.count * float(mean @ mean)
    explained = float(np.sum(slopes * equations.moment)) - equations.count * float(mean @ mean)
    r2 = explained / total if total > 0 else 1.0
    return Direction(left / _SCALE_DEG, right / _SCALE_DEG, r2, r2)
