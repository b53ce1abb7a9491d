"""The pictures of the load test: files as small as CelebA's, a few of them under many names."""

from __future__ import annotations

import functools
import io
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 178, 218
DIFFERENT = 50  # a file system allows some 65,000 names of one file


def picture(image_id: int) -> bytes:
    """The file of an image. The first image has the number 1."""
    return _pictures()[(image_id - 1) % DIFFERENT]


def filename(number: int) -> str:
    """The name of an image. The first image has the number 0 here."""
    return f"{number + 1:06d}.jpg"


def write_pictures(folder: Path, images: int) -> None:
    """Write a file for each image. Equal ones are one file under several names."""
    folder.mkdir()
    for number in range(images):
        path = folder / filename(number)
        if number < DIFFERENT:
            path.write_bytes(picture(number + 1))
        else:
            path.hardlink_to(folder / filename(number % DIFFERENT))


@functools.cache
def _pictures() -> list[bytes]:
    """JPEG files of some 8 KB."""
    rng, files = np.random.default_rng(0), []
    for _ in range(DIFFERENT):
        coarse = Image.fromarray(rng.integers(0, 256, (48, 40, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=75)
        files.append(buffer.getvalue())
    return files
