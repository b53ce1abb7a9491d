"""The crop every part of the engine sees: a square around the face, 64x64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rotation.data.decoding import decode
from rotation.data.sources import ImageSource
from rotation.errors import ImageError

Pixels = NDArray[np.uint8]
"""Pixels (..., H, W, 3), RGB in 0 to 255."""

CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218
CROP_BOX = (24, 56, 152, 184)
"""Left, top, right, bottom in pixels of an aligned CelebA image, 178x218: hair to chin."""

_ASPECT_TOLERANCE = 0.01  # 89x109 differs from 178x218 by nothing, 90x109 by 1.1 %
_SMALLEST = 16  # pixels of a side under which there is no face to see


def standard_crop(image: Image.Image, size: int = 64) -> NDArray[np.uint8]:
    """The face crop of an image: uint8 (size, size, 3), RGB.

    An aligned CelebA image, whole (178x218) or at any scale of it (89x109), gives the box
    (24, 56, 152, 184) at its scale; any other gives its largest central square. Reduced with
    antialiasing (each pixel the mean of what it covers, as nearly as the ratio allows).

    Raises `ImageError` for an image with a side under 16 pixels.
    """
    if min(image.size) < _SMALLEST:
        width, height = image.size
        raise ImageError(f"An image of {width}x{height} is too small; {_SMALLEST} a side is least.")
    rgb = image.convert("RGB")
    small = rgb.resize((size, size), Image.Resampling.BOX, box=crop_box(*rgb.size))
    return np.asarray(small, dtype=np.uint8).copy()


def crop_box(width: int, height: int) -> tuple[float, float, float, float]:
    """Where the crop lies in an image of this size: left, top, right, bottom in its pixels."""
    return (
        _celeba_box(width, height) if _is_celeba(width, height) else _central_square(width, height)
    )


def _is_celeba(width: int, height: int) -> bool:
    ratio = width * CELEBA_HEIGHT / (height * CELEBA_WIDTH)
    return abs(ratio - 1) < _ASPECT_TOLERANCE


def _celeba_box(width: int, height: int) -> tuple[float, float, float, float]:
    across, down = width / CELEBA_WIDTH, height / CELEBA_HEIGHT
    left, top, right, bottom = CROP_BOX
    return left * across, top * down, right * across, bottom * down


def _central_square(width: int, height: int) -> tuple[float, float, float, float]:
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def read_crop(source: ImageSource, name: str, size: int) -> Pixels:
    """The standard crop (S, S, 3) of one image.

    Raises `ImageError` for a file that is no image, `DatasetError` for a name outside of the set.
    """
    return standard_crop(read_image(source, name), size)


def read_image(source: ImageSource, name: str) -> Image.Image:
    """One image, upright RGB; errors as in `read_crop`."""
    return decode(source.read(name), name)
