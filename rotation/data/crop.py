"""The standard crop: the square around the face that every part of the engine works on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rotation.data.decoding import decode
from rotation.data.image_source import ImageSource
from rotation.errors import ImageError

Pixels = NDArray[np.uint8]
"""Images as arrays (..., H, W, 3), RGB, 0 to 255."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""

CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218
CELEBA_FACE = (47.5, 68.0, 130.5, 182.0)
"""Left, top, right, bottom of the face in an aligned CelebA image (178 x 218). This is MTCNN's mean
box, moved by half a pixel to the middle: an image and its mirror image are read at one place."""
CROP_BOX = (24, 56, 152, 184)
"""Left, top, right, bottom of the crop in an aligned CelebA image (178 x 218): hair to chin."""

_ASPECT_TOLERANCE = 0.01  # of small images: 89x109 has the ratio of 178x218, 90x109 has not
_ROUNDING = 0.5  # pixels by which a side may be off, whatever the size
_SMALLEST_SIDE = 16  # pixels


def standard_crop(image: Image.Image, size: int = 64, box: Box | None = None) -> Pixels:
    """The face crop of an image.

    The crop is resized by a box filter, which averages the pixels that a new pixel covers.

    Parameters:
        box: left, top, right and bottom of the crop in pixels; None: `crop_box`.

    Returns:
        uint8 (size, size, 3), RGB.

    Raises:
        ImageError: a side of the image is shorter than 16 pixels.
    """
    if min(image.size) < _SMALLEST_SIDE:
        width, height = image.size
        raise ImageError(
            f"An image of {width}x{height} is too small; {_SMALLEST_SIDE} a side is least."
        )
    rgb = image.convert("RGB")
    small = rgb.resize((size, size), Image.Resampling.BOX, box=box or crop_box(*rgb.size))
    return np.asarray(small, dtype=np.uint8).copy()


def crop_box(width: int, height: int) -> Box:
    """The crop's left, top, right and bottom, in pixels of an image of this size.

    An image of CelebA's shape is cropped to `CROP_BOX` at its scale, any other one to its largest
    central square. The shape alone does not tell where the face is: whoever turns a single face
    looks for it first (`rotation.poses.mtcnn.LandmarkDetector.face_crop_box`).
    """
    if has_celeba_shape(width, height):
        return _celeba_box(width, height)
    return central_square(width, height)


def has_celeba_shape(width: int, height: int) -> bool:
    """Whether an image may be an aligned CelebA image (178 x 218) at some scale."""
    across, down = width / CELEBA_WIDTH, height / CELEBA_HEIGHT
    rounded = _ROUNDING / CELEBA_WIDTH + _ROUNDING / CELEBA_HEIGHT
    return abs(across / down - 1) < _ASPECT_TOLERANCE and abs(across - down) <= rounded


def _celeba_box(width: int, height: int) -> Box:
    across, down = width / CELEBA_WIDTH, height / CELEBA_HEIGHT
    left, top, right, bottom = CROP_BOX
    return left * across, top * down, right * across, bottom * down


def central_square(width: int, height: int) -> Box:
    """Left, top, right and bottom of the largest square in the middle of an image."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def read_crop(source: ImageSource, name: str, size: int) -> Pixels:
    """The standard crop (size, size, 3) of one image of an image set.

    Raises:
        ImageError: the file cannot be decoded, or the image is too small.
        DatasetError: the image set has no such name.
    """
    return standard_crop(read_image(source, name), size)


def read_image(source: ImageSource, name: str) -> Image.Image:
    """One image of an image set, upright, RGB. Raises the errors of `read_crop`."""
    return decode(source.read(name), name)
