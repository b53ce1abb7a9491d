"""What each member weighs in a direction: slopes are linear in the latents they are fitted to.

    slopes (2, D) = weights (2, n) @ latents (n, D)

so that fits to many resamples are one product of matrices, and the weights alone tell how much
chance there is in a direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.directions.direction import sample_weights, side_weights
from rotation.directions.regression import design_matrix, regression_weights
from rotation.errors import SelectionError
from rotation.selection import Selection

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Covariates:
    """What a regression adjusts for: `lights` (n,) and `pitch_deg` (n,) of the members as used,
    and the light of the source (None: every light alike)."""

    lights: tuple[str, ...]
    pitch_deg: NDArray[np.float64]
    source_light: str | None

    @property
    def lit(self) -> NDArray[np.bool_]:
        """Members under the source's light (n,)."""
        if self.source_light is None:
            return np.ones(len(self.lights), dtype=bool)
        return np.array([light == self.source_light for light in self.lights])


def slope_weights(
    selection: Selection, method: str, covariates: Covariates | None, counts: Floats
) -> Floats:
    """What each of n members weighs in the slopes, (2, n): left, right.

    Every method's slopes are linear in the latents, slopes (2, D) = weights (2, n) @ latents
    (n, D), so fits to many resamples are one product of matrices. `counts` (n,) says how often
    each member counts (0: left out). Raises `SelectionError` where they tell no direction.
    """
    members = selection.members
    share = counts if members.weights is None else counts * members.weights
    if not share.any():
        raise SelectionError("A direction needs images; none is left.")
    if method == "regression":
        if covariates is None:
            raise SelectionError("A regression needs the light of every image; give its labels.")
        design = design_matrix(members.yaw_deg, covariates.lights, covariates.pitch_deg)
        return regression_weights(design, share, covariates.source_light)
    if method != "paper":
        return sample_weights(members.yaw_deg, share, method == "samples")
    means = centroid_weights(selection, share)
    kept = np.flatnonzero(means.any(axis=1))
    sizes = 1 / np.square(means[kept]).sum(axis=1)  # the effective number of members
    return side_weights(np.array(selection.angles_deg)[kept], sizes) @ means[kept]


def centroid_weights(selection: Selection, share: Floats) -> Floats:
    """What each of n members, counted by `share` (n,), weighs in the centroids: (K, n).

    Rows sum to 1, but to 0 for a cluster of which no member counts.
    """
    clusters = np.repeat(np.arange(len(selection.clusters)), selection.sizes)
    means = np.where(clusters == np.arange(len(selection.clusters))[:, None], share, 0.0)
    totals = means.sum(axis=1, keepdims=True)
    return np.divide(means, totals, out=np.zeros_like(means), where=totals > 0)
