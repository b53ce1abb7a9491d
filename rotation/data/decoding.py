"""Bytes to RGB: every mode a camera or a tool may have written, and a clear word for the rest."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rotation.errors import ImageError

MAX_PIXELS = 50_000_000
BACKGROUND = (128, 128, 128)  # behind transparent pixels: neutral, favours no side


def decode(data: bytes, name: str) -> Image.Image:
    """Decode an image to 8-bit RGB, upright (EXIF orientation applied).

    16-bit grey keeps its upper eight bits, palettes and CMYK are converted, transparency is laid
    over mid-grey.

    Parameters:
        data: the bytes of the file.
        name: how errors call the image.

    Raises:
        ImageError: empty, no image, truncated or damaged, or more than `MAX_PIXELS` pixels.
    """
    image = read_header(data, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata, which we do not need
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise ImageError(f"{name}: truncated or damaged image ({_plain(error)})") from None


def read_header(data: bytes, name: str) -> Image.Image:
    """Open without decoding the pixels: format, mode and stored size are known afterwards.

    Raises:
        ImageError: empty, no image, or more than `MAX_PIXELS` pixels.
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
        raise ImageError(f"{name}: damaged image header ({_plain(error)})") from None
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
    """16-bit, 32-bit or float grey. Pillow's own conversion clips at 255 instead of scaling."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    peak = float(values.max(initial=0.0))
    white = 65535.0
    if image.mode == "F":  # floats come as 0..1, 0..255 or 0..65535
        white = next((limit for limit in (1.0, 255.0) if peak <= limit), white)
    grey = np.clip((values * (255.0 / white)).round(), 0, 255).astype(np.uint8)
    return Image.fromarray(grey).convert("RGB")


def _over_background(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    return Image.alpha_composite(canvas, image).convert("RGB")


def _plain(error: BaseException) -> str:
    return str(error) or type(error).__name__
