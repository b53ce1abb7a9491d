"""What a face crop says about its light: low-resolution log luminance, split by the mirror.

Log luminance L turns a light's factor into a sum, so that skin and exposure are offsets. With
flip L the mirrored picture, odd = (L - flip L) / 2 and even = (L + flip L) / 2: a mirror negates
the odd part and leaves the even part. All sums that a mirror permutes are integer or pairwise
commutative, so that this holds bit by bit and not just to rounding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

GRID = 16  # cells a side
N_ODD = N_EVEN = GRID * GRID // 2
N_FEATURES = N_ODD + N_EVEN
FLOOR = 6.0  # grey levels added before the logarithm: sensor noise and JPEG rounding in shadows

Features = npt.NDArray[np.float32]

_LUMA = np.array([299, 587, 114], dtype=np.int64)  # ITU-R BT.601, thousandths


def light_features(crops: npt.NDArray[np.uint8]) -> Features:
    """Features of face crops, exposure removed.

    Parameters:
        crops: (N, S, S, 3) RGB in 0..255, S a multiple of `GRID`.

    Returns:
        (N, N_FEATURES): first the odd part of the left half (positive: left brighter), then the
        even part with the mean log luminance of the picture taken off. Natural logarithms.

    Raises:
        ValueError: another shape or type.
    """
    luminance = np.log(_cell_means(crops) + FLOOR)
    left, right = luminance[..., : GRID // 2], luminance[..., : GRID // 2 - 1 : -1]
    odd, even = (left - right) / 2, (left + right) / 2
    even = even - even.mean(axis=(1, 2), keepdims=True)
    halves = [half.reshape(len(crops), N_ODD) for half in (odd, even)]
    return np.concatenate(halves, axis=1).astype(np.float32)


def mirror_features(features: Features) -> Features:
    """Features of the mirrored pictures: (N, N_FEATURES) -> (N, N_FEATURES)."""
    return np.concatenate([-features[:, :N_ODD], features[:, N_ODD:]], axis=1)


def _cell_means(crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(N, S, S, 3) -> (N, GRID, GRID) mean grey levels; exact integer sums within a cell."""
    size = crops.shape[1] if crops.ndim == 4 else 0
    if crops.dtype != np.uint8 or crops.shape[1:] != (size, size, 3) or size % GRID or not size:
        raise ValueError(
            f"crops of shape {crops.shape} and type {crops.dtype} were given; uint8 (N, S, S, 3) "
            f"with S a multiple of {GRID} is needed"
        )
    cell = size // GRID
    colour_sums = crops.reshape(len(crops), GRID, cell, GRID, cell, 3).sum(
        axis=(2, 4), dtype=np.int64
    )
    return (colour_sums @ _LUMA) / (1000 * cell**2)
