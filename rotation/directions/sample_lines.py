"""Fit methods `samples` and `one-line`: lines through all images at their own yaws.

    z = c + left min(yaw, 0) + right max(yaw, 0) + noise

R2 is taken over single images. It is small, since pose explains little of a latent's variance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.fit_method import LeastSquares, Sides

Floats = NDArray[np.float64]


def fit_two_lines(selection: Selection, share: Floats, covariates: Covariates | None) -> Sides:
    """Fit one line per side; both meet at yaw 0.

    If a side has no images, one line serves both sides.

    Parameters:
        selection: the members with their yaws in degrees.
        share: the weight of each of the n members, (n,).
        covariates: not used by this method.

    Returns:
        The least squares problems of the left and of the right side.
    """
    yaws = selection.members.yaw_deg
    used = yaws[share > 0]
    if used.min() >= -1 or used.max() <= 1:
        return fit_one_line(selection, share, covariates)
    design = np.stack([np.minimum(yaws, 0), np.maximum(yaws, 0)], axis=1)
    left = LeastSquares(design, share, np.array([1.0, 0.0]))
    return left, replace(left, slope=np.array([0.0, 1.0]))


def fit_one_line(selection: Selection, share: Floats, covariates: Covariates | None) -> Sides:
    """Fit one line for both sides; parameters as of `fit_two_lines`."""
    line = LeastSquares(selection.members.yaw_deg[:, None], share, np.ones(1))
    return line, line
