"""Choosing and fitting a direction for selected latents, with its reliability."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rotation.directions.direction import (
    METHODS,
    Direction,
    cosine,
    fit_samples,
    fit_sides,
    shrink_spectrum,
)
from rotation.directions.fit_weights import Covariates
from rotation.directions.regression import NormalEquations, design_matrix, direction_for
from rotation.directions.reliability import Draws, Worth, worth
from rotation.directions.ways import Sample, Way, slopes
from rotation.errors import SelectionError
from rotation.selection import Members, Selection

Latents = NDArray[np.float32]
Shape = tuple[int, int, int]
DRAWS = Draws(resamples=20, splits=0)  # within half a second; `rotation directions` draws more
BLOCK = 1024  # latents a regression takes in at once


@dataclass(frozen=True)
class Fit:
    """A direction, and the cosines between the slopes of two disjoint halves of the images.

    A cosine of 1 means that other images would give the same direction, 0 that it is noise.
    `worth` tells more, without split halves; None where images are too few to tell.
    """

    direction: Direction
    cosine_left: float
    cosine_right: float
    worth: Worth | None = None


def fit_direction(
    selection: Selection, latents: Latents, method: str, shrink: bool, rng: np.random.Generator,
    covariates: Covariates | None = None,
) -> Fit:  # fmt: skip
    """Fit the direction of a selection.

    Parameters:
        latents: (n, C, H, W), of `selection.members` as used: mirrored where they are mirrored.
        method: `paper` (a line per side through the centroids), `samples` (a line per side
            through all images at their own yaws), `one-line` (one for both sides) or
            `regression` (`rotation.directions.regression`, over `covariates`).
        shrink: damp the spatial frequencies on which halves of the images disagree.
        rng: splits the images into halves.
    """
    if method not in METHODS:
        raise SelectionError(f"Unknown method {method!r}; {', '.join(METHODS)} are allowed.")
    shape: Shape = latents.shape[1:]
    rows = latents.reshape(len(latents), -1)
    half = _halves(selection, rng)
    way = Way(method, method, shrink)
    sample = Sample(selection, rows, shape, selection.members.rows, covariates)
    whole = _fit(selection, rows, method, covariates)
    halves = slopes(sample, replace(way, shrink=False), np.stack([half, ~half]).astype(np.float64))
    first, second = (Direction(left, right, 0.0, 0.0) for left, right in halves)
    direction = _shrunk(whole, (first, second), shape) if shrink else whole
    cosines = cosine(first.left, second.left), cosine(first.right, second.right)
    return Fit(direction, *cosines, _worth(sample, way))


def _worth(sample: Sample, way: Way) -> Worth | None:
    with suppress(SelectionError):
        return worth(sample, way, DRAWS, seed=0)
    return None


def _fit(
    selection: Selection, rows: Latents, method: str, covariates: Covariates | None
) -> Direction:
    members = selection.members
    if method == "regression":
        return _regress(members, rows, covariates)
    if method != "paper":
        return fit_samples(members.yaw_deg, rows, method == "samples", members.weights)
    edges = np.cumsum((0, *selection.sizes)).tolist()
    clusters = [(rows[a:b], cluster) for (a, b), cluster
                in zip(pairwise(edges), selection.clusters, strict=True) if b > a]  # fmt: skip
    points = np.stack([np.average(part, axis=0, weights=c.weights) for part, c in clusters])
    angles = [a for a, c in zip(selection.angles_deg, selection.clusters, strict=True) if len(c)]
    return fit_sides(np.array(angles), points, np.array([c.effective_size for _, c in clusters]))


def _regress(members: Members, rows: Latents, covariates: Covariates | None) -> Direction:
    if covariates is None:
        raise SelectionError("A regression needs the light of every image; give its labels.")
    design = design_matrix(members.yaw_deg, covariates.lights, covariates.pitch_deg)
    equations = NormalEquations()
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        weights = None if members.weights is None else members.weights[block]
        equations.add(design[block], rows[block], weights)
    return direction_for(equations, covariates.source_light)


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
