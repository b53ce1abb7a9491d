"""Choosing and fitting a direction for selected latents, with its reliability."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rotation.directions import (
    METHODS,
    Direction,
    cosine,
    fit_samples,
    fit_sides,
    sample_weights,
    shrink_spectrum,
    side_weights,
)
from rotation.errors import SelectionError
from rotation.regression import (
    NormalEquations,
    design_matrix,
    direction_for,
    regression_weights,
)
from rotation.selection import Members, Selection

Floats = NDArray[np.float64]
Latents = NDArray[np.float32]
Shape = tuple[int, int, int]
BLOCK = 1024  # latents a regression takes in at once


@dataclass(frozen=True)
class Fit:
    """A direction, and the cosines between the slopes of two disjoint halves of the images.

    A cosine of 1 means that other images would give the same direction, 0 that it is noise.
    """

    direction: Direction
    cosine_left: float
    cosine_right: float


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


def fit_direction(
    selection: Selection, latents: Latents, method: str, shrink: bool, rng: np.random.Generator,
    covariates: Covariates | None = None,
) -> Fit:  # fmt: skip
    """Fit the direction of a selection.

    Parameters:
        latents: (n, C, H, W), of `selection.members` as used: mirrored where they are mirrored.
        method: `paper` (a line per side through the centroids), `samples` (a line per side
            through all images at their own yaws), `one-line` (one for both sides) or
            `regression` (`rotation.regression`, over `covariates`).
        shrink: damp the spatial frequencies on which halves of the images disagree.
        rng: splits the images into halves.
    """
    if method not in METHODS:
        raise SelectionError(f"Unknown method {method!r}; {', '.join(METHODS)} are allowed.")
    shape: Shape = latents.shape[1:]
    rows = latents.reshape(len(latents), -1)
    half = _halves(selection, rng)
    parts = (np.ones(len(rows), dtype=bool), half, ~half)
    whole, first, second = (_fit(selection, rows, method, part, covariates) for part in parts)
    direction = _shrunk(whole, (first, second), shape) if shrink else whole
    return Fit(direction, cosine(first.left, second.left), cosine(first.right, second.right))


def _fit(
    selection: Selection, rows: Latents, method: str, used: NDArray[np.bool_],
    covariates: Covariates | None,
) -> Direction:  # fmt: skip
    members = selection.members.take(used)
    if method == "regression":
        return _regress(members, rows[used], used, covariates)
    if method != "paper":
        return fit_samples(members.yaw_deg, rows[used], method == "samples", members.weights)
    edges = np.cumsum((0, *selection.sizes))
    clusters = [(rows[a:b][used[a:b]], c.take(used[a:b])) for (a, b), c
                in zip(pairwise(edges), selection.clusters, strict=True)]  # fmt: skip
    kept = [k for k, (group, _) in enumerate(clusters) if len(group)]
    points = np.stack([np.average(clusters[k][0], axis=0, weights=clusters[k][1].weights)
                       for k in kept])  # fmt: skip
    sizes = np.array([clusters[k][1].effective_size for k in kept])
    return fit_sides(np.array(selection.angles_deg)[kept], points, sizes)


def _regress(
    members: Members, rows: Latents, used: NDArray[np.bool_], covariates: Covariates | None
) -> Direction:
    if covariates is None:
        raise SelectionError("A regression needs the light of every image; give its labels.")
    lights = np.array(covariates.lights, dtype=object)[used]
    design = design_matrix(members.yaw_deg, lights, covariates.pitch_deg[used])
    equations = NormalEquations()
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        weights = None if members.weights is None else members.weights[block]
        equations.add(design[block], rows[block], weights)
    return direction_for(equations, covariates.source_light)


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


def _halves(selection: Selection, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random half of the images, (n,). An image and its mirror image go the same way."""
    rows = selection.members.rows
    images = rng.permutation(np.unique(rows))
    if len(images) < 2:
        raise SelectionError("A direction needs two images at least; label more of them.")
    return np.isin(rows, images[: len(images) // 2])


def _shrunk(whole: Direction, halves: tuple[Direction, Direction], shape: Shape) -> Direction:
    left, right = (
        shrink_spectrum(
            getattr(whole, side), (getattr(halves[0], side), getattr(halves[1], side)), shape
        )
        for side in ("left", "right")
    )
    return replace(whole, left=left, right=right)
