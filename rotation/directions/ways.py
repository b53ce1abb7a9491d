"""Ways of fitting a direction, each applied to many resamples of the members at once.

Slopes are linear in latents (`slope_weights`), so many fits are one product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rotation.directions.direction import Direction, shrink_spectrum, tie_sides
from rotation.directions.fit_weights import Covariates, slope_weights
from rotation.selection import Selection

Floats = NDArray[np.float64]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Way:
    """A way of fitting: `fitting.METHODS`, shrunk by halves, or with its sides tied."""

    name: str
    method: str
    shrink: bool = False
    tied: bool = False


WAYS = {
    way.name: way
    for way in (
        Way("paper", "paper"),
        Way("samples", "samples"),
        Way("one-line", "one-line"),
        Way("regression", "regression"),
        Way("shrink", "samples", shrink=True),
        Way("tied", "samples", tied=True),
    )
}


@dataclass(frozen=True)
class Sample:
    """What directions are fitted to.

    Attributes:
        selection: the clusters.
        rows: latents (n, D), float32, of `selection.members` as used.
        shape: (C, H, W), with D = C H W.
        people: (n,) whose picture each member is. Halves and resamples take all of a person;
            numbers of the images do where persons are not known.
        covariates: what a regression adjusts for; None: there will be none.
    """

    selection: Selection
    rows: NDArray[np.float32]
    shape: Shape
    people: NDArray[np.int64]
    covariates: Covariates | None = None

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """The image of each member (n,): mirrored and plain it is the same."""
        return self.selection.members.rows

    @cached_property
    def lit(self) -> NDArray[np.bool_]:
        """Members under the source's light (n,). Only a regression learns from the others."""
        if self.covariates is None:
            return np.ones(len(self.rows), dtype=bool)
        return self.covariates.lit

    def counted(self, way: Way) -> NDArray[np.bool_]:
        """The members (n,) that a way of fitting learns from."""
        return np.ones_like(self.lit) if way.method == "regression" else self.lit


def slopes(sample: Sample, way: Way, counts: Floats) -> Floats:
    """Slopes (R, 2, D), left and right, of R fits in which members count `counts` (R, n) times."""
    weights = np.stack(
        [slope_weights(sample.selection, way.method, sample.covariates, one) for one in counts]
    )
    flat = weights.reshape(-1, weights.shape[-1]).astype(sample.rows.dtype)
    found = (flat @ sample.rows).astype(np.float64).reshape(*weights.shape[:2], -1)
    if way.shrink:
        plain = replace(way, shrink=False)
        parts = [slopes(sample, plain, counts * side) for side in alternate_people(sample)]
        found = np.array([
            [shrink_spectrum(whole[side], (a[side], b[side]), sample.shape) for side in (0, 1)]
            for whole, a, b in zip(found, *parts, strict=True)
        ])  # fmt: skip
    if way.tied:
        ties = [tie_sides(Direction(one[0], one[1], 0.0, 0.0), sample.shape) for one in found]
        found = np.array([[one.left, one.right] for one in ties])
    return found


def alternate_people(sample: Sample) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Every second person and the others: the halves that a shrunk fit compares, (n,) each."""
    order = np.unique(sample.people, return_inverse=True)[1]
    odd = order % 2 == 1
    return odd, ~odd


def member_shares(sample: Sample, counts: Floats) -> Floats:
    """Members counted so often (n,), times their weights where they have some."""
    weights = sample.selection.members.weights
    return counts if weights is None else counts * weights
