"""How reliable a direction is: how much it would differ if it were fitted to other people.

A direction is fitted to a sample of people, and pose explains little of each latent. There are
four measures:

* *split halves*: the cosine between the directions of two disjoint halves of the people;
* *bootstrap*: how far the direction moves when people are resampled with replacement
  (B. Efron, *Bootstrap methods: another look at the jackknife*, 1979). It is measured at a turn of
  30 degrees and compared with its expectation for white latents of unit variance,
  30 |w| sqrt(D), with w the members' weights in the slope;
* *leave one angle out*: the distance of a cluster's centroid from the path that was fitted to the
  other clusters alone;
* *R2* over the centroids. It is optimistic, since the path was fitted to them.

All measures are taken in the whole latent, or within the span of some principal components. These
components decide the decoded image (`rotation.directions.principal_components`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotation.directions.fit_method import (
    FitMethod,
    Floats,
    Sample,
    centroid_weights,
    member_shares,
    slopes,
)
from rotation.errors import SelectionError

TURN_DEG = 30.0
"""The turn at which norms are measured: the largest of the paper."""

COSINE_GOAL = 0.9
SHARES = (1.0, 0.5, 0.25)
"""Shares of the people that two halves hold together. Smaller halves show how cosines grow."""


@dataclass(frozen=True)
class Range:
    """The mean, and the 2.5th and 97.5th percentile, of resampled values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class DirectionReliability:
    """Reliability of the direction of one fit method, averaged over both sides.

    Distances and norms are in the units of a latent.

    Attributes:
        images: the number of images fitted to; mirror images do not count.
        r2: the share of the centroids' variance about their mean that the path explains.
        left_out: root mean square distance of a left-out centroid from its predicted place.
        unmoved: the same for a path that does not move. A path with a greater `left_out` is
            worse than none.
        noise: the sampling error of the left-out centroids, which is part of both.
        half_cosine: the cosine between directions of disjoint halves, over random splits.
        images_for_goal: images per half at which this cosine reaches 0.9. It is extrapolated by
            m / (m + c), with c fitted to the cosines of halves, quarters and eighths.
        bootstrap_cosine: the cosine of resampled directions with the fitted one.
        norm: the norm of the fitted path at 30 degrees, including its noise.
        random: root mean square distance of resampled paths from the fitted one at 30 degrees.
        expected: the same for white latents of unit variance.
    """

    images: int
    r2: float
    left_out: float
    unmoved: float
    noise: float
    half_cosine: Range
    images_for_goal: float
    bootstrap_cosine: Range
    norm: float
    random: float
    expected: float


@dataclass(frozen=True)
class Resampling:
    """The number of bootstrap resamples, and of random splits into halves."""

    resamples: int = 100
    splits: int = 10


def measure_reliability(
    sample: Sample,
    method: FitMethod,
    resampling: Resampling,
    seed: int,
    basis: NDArray[np.floating] | None = None,
) -> DirectionReliability:
    """Measure how reliable the direction of a fit method is.

    Parameters:
        sample: the data.
        method: the fit method.
        resampling: the number of resamples and splits.
        seed: the same seed draws the same people for every method.
        basis: orthonormal rows (K, D); all measures are taken within their span. None: in the
            whole latent.

    Raises:
        SelectionError: the sample does not determine a direction, or has fewer than two people.
    """
    rng = np.random.default_rng(seed)
    counted = sample.counted(method).astype(np.float64)
    whole = _slopes(sample, method, counted[None], basis)[0]
    halves = {
        share: list(_split(sample, method, share, resampling.splits, rng, basis))
        for share in SHARES
    }
    resampled = _slopes(
        sample, method, counted * _resampled(sample, resampling.resamples, rng), basis
    )
    errors = list(_left_out(sample, method, basis))
    left_out, unmoved, noise = _root_mean_square(errors)
    weights = method.weights(sample.selection, counted, sample.covariates)
    size = sample.rows.shape[1] if basis is None else len(basis)
    return DirectionReliability(
        images=len(np.unique(sample.images[counted > 0])),
        r2=_explained(sample, whole, basis),
        left_out=left_out,
        unmoved=unmoved,
        noise=noise,
        half_cosine=_range([value for _, value in halves[SHARES[0]]]),
        images_for_goal=_images_for_goal([pair for pairs in halves.values() for pair in pairs]),
        bootstrap_cosine=_range([_cosine(whole, one) for one in resampled]),
        norm=TURN_DEG * _size(whole),
        random=TURN_DEG * float(np.sqrt(np.mean([_size(one - whole) ** 2 for one in resampled]))),
        expected=TURN_DEG * _size(weights) * float(np.sqrt(size)),
    )


