"""What a face crop says about its light: coarse brightness, split by the mirror.

Sixteen cells are enough: light changes slowly over a face, identity quickly, and few labels cannot
tell the two apart on a finer grid. With flip L the mirrored picture, odd = (L - flip L) / 2 and
even = (L + flip L) / 2: a mirror negates the odd part and leaves the even part. All sums that a
mirror permutes are integer, so that this holds bit by bit and not just to rounding.

Three readings of each cell, since no single one suits both a bright and a nearly black frame:

    log(mean / m + 1)    exposure-free and compressed; m is the mean of the picture
    log(peak / m + 1)    peak = fourth-power mean: a lit nostril in a dark frame
    log(mean + 1)        ratios within shadows

and one number more, odd and even: what a model of rendered heads thinks (`rendered`). Its scale
is large, so that a penalised fit can lean on it cheaply: it knows where the light of a lamp at a
given azimuth falls on a head before the first label is there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from labeler.light_classifier.rendered_prior import load_rendered, rendered_scores

VERSION = 1  # of what is measured: a new one where the same file would give other features
GRID = 4  # cells a side
READINGS = 3
N_PLAIN = READINGS * GRID * GRID // 2  # odd or even numbers that come from the cells
N_ODD = N_EVEN = N_PLAIN + 1
N_FEATURES = N_ODD + N_EVEN
# Root mean square length of each reading is 10 on subjects 1-10 of Yale B.
READING_SCALES = (11.0, 9.5, 4.5)
RENDERED_SCALE = 20.0  # standard deviation, there, of the two numbers of the rendered heads

Features = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_LUMA = np.array([299, 587, 114], dtype=np.int64)  # ITU-R BT.601, thousandths


def light_features(crops: npt.NDArray[np.uint8]) -> Features:
    """Features of face crops.

    Parameters:
        crops: (N, S, S, 3) RGB in 0..255, S a multiple of `GRID`.

    Returns:
        (N, N_FEATURES): first the odd part of the left half (positive: left brighter) with the
        rendered heads' opinion on the side last, then the even part, with their opinion on
        `center` last. Natural logarithms, scaled as `READING_SCALES` say.

    Raises:
        ValueError: another shape or type.
    """
    return _join(*plain_features(crops))


def typical_features() -> Features:
    """Features of the average rendered head lit from the left, front, right: (3, N_FEATURES)."""
    model = load_rendered()
    odd = np.stack([model.mean_left_odd, np.zeros(N_PLAIN), -model.mean_left_odd])
    even = np.stack([model.mean_left_even, model.mean_center_even, model.mean_left_even])
    return _join(odd, even)


def plain_features(crops: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """What is measured on the cells alone: odd and even part, (N, N_PLAIN) each."""
    grey = _thousandths(crops)
    means, peaks = _cell_means(grey), _cell_peaks(grey)
    level = _picture_means(grey)[:, None, None]
    readings = [np.log(means / level + 1), np.log(peaks / level + 1), np.log(means)]
    pairs = [_split(each, scale) for each, scale in zip(readings, READING_SCALES, strict=True)]
    odd, even = zip(*pairs, strict=True)
    return np.concatenate(odd, axis=1), np.concatenate(even, axis=1)


def mirror_features(features: Features) -> Features:
    """Features of the mirrored pictures: (N, N_FEATURES) -> (N, N_FEATURES)."""
    return np.concatenate([-features[:, :N_ODD], features[:, N_ODD:]], axis=1)


def _join(odd: Floats, even: Floats) -> Features:
    side, center = rendered_scores(odd, even)
    columns = [odd, side[:, None] * RENDERED_SCALE, even, center[:, None] * RENDERED_SCALE]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _split(reading: Floats, scale: float) -> tuple[Floats, Floats]:
    """(N, GRID, GRID) -> odd and even part, (N, GRID * GRID / 2) each; the mean is taken off."""
    left, right = reading[..., : GRID // 2], reading[..., : GRID // 2 - 1 : -1]
    odd, even = (left - right) / 2, (left + right) / 2
    even = even - even.mean(axis=(1, 2), keepdims=True)
    flat = len(reading), GRID * GRID // 2
    return odd.reshape(flat) * scale, even.reshape(flat) * scale


def _thousandths(crops: npt.NDArray[np.uint8]) -> Counts:
    """(N, S, S, 3) -> (N, GRID, cell, GRID, cell) luminance in thousandths of a grey level."""
    size = crops.shape[1] if crops.ndim == 4 else 0
    if crops.dtype != np.uint8 or crops.shape[1:] != (size, size, 3) or size % GRID or not size:
        raise ValueError(
            f"crops of shape {crops.shape} and type {crops.dtype} were given; uint8 (N, S, S, 3) "
            f"with S a multiple of {GRID} is needed"
        )
    cell = size // GRID
    return (crops.astype(np.int64) @ _LUMA).reshape(len(crops), GRID, cell, GRID, cell)


def _cell_means(grey: Counts) -> Floats:
    """Mean of each cell, one grey level added so that black has a logarithm; (N, GRID, GRID)."""
    return grey.sum(axis=(2, 4)) / (1000 * grey.shape[2] ** 2) + 1


def _cell_peaks(grey: Counts) -> Floats:
    """Fourth-power mean of each cell; whole grey levels, since thousandths would overflow."""
    fourth = ((grey + 1500) // 1000) ** 4
    return (fourth.sum(axis=(2, 4)) / grey.shape[2] ** 2) ** 0.25


def _picture_means(grey: Counts) -> Floats:
    return grey.sum(axis=(1, 2, 3, 4)) / (1000 * (GRID * grey.shape[2]) ** 2) + 1
