"""The fit methods there are, and fitting a direction by one of them, with its reliability."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.centroid_lines import fit_centroids
from rotation.directions.direction import Direction, cosine, tie_sides
from rotation.directions.fit_weights import FitMethod, Sample, shrink_spectrum, slopes
from rotation.directions.regression import fit_every_light
from rotation.directions.reliability import DirectionReliability, Draws, measure_reliability
from rotation.directions.sample_lines import fit_one_line, fit_two_lines
from rotation.errors import SelectionError

Latents = NDArray[np.float32]
DRAWS = Draws(resamples=20, splits=0)  # within half a second; `rotation directions` draws more


# A new fit method is a module of its own and one line here.
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
"""What `rotation directions` compares: the fit methods, and two variants of `samples`."""


def fit_method(name: str) -> FitMethod:
    """The fit method of a name; `SelectionError` where there is none."""
    if name not in FIT_METHODS:
        known = ", ".join(FIT_METHODS)
        raise SelectionError(f"There is no fit method {name!r}; {known} are allowed.")
    return FIT_METHODS[name]


@dataclass(frozen=True)
class Fit:
    """A direction, and the cosines between the slopes of two disjoint halves of the images.

    A cosine of 1 means that other images would give the same direction, 0 that it is noise.
    `reliability` tells more, without split halves; None where images are too few to tell.
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
        latents: (n, C, H, W), of `selection.members` as used: mirrored where they are mirrored.
        method: one of `FIT_METHODS`, or a variant of it.
        rng: splits the images into halves.
        covariates: the members' light and pitch, for a method that learns from every light.

    Raises `SelectionError` where the images tell no direction.
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
        return measure_reliability(sample, method, DRAWS, seed=0)
    return None


def _halves(selection: Selection, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A random half of the images, (n,). An image and its mirror image go the same way."""
    rows = selection.members.rows
    images = rng.permutation(np.unique(rows))
    if len(images) < 2:
        raise SelectionError("A direction needs two images at least; label more of them.")
    return np.isin(rows, images[: len(images) // 2])
