"""Decoding image files of any mode and orientation to upright 8-bit RGB."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rotation.errors import ImageError

MAX_PIXELS = 50_000_000
BACKGROUND = (128, 128, 128)  # behind transparent pixels: mid-grey suggests no light direction


def decode(data: bytes, name: str) -> Image.Image:
    """Decode an image to 8-bit RGB and apply its EXIF orientation.

    16-bit grey keeps its upper eight bits. Palettes and CMYK are converted. Transparent pixels are
    blended with mid-grey.

    Parameters:
        data: the bytes of the file.
        name: the image's name in error messages.

    Raises:
        ImageError: the file is empty, no image, truncated or damaged, or has more than
            `MAX_PIXELS` pixels.
    """
    image = read_header(data, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that is not used
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
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
            image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not an image (starts with {data[:8]!r})") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: far too many pixels; at most {MAX_PIXELS:,} are read") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(f"{name}: damaged image header ({_message(error)})") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width} x {height} pixels are too many; at most {MAX_PIXELS:,} are read"
        )
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return _over_background(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit or float grey, scaled to 8 bits. Pillow's own conversion clips at 255."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    peak = float(values.max(initial=0.0))
    white = 65535.0
    if image.mode == "F":  # float values are in 0..1, 0..255 or 0..65535
        white = next((limit for limit in (1.0, 255.0) if peak <= limit), white)
    grey = np.clip((values * (255.0 / white)).round(), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _over_background(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    return Image.alpha_composite(canvas, image).convert("RGB")


def _message(error: BaseException) -> str:
    return str(error) or type(error).__name__
