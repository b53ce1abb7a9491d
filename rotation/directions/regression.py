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

from rotation.directions.direction import Direction
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
    if equations.moment is None:
        raise SelectionError("A regression needs images; there are none.")
    slopes = _solve(equations.gram, equations.moment, ridge)
    left, right = _of_light(slopes, light)
    mean = equations.moment[0] / equations.count
    total = equations.squares - equations.count * float(mean @ mean)
    explained = float(np.sum(slopes * equations.moment)) - equations.count * float(mean @ mean)
    r2 = explained / total if total > 0 else 1.0
    return Direction(left / _SCALE_DEG, right / _SCALE_DEG, r2, r2)


def regression_weights(
    design: Floats, share: Floats, light: str | None, ridge: float = 1.0
) -> NDArray[np.float64]:
    """What each of n images weighs in the slopes of `direction_for`, (2, n): left, right.

    `share` (n,) says how often each image counts. Errors as of `direction_for`.
    """
    rows = np.asarray(design, np.float64)
    weighted = rows * np.asarray(share, np.float64)[:, None]
    slopes = _solve(weighted.T @ rows, weighted.T, ridge)
    return np.asarray(np.stack(_of_light(slopes, light)) / _SCALE_DEG, np.float64)


def _solve(gram: Floats, moment: Floats, ridge: float) -> NDArray[np.float64]:
    """The coefficients (p, D) of X'X (p, p) and X'Z (p, D)."""
    if gram[1, 1] == 0 or gram[2, 2] == 0:
        raise SelectionError("A regression needs images turned to both sides; widen --yaw.")
    penalty = np.diag([0.0] + [ridge] * (COLUMNS - 1))
    return np.asarray(np.linalg.solve(gram + penalty, moment))


def _of_light(slopes: Floats, light: str | None) -> tuple[Floats, Floats]:
    """The yaw coefficients of a light, left and right, from all coefficients (p, D)."""
    if light not in SIDES:
        return slopes[1], slopes[2]
    own = 3 * (SIDES.index(light) + 1)
    return slopes[1] + slopes[own + 1], slopes[2] + slopes[own + 2]
