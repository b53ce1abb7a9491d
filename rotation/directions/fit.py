"""The registry of fit methods, and `fit_direction`.

A new fit method is one module, its import here, and one line in `FIT_METHODS`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.centroid_lines import fit_centroids
from rotation.directions.direction import Direction, cosine, tie_sides
from rotation.directions.fit_method import FitMethod, Sample, shrink_spectrum, slopes
from rotation.directions.regression import fit_every_light
from rotation.directions.reliability import DirectionReliability, Resampling, measure_reliability
from rotation.directions.sample_lines import fit_one_line, fit_two_lines
from rotation.errors import SelectionError

Latents = NDArray[np.float32]
QUICK_RESAMPLING = Resampling(resamples=20, splits=0)
"""Takes half a second. `rotation directions` resamples more often."""

FIT_METHODS = {
    method.name: method
    for method in (
        FitMethod("paper", "a line per side through the clusters' centroids", fit_centroids),
        FitMethod("samples", "a line per side through all images", fit_two_lines),
        FitMethod("one-line", "one line for both sides through all images", fit_one_line),
        FitMethod("regression", "over every light at once, adjusted for it", fit_every_light, True),
    )
}

STUDIED_METHODS = {
    **FIT_METHODS,
    "shrink": replace(FIT_METHODS["samples"], name="shrink", shrink=True),
    "tied": replace(FIT_METHODS["samples"], name="tied", tied=True),
}
"""What `rotation directions` compares: all fit methods, and two variants of `samples`."""


def fit_method(name: str) -> FitMethod:
    """The fit method called `name`; raises `SelectionError` for an unknown name."""
    if name not in FIT_METHODS:
        known = ", ".join(FIT_METHODS)
        raise SelectionError(f"There is no fit method {name!r}; {known} are allowed.")
    return FIT_METHODS[name]


@dataclass(frozen=True)
class Fit:
    """A fitted direction and its reliability.

    Attributes:
        direction: the direction fitted to all images.
        cosine_left, cosine_right: the cosine between the slopes fitted to two disjoint halves of
            the images. 1: other images would give the same direction. 0: it is noise.
        reliability: further measures, without split halves; None if there are too few images.
    """

    direction: Direction
    cosine_left: float
    cosine_right: float
    reliability: DirectionReliability | None = None


def fit_direction(
    selection: Selection,
    latents: Latents,
    method: FitMethod,
    rng: np.random.Generator,
    covariates: Covariates | None = None,
) -> Fit:
    """Fit the direction of a selection.

    Parameters:
        selection: the clusters.
        latents: (n, C, H, W), of `selection.members`; those of mirrored members are mirrored.
        method: one of `FIT_METHODS`, or a variant of it.
        rng: splits the images into halves.
        covariates: light and pitch of the members, for a method that learns from every light.

    Raises:
        SelectionError: the images do not determine a direction.
    """
    rows = latents.reshape(len(latents), -1)
    half = _halves(selection, rng)
    sample = Sample(selection, rows, latents.shape[1:], selection.members.rows, covariates)
    plain = replace(method, shrink=False, tied=False)
    counts = np.stack([np.ones(len(rows)), half, ~half]).astype(np.float64)
    whole, first, second = slopes(sample, plain, counts)
    r2_left, r2_right = (side.r2(rows) for side in plain.problems(selection, counts[0], covariates))
    cosines = [cosine(first[side], second[side]) for side in (0, 1)]
    if method.shrink:
        whole = np.stack(
            [shrink_spectrum(whole[k], (first[k], second[k]), sample.shape) for k in (0, 1)]
        )
    direction = Direction(whole[0], whole[1], r2_left, r2_right)
    if method.tied:
        direction = tie_sides(direction, sample.shape)
    return Fit(direction, cosines[0], cosines[1], _reliability(sample, method))


def _reliability(sample: Sample, method: FitMethod) -> DirectionReliability | None:
    with suppress(SelectionError):
        return measure_reliability(sample, method, QUICK_RESAMPLING, seed=0)
    return None


def _halves(selection: Selection, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random half of the members (n,). An image and its mirror image are in the same half."""
    rows = selection.members.rows
    images = rng.permutation(np.unique(rows))
    if len(images) < 2:
        raise SelectionError("A direction needs two images at least; label more of them.")
    return np.isin(rows, images[: len(images) // 2])
