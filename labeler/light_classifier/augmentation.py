"""The same picture as another camera would have taken it, with the light where it was.

Shifted, turned, cut tighter, at another exposure and contrast, grained. Nothing here brightens one
part of a picture more than another, which would move the light.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from labeler.light_classifier.features import Features, light_features

VARIANTS = 4
SHIFT = 1 / 16  # of the side, each way
TIGHTEST = 0.84  # of the side
TURN_DEG = 5.0
GAMMA = 1.3
DARKEST, BRIGHTEST = 0.6, 1.1
GRAIN = 1.0  # grey levels


def features_with_variants(
    crops: npt.NDArray[np.uint8], numbers: Sequence[int] | None = None
) -> Features:
    """Features of face crops and of their variants.

    Parameters:
        crops: (N, S, S, 3), as for `light_features`.
        numbers: (N,) not negative; what is drawn for a picture depends on its number alone.
            Default: its place.

    Returns:
        (1 + VARIANTS, N, N_FEATURES): first those of the crops as they are.

    Raises:
        ValueError: as `light_features`.
    """
    plain = light_features(crops)
    varied = np.empty((VARIANTS, *crops.shape), np.uint8)
    for place, (crop, number) in enumerate(zip(crops, numbers or range(len(crops)), strict=True)):
        rng = np.random.default_rng((0, number))
        for variant in varied[:, place]:
            variant[:] = vary(crop, rng)
    return np.stack([plain, *(light_features(each) for each in varied)])


def vary(crop: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A variant of one crop (S, S, 3), of the same shape."""
    size = len(crop)
    side = size * rng.uniform(TIGHTEST, 1)
    corner = (size - side) / 2 + rng.uniform(-SHIFT, SHIFT, 2) * size
    left, top = np.clip(corner, 0, size - side)
    turned = Image.fromarray(crop).rotate(
        rng.uniform(-TURN_DEG, TURN_DEG), Image.Resampling.BILINEAR
    )
    box = (left, top, left + side, top + side)
    moved = np.asarray(turned.resize((size, size), Image.Resampling.BILINEAR, box=box))
    gamma = np.exp(rng.uniform(-np.log(GAMMA), np.log(GAMMA)))
    levels = (np.arange(256) / 255) ** gamma * 255 * rng.uniform(DARKEST, BRIGHTEST)
    grain = rng.standard_normal((size, size, 1), np.float32) * np.float32(GRAIN)
    return np.clip(np.rint(levels.astype(np.float32)[moved] + grain), 0, 255).astype(np.uint8)
