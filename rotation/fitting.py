"""Choosing and fitting a direction for selected latents, with its reliability."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rotation.directions import (
    METHODS,
    Direction,
    centroids,
    cosine,
    fit_samples,
    fit_sides,
    shrink_spectrum,
)
from rotation.errors import SelectionError
from rotation.selection import Selection

Latents = NDArray[np.float32]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Fit:
    """A direction, and the cosines between the slopes of two disjoint halves of the images.

    A cosine of 1 means that other images would give the same direction, 0 that it is noise.
    """

    direction: Direction
    cosine_left: float
    cosine_right: float


def fit_direction(
    selection: Selection, latents: Latents, method: str, shrink: bool, rng: np.random.Generator
) -> Fit:
    """Fit the direction of a selection.

    Parameters:
        latents: (n, C, H, W), of `selection.members` as used: mirrored where they are mirrored.
        method: `paper` (a line per side through the centroids), `samples` (a line per side
            through all images at their own yaws) or `one-line` (one for both sides).
        shrink: damp the spatial frequencies on which halves of the images disagree.
        rng: splits the images into halves.
    """
    if method not in METHODS:
        raise SelectionError(f"Unknown method {method!r}; {', '.join(METHODS)} are allowed.")
    shape: Shape = latents.shape[1:]
    rows = latents.reshape(len(latents), -1)
    half = _halves(selection, rng)
    whole = _fit(selection, rows, method, np.ones(len(rows), dtype=bool))
    first, second = (_fit(selection, rows, method, part) for part in (half, ~half))
    direction = _shrunk(whole, (first, second), shape) if shrink else whole
    return Fit(direction, cosine(first.left, second.left), cosine(first.right, second.right))


def _fit(selection: Selection, rows: Latents, method: str, used: NDArray[np.bool_]) -> Direction:
    if method != "paper":
        yaws = selection.members.yaw_deg[used]
        return fit_samples(yaws, rows[used], kink=method == "samples")
    edges = np.cumsum((0, *selection.sizes))
    groups = [rows[a:b][used[a:b]] for a, b in pairwise(edges)]
    kept = [k for k, group in enumerate(groups) if len(group)]
    weights = np.array([len(groups[k]) for k in kept], dtype=np.float64)
    angles = np.array(selection.angles_deg)[kept]
    return fit_sides(angles, centroids([groups[k] for k in kept]), weights)


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
