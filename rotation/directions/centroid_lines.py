"""The paper's fit: one line per side through the clusters' mean latents.

Source: A. Asperti et al., arXiv 2308.06057, section 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.fit_weights import LeastSquares, Sides, centroid_weights
from rotation.errors import SelectionError

Floats = NDArray[np.float64]


def fit_centroids(selection: Selection, share: Floats, covariates: Covariates | None) -> Sides:
    """One line through the centroids at yaw <= 0, one through those at yaw >= 0.

    A centroid counts by its effective number of images. A side that has a single angle (the range
    asked for lies on the other side) takes the other side's line.
    """
    means = centroid_weights(selection, share)
    kept = np.flatnonzero(means.any(axis=1))
    yaws = np.array(selection.angles_deg)[kept]
    sizes = 1 / np.square(means[kept]).sum(axis=1)
    central = float(np.abs(yaws).min())  # the middle clusters belong to both sides
    left, right = (
        _line(yaws, np.where(side, sizes, 0.0), means[kept])
        for side in (yaws <= central, yaws >= -central)
    )
    left, right = left or right, right or left
    if left is None or right is None:
        raise SelectionError("A direction needs clusters at two yaws at least; widen --yaw.")
    return left, right


def _line(yaws: Floats, sizes: Floats, means: Floats) -> LeastSquares | None:
    """A line through the centroids that count; None through a single yaw."""
    if len(np.unique(yaws[sizes > 0])) < 2:
        return None
    return LeastSquares(yaws[:, None], sizes, np.ones(1), means=means)
