"""On which side a face is lit, by brightness alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotation.data.crop import Pixels
from rotation.imaging.metrics import LUMA


def side_contrast(images: Pixels) -> NDArray[np.float64]:
    """Brightness of the face's left half less its right half (N,), in [-1, 1].

    Taken in the middle of the crop, where a face is at any yaw to +-30 degrees: positive where
    the light comes from the viewer's left. Exactly negated by a mirror.
    """
    side = images.shape[1]
    rows, columns = slice(side // 4, side - side // 8), slice(side // 4, side - side // 4)
    luma = images[:, rows, columns].astype(np.float64) @ LUMA / 255
    half = luma.shape[2] // 2
    return luma[:, :, :half].mean(axis=(1, 2)) - luma[:, :, -half:].mean(axis=(1, 2))
