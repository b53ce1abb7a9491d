"""Data augmentation: variants of an image with the same light.

A variant is shifted, rotated, cropped, has another exposure and contrast, and has grain. No step
changes the brightness of one part more than of another, because that would move the light.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeler.light_classifier.crop_features import Features, crop_features

VARIANTS = 4
SHIFT = 1 / 16  # of the side, in each direction
MIN_SIDE = 0.84  # of the side
ROTATION_DEG = 5.0
GAMMA = 1.3
DARKEST, BRIGHTEST = 0.6, 1.1
GRAIN = 1.0  # grey levels


def crop_features_with_variants(
    crops: npt.NDArray[np.uint8], numbers: Sequence[int] | None = None
) -> Features:
    """Return features of face crops and of their variants.

    Parameters:
        crops: (N, S, S, 3), as for `crop_features`.
        numbers: (N,) seeds of the variants, one per image, >= 0. Default: the position.

    Returns:
        (1 + VARIANTS, N, N_FEATURES). The first row has the unchanged crops.

    Raises:
        ValueError: as `crop_features`.
    """
    plain = crop_features(crops)
    varied = np.empty((VARIANTS, *crops.shape), np.uint8)
    for place, (crop, number) in enumerate(zip(crops, numbers or range(len(crops)), strict=True)):
        rng = np.random.default_rng((0, number))
        for variant in varied[:, place]:
            variant[:] = vary(crop, rng)
    return np.stack([plain, *(crop_features(each) for each in varied)])


def vary(crop: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return a variant of one crop (S, S, 3), with the same shape."""
    size = len(crop)
    side = size * rng.uniform(MIN_SIDE, 1)
    corner = (size - side) / 2 + rng.uniform(-SHIFT, SHIFT, 2) * size
    left, top = np.clip(corner, 0, size - side)
    turned = Image.fromarray(crop).rotate(
        rng.uniform(-ROTATION_DEG, ROTATION_DEG), Image.Resampling.BILINEAR
    )
    box = (left, top, left + side, top + side)
    moved = np.asarray(turned.resize((size, size), Image.Resampling.BILINEAR, box=box))
    gamma = np.exp(rng.uniform(-np.log(GAMMA), np.log(GAMMA)))
    levels = (np.arange(256) / 255) ** gamma * 255 * rng.uniform(DARKEST, BRIGHTEST)
    grain = rng.standard_normal((size, size, 1), np.float32) * np.float32(GRAIN)
    return np.clip(np.rint(levels.astype(np.float32)[moved] + grain), 0, 255).astype(np.uint8)