def _slopes(
    sample: Sample, method: FitMethod, counts: Floats, basis: NDArray[np.floating] | None
) -> Floats:
    return _within(slopes(sample, method, counts), basis)


def _within(vectors: NDArray[Any], basis: NDArray[np.floating] | None) -> NDArray[Any]:
    """Coordinates (..., K) of vectors (..., D) in a basis (K, D); unchanged without a basis."""
    return vectors if basis is None else vectors @ basis.T.astype(vectors.dtype)


def _resampled(sample: Sample, count: int, rng: np.random.Generator) -> Floats:
    """How often each member counts, (count, n), if people are drawn with replacement."""
    people, place = np.unique(sample.people, return_inverse=True)
    drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=count)
    return np.asarray(drawn[:, place], dtype=np.float64)


def _split(
    sample: Sample,
    method: FitMethod,
    share: float,
    count: int,
    rng: np.random.Generator,
    basis: NDArray[np.floating] | None,
) -> Iterator[tuple[float, float]]:
    """Draw `count` random pairs of disjoint halves; yield images per half and slopes' cosine.

    Both halves together hold a `share` of the people. A pair that does not determine a direction
    is skipped.
    """
    counted = sample.counted(method)
    people = np.unique(sample.people[counted])
    size = int(len(people) * share / 2)
    if size < 1:
        raise SelectionError("Halves need two people at least; label more images.")
    for _ in range(count):
        order = rng.permutation(people)
        sides = [
            counted & np.isin(sample.people, part)
            for part in (order[:size], order[size : 2 * size])
        ]
        with suppress(SelectionError):
            first, second = _slopes(sample, method, np.array(sides, dtype=np.float64), basis)
            images = np.mean([len(np.unique(sample.images[side])) for side in sides])
            yield float(images), _cosine(first, second)


def _left_out(
    sample: Sample, method: FitMethod, basis: NDArray[np.floating] | None
) -> Iterator[tuple[float, float, float]]:
    """For each cluster: its distance from the others' path, from their mean, and its noise."""
    selection, lit = sample.selection, sample.lit.astype(np.float64)
    own = centroid_weights(selection, member_shares(sample.selection, lit))
    edges = np.cumsum((0, *selection.sizes))
    for k in np.flatnonzero(own.any(axis=1)).tolist():
        inside = slice(edges[k], edges[k + 1])
        others = ~np.isin(sample.images, sample.images[inside][sample.lit[inside]])
        with suppress(SelectionError):
            fitted = slopes(
                sample, method, (sample.counted(method) & others)[None].astype(np.float64)
            )[0]
            still, moved = _prediction(sample, fitted, lit * others, k, own[k])
            found = _within(np.stack([moved, still]), basis)
            yield (*np.linalg.norm(found, axis=1).tolist(), _noise(sample, own[k], basis))


def _prediction(
    sample: Sample, fitted: Floats, share: Floats, k: int, own: Floats
) -> tuple[Floats, Floats]:
    """The offset (D,) of cluster k's centroid from the others' mean, and the path's residual.

        still = c_k - <c_j>,    moved = still - (path(y_k) - <path(y_j)>)

    with means over the other clusters j, each of equal weight. `own` (n,) are the weights of c_k.
    """
    means = centroid_weights(sample.selection, member_shares(sample.selection, share))
    means = means[means.any(axis=1)]
    if not len(means):
        raise SelectionError("No other cluster has members to fit the path to.")
    weights = own - means.mean(axis=0)
    still = (weights.astype(sample.rows.dtype) @ sample.rows).astype(np.float64)
    yaw = sample.selection.members.yaw_deg
    mean_yaws, at = means @ yaw, float(own @ yaw)
    turn = _yaw_sides(np.array([at])) - _yaw_sides(mean_yaws).mean(axis=0)
    return still, still - (turn @ fitted)[0]


