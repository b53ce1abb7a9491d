"""From clusters of latents to directions: how a latent changes per degree of yaw.

Pure functions on arrays: latents are rows (n, D), float32 or float64; sums run in float64.
A direction has two sides that meet at yaw 0,

    path(yaw) = left * min(yaw, 0) + right * max(yaw, 0)

so that a source at any yaw moves by path(target) - path(source).

The paper fits one line per side through cluster centroids (arXiv 2308.06057, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.errors import SelectionError

Floats = NDArray[np.floating]

METHODS = ("paper", "samples", "one-line", "regression")


@dataclass(frozen=True)
class Line:
    """A line in latent space: latent(yaw) = intercept + slope * yaw.

    `slope` and `intercept` are (D,), the slope per degree; `r2` is the explained share of the
    points' variance over all D coordinates together.
    """

    slope: Floats
    intercept: Floats
    r2: float


@dataclass(frozen=True)
class Direction:
    """Slopes per degree for yaws below 0 (`left`) and above 0 (`right`), (D,), with their R2.

    `flow`: the numbers of the flow along which pictures are carried first, where the slopes are
    those of what it leaves (`rotation.editing.flow_editing`).
    """

    left: Floats
    right: Floats
    r2_left: float
    r2_right: float
    flow: Floats | None = None

    def path(self, yaw_deg: float) -> Floats:
        """The displacement (D,) from yaw 0 to `yaw_deg`."""
        return self.left * min(yaw_deg, 0.0) + self.right * max(yaw_deg, 0.0)

    def displacement(self, from_deg: float, to_deg: float) -> Floats:
        """The displacement (D,) from one yaw to another."""
        return self.path(to_deg) - self.path(from_deg)

    def mirrored(self, shape: tuple[int, int, int]) -> Direction:
        """The direction of mirrored sources, for latents of `shape` (C, H, W).

        z(flip x) = flip z and a mirror negates yaw, so right = -flip(left) and vice versa.
        """
        left, right = (-flip_latents(side[None], shape)[0] for side in (self.left, self.right))
        flow = self.flow
        if flow is not None:
            from rotation.directions.flow import Flow  # late: torch, which few directions need

            flow = Flow.of(flow).mirrored().numbers()
        return Direction(right, left, self.r2_right, self.r2_left, flow)


def flip_latents(latents: Floats, shape: tuple[int, int, int]) -> Floats:
    """Latents (n, D) of the mirrored images, for latents of `shape` (C, H, W)."""
    return latents.reshape(len(latents), *shape)[..., ::-1].reshape(len(latents), -1)


def centroids(groups: Sequence[Floats]) -> NDArray[np.float64]:
    """The mean latent (K, D) of each group (n_k, D)."""
    return np.stack([group.mean(axis=0, dtype=np.float64) for group in groups])


def line_weights(yaws_deg: Floats, share: Floats) -> NDArray[np.float64]:
    """What each of K points weighs in the slope of the line through them, (K,).

    A least squares slope is linear in its points: slope (D,) = weights (K,) @ points (K, D).
    `share` (K,) says how much each point counts. Raises `SelectionError` with fewer than two
    different yaws.
    """
    yaw, part = np.asarray(yaws_deg, dtype=np.float64), np.asarray(share, dtype=np.float64)
    if len(np.unique(yaw[part > 0])) < 2:
        raise SelectionError("A line needs points at two different yaws; widen the --yaw range.")
    part = part / part.sum()
    offset = yaw - part @ yaw
    return np.asarray(part * offset / (part @ offset**2))


def fit_line(yaws_deg: Floats, points: Floats, weights: Floats | None = None) -> Line:
    """Least squares line through points (K, D) at yaws (K,), weighted by (K,) where given.

    slope = sum w (yaw - <yaw>) (z - <z>) / sum w (yaw - <yaw>)^2

    Raises `SelectionError` with fewer than two different yaws.
    """
    yaw = np.asarray(yaws_deg, dtype=np.float64)
    share = np.ones(len(yaw)) if weights is None else np.asarray(weights, dtype=np.float64)
    part = line_weights(yaw, share)
    share = share / share.sum()
    centre = share @ points
    slope = part @ (points - centre)
    spread = share @ (yaw - share @ yaw) ** 2
    total = float(share @ np.square(points - centre).sum(axis=1))
    r2 = float(spread * (slope @ slope)) / total if total > 0 else 1.0
    return Line(slope=slope, intercept=centre - slope * (share @ yaw), r2=r2)


def fit_sides(yaws_deg: Floats, points: Floats, weights: Floats | None = None) -> Direction:
    """The paper's fit: one line for the centroids at yaw <= 0, one for those at yaw >= 0.

    A side that has a single angle (the range asked for lies on the other side) takes the other
    side's line.
    """
    lines: list[Line | None] = []
    for side, enough in _sides(yaws_deg):
        share = None if weights is None else np.asarray(weights)[side]
        yaw = np.asarray(yaws_deg, dtype=np.float64)[side]
        lines.append(fit_line(yaw, points[side], share) if enough else None)
    left, right = lines[0] or lines[1], lines[1] or lines[0]
    if left is None or right is None:
        raise SelectionError("A direction needs clusters at two yaws at least; widen --yaw.")
    return Direction(left.slope, right.slope, left.r2, right.r2)


def side_weights(yaws_deg: Floats, share: Floats) -> NDArray[np.float64]:
    """What each of K centroids weighs in the slopes of `fit_sides`, (2, K): left, right."""
    found: list[NDArray[np.float64] | None] = []
    for side, enough in _sides(yaws_deg):
        part = np.where(side, share, 0.0)
        found.append(line_weights(yaws_deg, part) if enough else None)
    left, right = (a if a is not None else b for a, b in (found, found[::-1]))
    if left is None or right is None:
        raise SelectionError("A direction needs clusters at two yaws at least; widen --yaw.")
    return np.stack([left, right])


def _sides(yaws_deg: Floats) -> list[tuple[NDArray[np.bool_], bool]]:
    """Left and right: which centroids (K,) lie on the side, and whether they make a line."""
    yaw = np.asarray(yaws_deg, dtype=np.float64)
    sides = (yaw <= _nearest_zero(yaw), yaw >= -_nearest_zero(yaw))
    return [(side, len(np.unique(yaw[side])) >= 2) for side in sides]


def _nearest_zero(yaw: Floats) -> float:
    """The central angle's distance from 0, so that it counts on both sides."""
    return float(np.abs(yaw).min())


