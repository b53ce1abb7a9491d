"""Measures of turned heads, on images (N, S, S, 3) uint8 and on numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.data.crop import Pixels

Floats = NDArray[np.floating]

LUMA = np.array([0.299, 0.587, 0.114])


def mean_square_error(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Mean square difference (N,) on the scale [0, 1]."""
    difference = (first.astype(np.float64) - second) / 255
    return np.square(difference).mean(axis=(1, 2, 3))


def psnr(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Peak signal to noise ratio (N,) in dB, -10 log10(MSE); equal images give 100."""
    return -10 * np.log10(np.maximum(mean_square_error(first, second), 1e-10))


def structural_similarity(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Structural similarity (SSIM) of images (N,), 1 for equal ones.

        ((2 m1 m2 + c1) (2 s12 + c2)) / ((m1^2 + m2^2 + c1) (s1^2 + s2^2 + c2))

    with means, variances and covariance under a Gaussian window of 1.5 pixels, c1 = 0.01^2,
    c2 = 0.03^2 on the scale [0, 1], averaged over pixels and channels (Z. Wang et al., *Image
    quality assessment: from error visibility to structural similarity*, 2004).
    """

    from scipy.ndimage import gaussian_filter  # late: most users of this module need no scipy

    def local(values: Floats) -> Floats:
        return gaussian_filter(values, sigma=(0, 1.5, 1.5, 0), truncate=3.5)

    a, b = first.astype(np.float64) / 255, second.astype(np.float64) / 255
    mean_a, mean_b = local(a), local(b)
    spread = local(a * a) - mean_a**2 + local(b * b) - mean_b**2
    shared = local(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return (light * (2 * shared + 0.03**2) / (spread + 0.03**2)).mean(axis=(1, 2, 3))


def nearest(images: Pixels, references: Pixels) -> NDArray[np.int64]:
    """For each image (N) the index of the reference (M) with the least mean square error."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    other = references.reshape(len(references), -1).astype(np.float32)
    squares = np.square(flat).sum(1)[:, None] + np.square(other).sum(1) - 2 * flat @ other.T
    return squares.argmin(axis=1)


def parabola_minimum(grid: Floats, errors: Floats) -> float:
    """The place of the least error on an even grid (K,), refined by a parabola through three."""
    best = int(np.argmin(errors))
    if best in (0, len(grid) - 1):
        return float(grid[best])
    before, here, after = errors[best - 1 : best + 2]
    bend = before - 2 * here + after
    shift = 0.5 * (before - after) / bend if bend > 0 else 0.0
    return float(grid[best] + shift * (grid[best + 1] - grid[best]))


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: Sequence[float] | Floats, rng: np.random.Generator, resamples: int = 2000
) -> Interval:
    """The mean of values (n,) and its percentile interval over resampled values.

    Values that belong together (the frames of one source) must be averaged first: they are not
    independent.
    """
    sample = np.asarray(values, dtype=np.float64)
    picks = rng.integers(len(sample), size=(resamples, len(sample)))
    low, high = np.percentile(sample[picks].mean(axis=1), [2.5, 97.5])
    return Interval(float(sample.mean()), float(low), float(high))
