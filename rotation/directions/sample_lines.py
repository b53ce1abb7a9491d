"""Lines through all images at their own yaws, instead of through centroids at rounded ones.

    z = c + left min(yaw, 0) + right max(yaw, 0) + noise

R2 is over images and hence small: most of a latent is not pose.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.fit_weights import LeastSquares, Sides

Floats = NDArray[np.float64]


def fit_two_lines(selection: Selection, share: Floats, covariates: Covariates | None) -> Sides:
    """A line per side that meet at yaw 0; one for both where a side has no images."""
    yaws = selection.members.yaw_deg
    used = yaws[share > 0]
    if used.min() >= -1 or used.max() <= 1:
        return fit_one_line(selection, share, covariates)
    design = np.stack([np.minimum(yaws, 0), np.maximum(yaws, 0)], axis=1)
    left = LeastSquares(design, share, np.array([1.0, 0.0]))
    return left, replace(left, slope=np.array([0.0, 1.0]))


def fit_one_line(selection: Selection, share: Floats, covariates: Covariates | None) -> Sides:
    """One line for both sides."""
    line = LeastSquares(selection.members.yaw_deg[:, None], share, np.ones(1))
    return line, line