def fit_samples(
    yaws_deg: Floats, latents: Floats, kink: bool = True, weights: Floats | None = None
) -> Direction:
    """Least squares over all samples (n, D): z = c + left min(yaw, 0) + right max(yaw, 0).

    Uses every image at its own yaw instead of a centroid at a rounded one, weighted by (n,) where
    given. `kink=False` ties both sides to one line. A side without samples takes the other's
    slope. R2 is over samples, hence small: most of a latent is not pose.
    """
    yaw = np.asarray(yaws_deg, dtype=np.float64)
    share = np.ones(len(yaw)) if weights is None else np.asarray(weights, dtype=np.float64)
    part = sample_weights(yaw, share, kink)
    share = share / share.sum()
    slopes = (part.astype(latents.dtype) @ latents).astype(np.float64)  # weights sum to 0
    basis = np.stack([np.minimum(yaw, 0), np.maximum(yaw, 0)], axis=1)
    design = basis - share @ basis
    explained = np.einsum("ij,jd,id->", design.T @ (design * share[:, None]), slopes, slopes)
    mean = (share.astype(latents.dtype) @ latents).astype(np.float64)
    squares = np.einsum("ij,ij->i", latents, latents).astype(np.float64)
    total = float(share @ squares - mean @ mean)
    r2 = float(explained) / total if total > 0 else 1.0
    return Direction(slopes[0], slopes[1], r2, r2)


def sample_weights(yaws_deg: Floats, share: Floats, kink: bool = True) -> NDArray[np.float64]:
    """What each of n samples weighs in the slopes of `fit_samples`, (2, n): left, right."""
    yaw, part = np.asarray(yaws_deg, dtype=np.float64), np.asarray(share, dtype=np.float64)
    used, part = yaw[part > 0], part / part.sum()
    two_sided = kink and used.min() < -1 and used.max() > 1
    basis = np.stack([np.minimum(yaw, 0), np.maximum(yaw, 0)] if two_sided else [yaw], axis=1)
    design = basis - part @ basis
    normal = design.T @ (design * part[:, None])
    if np.linalg.matrix_rank(normal) < len(normal):
        raise SelectionError("A direction needs images at two different yaws; widen --yaw.")
    return np.asarray(np.linalg.solve(normal, (design * part[:, None]).T)[[0, -1]])


def tie_sides(direction: Direction, shape: tuple[int, int, int]) -> Direction:
    """The nearest direction whose right side is exactly the mirrored left one, negated.

        right' = (right - flip(left)) / 2,    left' = -flip(right')

    That is what a source has whose own mirror image is as likely as it, and it halves the noise;
    for a source lit from a side it mixes in the other side's light.
    """
    right = (direction.right - flip_latents(direction.left[None], shape)[0]) / 2
    left = -flip_latents(right[None], shape)[0]
    r2 = (direction.r2_left + direction.r2_right) / 2
    return Direction(left, right, r2, r2)


def shrink_spectrum(
    slope: Floats, halves: tuple[Floats, Floats], shape: tuple[int, int, int], bands: int = 16
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


def cosine(first: Floats, second: Floats) -> float:
    """The cosine between two vectors (D,); 0 where one vanishes."""
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms > 0 else 0.0
