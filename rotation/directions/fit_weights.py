"""Fitting as weights: a slope is a weighted sum of the latents that it is fitted to.

    slopes (2, D) = weights (2, n) @ latents (n, D)

So fits to many resamples are one product of matrices, and the weights alone tell how much chance
there is in a direction. A fit method says which least squares problem each side is; the problem
gives the weights and the explained share of the variance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Covariates, Selection
from rotation.directions.direction import Direction, tie_sides
from rotation.errors import SelectionError

Floats = NDArray[np.float64]
Latents = NDArray[np.floating]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class LeastSquares:
    """A weighted least squares fit of points Z (m, D) to the columns of a design X (m, p).

        Z = c + X B + noise,    B = (X'WX + ridge I)^-1 X'W Z,    slope = s B

    with X and Z less their weighted means, W the diagonal of `share`.

    Attributes:
        design: X (m, p), without a column for the constant c.
        share: (m,) how much each point counts; not all 0.
        slope: s (p,), the combination of coefficients that is the slope per degree.
        ridge: counts as so many points that pull the coefficients to 0.
        means: (m, n), where the points are weighted means of n latents; None: they are the
            latents themselves.
    """

    design: Floats
    share: Floats
    slope: Floats
    ridge: float = 0.0
    means: Floats | None = None

    @cached_property
    def _moment(self) -> Floats:
        """X'W (p, m), X less its weighted mean."""
        centred = self.design - self.share @ self.design / self.share.sum()
        return np.asarray((centred * self.share[:, None]).T)

    @cached_property
    def _solution(self) -> Floats:
        """(X'WX + ridge I)^-1 X'W, (p, m)."""
        gram = self._moment @ self.design + self.ridge * np.eye(len(self.slope))
        if np.linalg.matrix_rank(gram) < len(gram):
            raise SelectionError(
                "A direction needs images at two different yaws at least; widen --yaw."
            )
        return np.asarray(np.linalg.solve(gram, self._moment))

    def weights(self) -> Floats:
        """What each of the n latents weighs in the slope, (n,).

        Raises `SelectionError` where the points tell no slope.
        """
        found = self.slope @ self._solution
        return np.asarray(found if self.means is None else found @ self.means)

    def r2(self, latents: Latents) -> float:
        """The share of the points' variance over all D coordinates that the fit explains.

        `latents` are (n, D).
        """
        points = latents
        if self.means is not None:
            points = (self.means.astype(latents.dtype) @ latents).astype(np.float64)
        coefficients, moments, mean = (
            (rows.astype(points.dtype) @ points).astype(np.float64)
            for rows in (self._solution, self._moment, self.share / self.share.sum())
        )
        squares = np.einsum("ij,ij->i", points, points).astype(np.float64)
        total = float(self.share @ squares - self.share.sum() * (mean @ mean))
        return float(np.sum(coefficients * moments)) / total if total > 0 else 1.0


Sides = tuple[LeastSquares, LeastSquares]


@dataclass(frozen=True)
class FitMethod:
    """A way to fit a direction.

    Attributes:
        name, description: as the commands show them.
        sides: the problems of the left and the right side, for a selection whose members count
            `share` (n,) and, where the light of each is known, for the members' covariates.
        every_light: learns from images of every light, and so has to know the light of each.
        shrink: damps the spatial frequencies on which halves of the images disagree.
        tied: makes each side the mirror image of the other.
    """

    name: str
    description: str
    sides: Callable[[Selection, Floats, Covariates | None], Sides]
    every_light: bool = False
    shrink: bool = False
    tied: bool = False

    def problems(
        self, selection: Selection, counts: Floats, covariates: Covariates | None
    ) -> Sides:
        """The least squares problems of the left and the right side.

        `counts` (n,) says how often each member counts (0: left out). Raises `SelectionError`
        where no member counts, or where they tell no direction.
        """
        share = member_shares(selection, counts)
        if not share.any():
            raise SelectionError("A direction needs images; none is left.")
        if self.every_light and covariates is None:
            raise SelectionError("A regression needs the light of every image; give its labels.")
        return self.sides(selection, share, covariates)

    def weights(
        self, selection: Selection, counts: Floats, covariates: Covariates | None
    ) -> Floats:
        """What each of n members weighs in the slopes, (2, n): left, right; see `problems`."""
        return np.stack([side.weights() for side in self.problems(selection, counts, covariates)])


def member_shares(selection: Selection, counts: Floats) -> Floats:
    """Members counted so often (n,), times their weights where they have some."""
    weights = selection.members.weights
    return counts if weights is None else counts * weights


def centroid_weights(selection: Selection, share: Floats) -> Floats:
    """What each of n members, counted by `share` (n,), weighs in the centroids: (K, n).

    Rows sum to 1, but to 0 for a cluster of which no member counts.
    """
    clusters = np.repeat(np.arange(len(selection.clusters)), selection.sizes)
    means = np.where(clusters == np.arange(len(selection.clusters))[:, None], share, 0.0)
    totals = means.sum(axis=1, keepdims=True)
    return np.divide(means, totals, out=np.zeros_like(means), where=totals > 0)


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
        """Members under the source's light (n,)."""
        if self.covariates is None:
            return np.ones(len(self.rows), dtype=bool)
        return self.covariates.has_source_light

    def counted(self, method: FitMethod) -> NDArray[np.bool_]:
        """The members (n,) that a fit method learns from."""
        return np.ones_like(self.lit) if method.every_light else self.lit


def slopes(sample: Sample, method: FitMethod, counts: Floats) -> Floats:
    """Slopes (R, 2, D), left and right, of R fits in which members count `counts` (R, n) times."""
    weights = np.stack([method.weights(sample.selection, one, sample.covariates) for one in counts])
    flat = weights.reshape(-1, weights.shape[-1]).astype(sample.rows.dtype)
    found = (flat @ sample.rows).astype(np.float64).reshape(*weights.shape[:2], -1)
    if method.shrink:
        plain = replace(method, shrink=False, tied=False)
        parts = [slopes(sample, plain, counts * side) for side in alternate_people(sample)]
        found = np.array(
            [
                [shrink_spectrum(whole[side], (a[side], b[side]), sample.shape) for side in (0, 1)]
                for whole, a, b in zip(found, *parts, strict=True)
            ]
        )
    if method.tied:
        ties = [tie_sides(Direction(one[0], one[1], 0.0, 0.0), sample.shape) for one in found]
        found = np.array([[one.left, one.right] for one in ties])
    return found


def alternate_people(sample: Sample) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Every second person and the others: the halves that a shrunk fit compares, (n,) each."""
    order = np.unique(sample.people, return_inverse=True)[1]
    odd = order % 2 == 1
    return odd, ~odd


def shrink_spectrum(
    slope: Latents, halves: tuple[Latents, Latents], shape: tuple[int, int, int], bands: int = 16
) -> Floats:
    """Wiener shrinkage of a slope (D,) by spatial frequency, from two independent halves.

    The noise of a mean of latents is nearly white, but what a turning head adds is mostly coarse.
    In each band b of radial frequency the signal's share is

        gain_b = clip(S / (S + N / 2), 0, 1),   S = <a, b>,   N = (<a, a> + <b, b>) / 2 - S

    with a and b the slopes of the two halves, N / 2 the noise of the whole; no band is
    amplified, so a turn along a damped slope falls short: combine it with a gain. `shape` is
    (C, H, W) with D = C H W.
    """
    whole, first, second = (
        np.fft.rfft2(np.asarray(part, dtype=np.float64).reshape(shape)) for part in (slope, *halves)
    )
    band = _radial_bands(shape[1:], bands)
    gain = np.empty(band.shape)
    for index in range(bands):
        inside = band == index
        a, b = first[:, inside], second[:, inside]
        signal = max(float(np.real(np.vdot(a, b))), 0.0)
        noise = max(float(np.vdot(a, a).real + np.vdot(b, b).real) / 2 - signal, 0.0)
        gain[inside] = signal / (signal + noise / 2) if signal > 0 else 0.0
    return np.fft.irfft2(whole * gain, s=shape[1:]).reshape(-1)


def _radial_bands(size: tuple[int, ...], bands: int) -> NDArray[np.int64]:
    """The band number of each coefficient of `rfft2`, equally wide in radial frequency."""
    rows, columns = np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1])
    radius = np.hypot(rows[:, None], columns[None])
    return np.minimum((radius / radius.max() * bands).astype(np.int64), bands - 1)