def _noise(sample: Sample, own: Floats, basis: NDArray[np.floating] | None) -> float:
    """The norm of the sampling error of a centroid with the weights `own` (n,)."""
    inside = own > 0
    if inside.sum() < 2:
        return float("nan")
    points = _within(sample.rows[inside], basis)
    part = own[inside].astype(points.dtype)
    effective = 1 / float(np.square(part, dtype=np.float64).sum())
    squares = np.einsum("ij,ij->i", points, points)
    mean = part @ points
    spread = max(float(part @ squares) - float(mean @ mean), 0.0)
    return float(np.sqrt(spread / (effective - 1)))


def _explained(sample: Sample, fitted: Floats, basis: NDArray[np.floating] | None) -> float:
    """R2 of a path over the clusters' centroids, weighted by their sizes."""
    share = member_shares(sample.selection, sample.lit.astype(np.float64))
    means = centroid_weights(sample.selection, share)
    kept = means.any(axis=1)
    sizes = (means[kept] > 0).sum(axis=1) / (means[kept] > 0).sum()
    points = _within(
        (means[kept].astype(sample.rows.dtype) @ sample.rows).astype(np.float64), basis
    )
    path = _yaw_sides(means[kept] @ sample.selection.members.yaw_deg) @ fitted
    rest, spread = points - path, points - sizes @ points
    rest = rest - sizes @ rest
    total = float(sizes @ np.square(spread).sum(axis=1))
    return 1 - float(sizes @ np.square(rest).sum(axis=1)) / total if total > 0 else 1.0


def _yaw_sides(yaws_deg: Floats) -> Floats:
    """min(yaw, 0) and max(yaw, 0), (K, 2). Their product with the slopes is the path."""
    return np.stack([np.minimum(yaws_deg, 0), np.maximum(yaws_deg, 0)], axis=1)


def _images_for_goal(pairs: Sequence[tuple[float, float]]) -> float:
    """Images per half for a cosine of `COSINE_GOAL`, from pairs (images, cosine).

    The model cosine = m / (m + c) is fitted by least squares. Both halves share a signal of
    squared norm S, and each has noise of squared norm c S / m. So the cosine is S / (S + c S / m).
    """
    from scipy.optimize import minimize_scalar  # late: half a second of imports

    if not pairs:
        return float("nan")
    images, cosines = (np.array(column) for column in zip(*pairs, strict=True))

    def misfit(log_c: float) -> float:
        return float(np.square(images / (images + np.exp(log_c)) - cosines).sum())

    found = minimize_scalar(misfit, bounds=(0.0, 25.0), method="bounded")
    return float(np.exp(found.x)) * COSINE_GOAL / (1 - COSINE_GOAL)


def _root_mean_square(rows: Sequence[tuple[float, ...]]) -> list[float]:
    """The root mean square of each of three columns, without NaN; NaN for an empty column."""
    table = np.square(np.array(rows, dtype=np.float64).reshape(-1, 3))
    known = np.isfinite(table).sum(axis=0)
    sums = np.nansum(table, axis=0)
    means = np.divide(sums, known, out=np.full(3, np.nan), where=known > 0)
    found: list[float] = np.sqrt(means).tolist()
    return found


def _cosine(first: Floats, second: Floats) -> float:
    """The cosine between slopes (2, D), averaged over both sides; 0 for a side without slope."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return float(np.divide(products, norms, out=np.zeros(2), where=norms > 0).mean())


def _size(fitted: Floats) -> float:
    """The root mean square of both sides' norms, for slopes (2, D)."""
    return float(np.sqrt(np.square(fitted).sum(axis=1).mean()))


def _range(values: Sequence[float]) -> Range:
    if not values:
        return Range(float("nan"), float("nan"), float("nan"))
    low, high = np.percentile(values, [2.5, 97.5])
    return Range(float(np.mean(values)), float(low), float(high))
