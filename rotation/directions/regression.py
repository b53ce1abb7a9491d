"""One regression of latents on yaw, light, yaw x light and pitch, over every labelled image.

    z = c + L yaw- + R yaw+ + sum_l light_l (c_l + L_l yaw- + R_l yaw+) + P pitch + noise

with yaw- = min(yaw, 0), yaw+ = max(yaw, 0) and indicators of left and right light (center is the
base). The yaw coefficients are adjusted for the light, and a source's direction is
L + L_light, R + R_light: every image helps, where a cluster of the source's own light has a third
of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.fit_weights import LeastSquares, Sides
from rotation.errors import SelectionError

Floats = NDArray[np.float64]
SIDES = ("left", "right")
"""The lights that get indicators; center has none."""

RIDGE = 1.0  # images
_SCALE_DEG = 10.0  # angles are counted in tens of degrees, so that columns are of like size


def fit_every_light(
    selection: Selection, share: Floats, covariates: Covariates | None, ridge: float = RIDGE
) -> Sides:
    """The direction of a source under its light; of an unknown light that of center light.

    Raises `SelectionError` without covariates, and where images turn to one side only.
    """
    if covariates is None:
        raise SelectionError("A regression needs the light of every image; give its labels.")
    design = design_matrix(selection.members.yaw_deg, covariates.lights, covariates.pitch_deg)
    if not (share @ np.square(design[:, :2])).all():
        raise SelectionError("A regression needs images turned to both sides; widen --yaw.")
    left, right = (_coefficients(side, covariates.source_light) for side in (0, 1))
    problem = LeastSquares(design, share, left, ridge)
    return problem, replace(problem, slope=right)


def design_matrix(yaws_deg: Floats, lights: Iterable[str], pitches_deg: Floats) -> Floats:
    """The columns (n, 9): yaw-, yaw+; left, its yaw-, yaw+; right, its yaw-, yaw+; pitch.

    Angles are in tens of degrees.
    """
    yaw = np.asarray(yaws_deg, np.float64) / _SCALE_DEG
    base = np.stack([np.ones(len(yaw)), np.minimum(yaw, 0), np.maximum(yaw, 0)], axis=1)
    names = np.array(list(lights), dtype=object)
    lit = [base * (names == side)[:, None] for side in SIDES]
    pitch = np.nan_to_num(np.asarray(pitches_deg, np.float64))[:, None] / _SCALE_DEG
    return np.concatenate([base[:, 1:], *lit, pitch], axis=1)


def _coefficients(side: int, light: str | None) -> Floats:
    """Which of the 9 coefficients add up to the slope per degree of a side (0 left, 1 right)."""
    slope = np.zeros(9)
    slope[side] = 1 / _SCALE_DEG
    if light in SIDES:
        slope[3 * (SIDES.index(light) + 1) + side] = 1 / _SCALE_DEG
    return slope
