"""Image metrics, and the minimum and bootstrap interval of measured values.

Images are uint8 arrays (N, S, S, 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.data.crop import Pixels

Floats = NDArray[np.floating]

LUMA = np.array([0.299, 0.587, 0.114])


def mean_square_error(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Mean square error (N,) between images, with values scaled to [0, 1]."""
    difference = (first.astype(np.float64) - second) / 255
    return np.square(difference).mean(axis=(1, 2, 3))


def psnr(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio (N,) in dB: -10 log10(MSE), at most 100."""
    return -10 * np.log10(np.maximum(mean_square_error(first, second), 1e-10))


def structural_similarity(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Structural similarity (SSIM) of images (N,), 1 for equal images.

        ((2 m1 m2 + c1) (2 s12 + c2)) / ((m1^2 + m2^2 + c1) (s1^2 + s2^2 + c2))

    The means m, variances s^2 and covariance s12 are those under a Gaussian window of 1.5 pixels,
    with c1 = 0.01^2 and c2 = 0.03^2 for values in [0, 1]. The result is the mean over pixels and
    channels.

    Source: Z. Wang et al., *Image Quality Assessment: From Error Visibility to Structural
    Similarity*, IEEE Trans. Image Processing 13(4), 2004.
    """

    from scipy.ndimage import gaussian_filter  # late: few users of this module need scipy

    def local(values: Floats) -> Floats:
        return gaussian_filter(values, sigma=(0, 1.5, 1.5, 0), truncate=3.5)

    a, b = first.astype(np.float64) / 255, second.astype(np.float64) / 255
    mean_a, mean_b = local(a), local(b)
    spread = local(a * a) - mean_a**2 + local(b * b) - mean_b**2
    shared = local(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return (light * (2 * shared + 0.03**2) / (spread + 0.03**2)).mean(axis=(1, 2, 3))


def nearest(images: Pixels, references: Pixels) -> NDArray[np.int64]:
    """For each image the index (N,) of the reference, one of M, with the smallest MSE."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    other = references.reshape(len(references), -1).astype(np.float32)
    squares = np.square(flat).sum(1)[:, None] + np.square(other).sum(1) - 2 * flat @ other.T
    return squares.argmin(axis=1)


def parabola_minimum(grid: Floats, errors: Floats) -> float:
    """Where the error is smallest, by a parabola through the smallest value and its neighbours.

    Parameters:
        grid: (K,), equally spaced positions.
        errors: (K,), the errors there.
    """
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
    """The mean of independent values (n,) with the percentile interval of resampled means.

    Values that are not independent, as those of the frames of one source, must be averaged first.
    """
    sample = np.asarray(values, dtype=np.float64)
    picks = rng.integers(len(sample), size=(resamples, len(sample)))
    low, high = np.percentile(sample[picks].mean(axis=1), [2.5, 97.5])
    return Interval(float(sample.mean()), float(low), float(high))
