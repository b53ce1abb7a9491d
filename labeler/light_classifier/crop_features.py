"""Features of a fixed crop: coarse brightness, split into odd and even.

Model runs of the method `mirror-logistic-2` have these features. New runs look for the face first
(`face_features`).

A grid of 4 x 4 cells is enough. Light changes slowly over a face and identity quickly, and few
labels could not separate the two on a finer grid. With flip L the mirrored image,

    odd = (L - flip L) / 2,    even = (L + flip L) / 2.

A mirror negates the odd part and does not change the even part. All sums whose order a mirror
changes are of integers, so this holds exactly.

Each cell has three measurements, because no single one works for bright and for dark images:

    log(mean / m + 1)    independent of the exposure; m is the mean of the image
    log(peak / m + 1)    peak is the fourth-power mean, which shows a small bright spot
    log(mean + 1)        ratios within shadows

The odd and the even part each have one more number, the prediction of a model of rendered heads
(`rendered_prior`). It knows the light of a lamp at each azimuth before the first label exists. Its
scale is large, so that a penalised fit can use it with a small weight.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from labeler.light_classifier.rendered_prior import CROP_PRIOR, load_rendered, rendered_scores

GRID = 4  # cells per side
MEASUREMENTS = 3
N_PLAIN = MEASUREMENTS * GRID * GRID // 2  # odd or even numbers that come from the cells
N_ODD = N_EVEN = N_PLAIN + 1
N_FEATURES = N_ODD + N_EVEN
# With these factors each measurement has a root mean square length of 10 on Yale B, 1 to 10.
MEASUREMENT_SCALES = (11.0, 9.5, 4.5)
RENDERED_SCALE = 20.0  # standard deviation of the two predictions of rendered heads, on Yale B

Features = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_LUMA = np.array([299, 587, 114], dtype=np.int64)  # ITU-R BT.601, thousandths


def crop_features(crops: npt.NDArray[np.uint8]) -> Features:
    """Return the features of face crops.

    Parameters:
        crops: (N, S, S, 3) uint8 RGB, S a multiple of `GRID`.

    Returns:
        (N, N_FEATURES). First the odd part of the left half, positive if the left is brighter,
        with the rendered heads' prediction of the side last. Then the even part, with their
        prediction of `center` last. Natural logarithms, times `MEASUREMENT_SCALES`.

    Raises:
        ValueError: the shape or the type is wrong.
    """
    return _join(*plain_features(crops))


def typical_features() -> Features:
    """Return features (3, N_FEATURES) of average rendered heads lit from left, front, right."""
    model = load_rendered(CROP_PRIOR)
    odd = np.stack([model.mean_left_odd, np.zeros(N_PLAIN), -model.mean_left_odd])
    even = np.stack([model.mean_left_even, model.mean_center_even, model.mean_left_even])
    return _join(odd, even)


def plain_features(crops: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return the measurements of the cells: odd and even parts, (N, N_PLAIN) each."""
    grey = _thousandths(crops)
    means, peaks = _cell_means(grey), _cell_peaks(grey)
    level = _image_means(grey)[:, None, None]
    measurements = [np.log(means / level + 1), np.log(peaks / level + 1), np.log(means)]
    pairs = [
        _split(each, scale) for each, scale in zip(measurements, MEASUREMENT_SCALES, strict=True)
    ]
    odd, even = zip(*pairs, strict=True)
    return np.concatenate(odd, axis=1), np.concatenate(even, axis=1)


def _join(odd: Floats, even: Floats) -> Features:
    side, center = rendered_scores(CROP_PRIOR, odd, even)
    columns = [odd, side[:, None] * RENDERED_SCALE, even, center[:, None] * RENDERED_SCALE]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _split(measurement: Floats, scale: float) -> tuple[Floats, Floats]:
    """Split (N, GRID, GRID) into odd and even parts (N, GRID * GRID / 2), without the mean."""
    left, right = measurement[..., : GRID // 2], measurement[..., : GRID // 2 - 1 : -1]
    odd, even = (left - right) / 2, (left + right) / 2
    even = even - even.mean(axis=(1, 2), keepdims=True)
    flat = len(measurement), GRID * GRID // 2
    return odd.reshape(flat) * scale, even.reshape(flat) * scale


def _thousandths(crops: npt.NDArray[np.uint8]) -> Counts:
    """Return the luminance in thousandths of a grey level: (N, GRID, cell, GRID, cell)."""
    size = crops.shape[1] if crops.ndim == 4 else 0
    if crops.dtype != np.uint8 or crops.shape[1:] != (size, size, 3) or size % GRID or not size:
        raise ValueError(
            f"crops of shape {crops.shape} and type {crops.dtype} were given; uint8 (N, S, S, 3) "
            f"with S a multiple of {GRID} is needed"
        )
    cell = size // GRID
    return (crops.astype(np.int64) @ _LUMA).reshape(len(crops), GRID, cell, GRID, cell)


def _cell_means(grey: Counts) -> Floats:
    """Return the mean of each cell plus 1, so that black has a logarithm: (N, GRID, GRID)."""
    return grey.sum(axis=(2, 4)) / (1000 * grey.shape[2] ** 2) + 1


def _cell_peaks(grey: Counts) -> Floats:
    """Return the fourth-power mean of each cell, from whole grey levels to avoid an overflow."""
    fourth = ((grey + 1500) // 1000) ** 4
    return (fourth.sum(axis=(2, 4)) / grey.shape[2] ** 2) ** 0.25


def _image_means(grey: Counts) -> Floats:
    return grey.sum(axis=(1, 2, 3, 4)) / (1000 * (GRID * grey.shape[2]) ** 2) + 1
