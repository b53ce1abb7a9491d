"""Fit method `paper`: one line per side through the mean latents of the clusters.

Source: A. Asperti et al., arXiv 2308.06057, section 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.fit_method import LeastSquares, Sides, centroid_weights
from rotation.errors import SelectionError

Floats = NDArray[np.float64]


def fit_centroids(selection: Selection, share: Floats, covariates: Covariates | None) -> Sides:
    """Fit one line through the centroids at yaw <= 0 and one through those at yaw >= 0.

    Each centroid is weighted by its effective number of images. A side with a single yaw takes
    the line of the other side.

    Parameters:
        selection: the clusters and their K mean yaws, in degrees.
        share: the weight of each of the n members, (n,).
        covariates: not used by this method.

    Returns:
        The least squares problems of the left and of the right side.

    Raises:
        SelectionError: no side has clusters at two different yaws.
    """
    means = centroid_weights(selection, share)
    kept = np.flatnonzero(means.any(axis=1))
    yaws = np.array(selection.angles_deg)[kept]
    sizes = 1 / np.square(means[kept]).sum(axis=1)
    central = float(np.abs(yaws).min())  # the frontal clusters belong to both sides
    left, right = (
        _line(yaws, np.where(side, sizes, 0.0), means[kept])
        for side in (yaws <= central, yaws >= -central)
    )
    left, right = left or right, right or left
    if left is None or right is None:
        raise SelectionError("A direction needs clusters at two yaws at least; widen --yaw.")
    return left, right


def _line(yaws: Floats, sizes: Floats, means: Floats) -> LeastSquares | None:
    """The line through the centroids of positive size; None if they share a single yaw."""
    if len(np.unique(yaws[sizes > 0])) < 2:
        return None
    return LeastSquares(yaws[:, None], sizes, np.ones(1), means=means)
