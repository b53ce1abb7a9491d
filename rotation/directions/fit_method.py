"""What a fit method is: a least squares problem for each side, solved as weights of the latents.

Each slope is a weighted sum of the latents that it is fitted to:

    slopes (2, D) = weights (2, n) @ latents (n, D)

So the fits to many resamples are one matrix product. The weights alone give the expected noise of
a direction. A fit method defines the least squares problem of each side. The problem yields the
weights and the share of variance explained.
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
    """A weighted least squares fit of points Z (m, D) by a design matrix X (m, p).

        Z = c + X B + noise,    B = (X'WX + ridge I)^-1 X'W Z,    slope = s B

    X and Z are centred by their weighted means. W is the diagonal matrix of `share`.

    Attributes:
        design: X (m, p), without a column for the constant c.
        share: the weights (m,) of the points; not all 0.
        slope: s (p,), the combination of coefficients that is the slope per degree.
        ridge: the ridge penalty, in numbers of points.
        means: (m, n), if the points are weighted means of n latents. None: the points are the
            latents themselves.
    """

    design: Floats
    share: Floats
    slope: Floats
    ridge: float = 0.0
    means: Floats | None = None

    @cached_property
    def _moment(self) -> Floats:
        """X'W (p, m), with X centred by its weighted mean."""
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
        """The weight of each of the n latents in the slope, (n,).

        Raises:
            SelectionError: the points do not determine a slope.
        """
        found = self.slope @ self._solution
        return np.asarray(found if self.means is None else found @ self.means)

    def r2(self, latents: Latents) -> float:
        """The share of the points' variance, over all D coordinates, that the fit explains.

        `latents` are (n, D). Points without variance give 1.
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
    """One method of fitting a direction.

    Attributes:
        name, description: as the commands show them.
        sides: a function of a selection, the weights (n,) of its members, and their covariates
            (None if the lights are unknown). It returns the problems of the left and right side.
        every_light: whether the method learns from images of every light. It needs covariates.
        shrink: whether spatial frequencies on which halves of the images disagree are damped.
        tied: whether each side is made the mirror image of the other.
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

        Parameters:
            selection: the clusters with their n members.
            counts: how often each member counts, (n,); 0 leaves it out.
            covariates: light and pitch of the members, if known.

        Raises:
            SelectionError: no member counts, or the members do not determine a direction.
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
        """The weight of each of n members in the left and right slope, (2, n); see `problems`."""
        return np.stack([side.weights() for side in self.problems(selection, counts, covariates)])


def member_shares(selection: Selection, counts: Floats) -> Floats:
    """The counts (n,) of the members, multiplied by the members' own weights if they have some."""
    weights = selection.members.weights
    return counts if weights is None else counts * weights


def centroid_weights(selection: Selection, share: Floats) -> Floats:
    """The weight of each of n members in the K centroids, (K, n), from their shares (n,).

    Rows sum to 1. The row of a cluster in which no member counts is 0.
    """
    clusters = np.repeat(np.arange(len(selection.clusters)), selection.sizes)
    means = np.where(clusters == np.arange(len(selection.clusters))[:, None], share, 0.0)
    totals = means.sum(axis=1, keepdims=True)
    return np.divide(means, totals, out=np.zeros_like(means), where=totals > 0)


@dataclass(frozen=True)
class Sample:
    """The data that directions are fitted to.

    Attributes:
        selection: the clusters.
        rows: latents (n, D), float32, of `selection.members` as used.
        shape: (C, H, W), with D = C H W.
        people: the person (n,) that each member shows. Halves and resamples take all images of a
            person. If persons are unknown, image numbers stand in for them.
        covariates: light and pitch of the members, for a regression; or None.
    """

    selection: Selection
    rows: NDArray[np.float32]
    shape: Shape
    people: NDArray[np.int64]
    covariates: Covariates | None = None

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """The number of each member's image (n,); a mirrored member has that of its image."""
        return self.selection.members.rows

    @cached_property
    def lit(self) -> NDArray[np.bool_]:
        """Which members are lit as the source is, (n,)."""
        if self.covariates is None:
            return np.ones(len(self.rows), dtype=bool)
        return self.covariates.has_source_light

    def counted(self, method: FitMethod) -> NDArray[np.bool_]:
        """Which members (n,) a fit method learns from."""
        return np.ones_like(self.lit) if method.every_light else self.lit


def slopes(sample: Sample, method: FitMethod, counts: Floats) -> Floats:
    """Left and right slopes (R, 2, D) of R fits; `counts` (R, n) is how often members count."""
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
    """Two masks (n,): every second person, and all others. A shrunk fit compares these halves."""
    order = np.unique(sample.people, return_inverse=True)[1]
    odd = order % 2 == 1
    return odd, ~odd


def shrink_spectrum(
    slope: Latents, halves: tuple[Latents, Latents], shape: tuple[int, int, int], bands: int = 16
) -> Floats:
    """Wiener shrinkage of a slope by spatial frequency, estimated from two independent halves.

    The noise of a mean of latents is nearly white. The signal of a turn has mostly low
    frequencies. Each band of radial frequency is multiplied by its share of signal:

        gain = clip(S / (S + N / 2), 0, 1),   S = <a, b>,   N = (<a, a> + <b, b>) / 2 - S

    with a and b the two halves' slopes in this band, and N / 2 the noise of the whole. No band is
    amplified, so a turn along a damped slope falls short. Combine it with a gain.

    Parameters:
        slope: the slope (D,) to shrink, fitted to all images.
        halves: the slopes (D,) fitted to each of two disjoint halves.
        shape: (C, H, W), with D = C H W.
        bands: the number of frequency bands.

    Returns:
        The damped slope (D,).
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
