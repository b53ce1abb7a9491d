"""Photographs and their mirror images, reduced to the size in which faces are looked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LONGEST_SIDE = 512  # pixels

Shrunk = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A photograph (H, W, 3) and its mirror image, RGB, each reduced on its own."""


def shrink_pair(photograph: Image.Image) -> Shrunk:
    """Reduce a photograph and its mirror image to `LONGEST_SIDE`; smaller ones keep their size."""
    rgb = photograph.convert("RGB")
    return _shrink(rgb), _shrink(rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT))


def _shrink(photograph: Image.Image) -> NDArray[np.uint8]:
    longest = max(photograph.size)
    if longest > LONGEST_SIDE:
        width, height = (max(1, round(s * LONGEST_SIDE / longest)) for s in photograph.size)
        photograph = photograph.resize((width, height), Image.Resampling.BOX)
    return np.asarray(photograph, dtype=np.uint8)
