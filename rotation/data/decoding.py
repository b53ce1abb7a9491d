"""Decoding image files of any mode and orientation to upright 8-bit RGB."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from rotation.errors import ImageError

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
"""The formats of `file_names.IMAGE_SUFFIXES`. Pillow has others that start programs, as for EPS."""
MAX_PIXELS = 50_000_000
STRIP_PIXELS = 1_000_000  # converted at a time
DEEP_WHITE = 65535.0
_FAULTS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow's readers raise for damaged data; they promise nothing."""
BACKGROUND = (128, 128, 128)  # behind transparent pixels: mid-grey suggests no light direction


def decode(
    data: bytes, name: str, most_pixels: int = MAX_PIXELS, *, least_side: int | None = None
) -> Image.Image:
    """Decode an image to 8-bit RGB and apply its EXIF orientation.

    16-bit grey keeps its upper eight bits. Palettes and CMYK are converted. Transparent pixels are
    blended with mid-grey.

    Parameters:
        data: the bytes of the file.
        name: the image's name in error messages.
        most_pixels: how many may be decoded.
        least_side: read a JPEG file reduced by 2, 4 or 8, so that its sides still have this many
            pixels. None: read it whole.

    Raises:
        ImageError: the file is empty, no image, truncated or damaged, or has more than
            `MAX_PIXELS` pixels, or more than `most_pixels` after reducing.
    """
    image = read_header(data, name)
    if least_side is not None:
        image.draft(None, (least_side, least_side))  # other formats stay as they are
    _check_pixels(image, name, most_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that is not used
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _to_rgb(image)
    except _FAULTS as error:
        raise ImageError(f"{name}: truncated or damaged image ({_message(error)})") from None


def read_header(data: bytes, name: str) -> Image.Image:
    """Open an image without decoding its pixels: it has format, mode and stored size.

    Raises:
        ImageError: the file is empty, no image, or has more than `MAX_PIXELS` pixels.
    """
    if not data:
        raise ImageError(f"{name}: the file is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image (starts with {data[:8]!r})") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: far too many pixels; at most {MAX_PIXELS:,} are read") from None
    except _FAULTS as error:
        raise ImageError(f"{name}: damaged image header ({_message(error)})") from None
    _check_pixels(image, name, MAX_PIXELS)
    return image


def _check_pixels(image: Image.Image, name: str, most: int) -> None:
    width, height = image.size
    if width * height > most:
        raise ImageError(
            f"{name}: {width} x {height} pixels are too many; at most {most:,} are read"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB, a strip after the other: whole, a large image would need gigabytes."""
    convert = _conversion(image)
    if convert is None:
        return image
    rows = max(1, STRIP_PIXELS // image.width)
    if rows >= image.height:
        return convert(image)
    canvas = Image.new("RGB", image.size)
    for strip, top in _strips(image, rows):
        canvas.paste(convert(strip), (0, top))
    return canvas


def _conversion(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """How a strip becomes RGB; None if the image is RGB."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        white = _white(image)
        return lambda strip: _from_deep_grey(strip, white)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return lambda strip: _over_background(strip.convert("RGBA"))
    return None if image.mode == "RGB" else lambda strip: strip.convert("RGB")


def _strips(image: Image.Image, rows: int) -> Iterator[tuple[Image.Image, int]]:
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height))), top


def _white(image: Image.Image) -> float:
    """The value of white. Float values are in 0..1, 0..255 or 0..65535."""
    if image.mode != "F":
        return DEEP_WHITE
    strips = _strips(image, max(1, STRIP_PIXELS // image.width))
    peak = max((float(_values(strip).max(initial=0.0)) for strip, _ in strips), default=0.0)
    return next((limit for limit in (1.0, 255.0) if peak <= limit), DEEP_WHITE)


def _values(image: Image.Image) -> npt.NDArray[np.float64]:
    return np.nan_to_num(np.asarray(image, dtype=np.float64))


def _from_deep_grey(image: Image.Image, white: float) -> Image.Image:
    """16-bit, 32-bit or float grey, scaled to 8 bits. Pillow's own conversion clips at 255."""
    grey = np.clip((_values(image) * (255.0 / white)).round(), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _over_background(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    return Image.alpha_composite(canvas, image).convert("RGB")


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__
