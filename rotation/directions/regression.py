"""Fit method `regression`: latents on yaw, light, yaw x light and pitch, over all images.

    z = c + L yaw- + R yaw+ + sum_l light_l (c_l + L_l yaw- + R_l yaw+) + P pitch + noise

where yaw- = min(yaw, 0) and yaw+ = max(yaw, 0). Left and right light have indicators light_l;
center light is the baseline. The direction of a source has the slopes L + L_light and R + R_light.
The regression learns from images of every light. The clusters of one light hold a third of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.fit_method import LeastSquares, Sides
from rotation.errors import SelectionError

Floats = NDArray[np.float64]
SIDES = ("left", "right")
"""Lights with an indicator column; center light is the baseline."""

RIDGE = 1.0  # in images
_SCALE_DEG = 10.0  # tens of degrees give all columns a similar size


def fit_every_light(
    selection: Selection, share: Floats, covariates: Covariates | None, ridge: float = RIDGE
) -> Sides:
    """Fit the direction of a source under its own light.

    A source of unknown light gets the direction of center light.

    Parameters:
        selection: the members with their yaws in degrees.
        share: the weight of each of the n members, (n,).
        covariates: light and pitch of each member, and the light of the source.
        ridge: strength of the ridge penalty, in images.

    Returns:
        The least squares problems of the left and of the right side.

    Raises:
        SelectionError: covariates are missing, or all images turn to the same side.
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
    """The design matrix (n, 9) of the regression.

    Columns: yaw-, yaw+; left, left yaw-, left yaw+; right, right yaw-, right yaw+; pitch. Angles
    are in tens of degrees. An unknown pitch (NaN) counts as 0.
    """
    yaw = np.asarray(yaws_deg, np.float64) / _SCALE_DEG
    base = np.stack([np.ones(len(yaw)), np.minimum(yaw, 0), np.maximum(yaw, 0)], axis=1)
    names = np.array(list(lights), dtype=object)
    lit = [base * (names == side)[:, None] for side in SIDES]
    pitch = np.nan_to_num(np.asarray(pitches_deg, np.float64))[:, None] / _SCALE_DEG
    return np.concatenate([base[:, 1:], *lit, pitch], axis=1)


def _coefficients(side: int, light: str | None) -> Floats:
    """The combination (9,) of coefficients that is the slope per degree; side 0 left, 1 right."""
    slope = np.zeros(9)
    slope[side] = 1 / _SCALE_DEG
    if light in SIDES:
        slope[3 * (SIDES.index(light) + 1) + side] = 1 / _SCALE_DEG
    return slope
