"""Images for people: pixel arrays, strips, sheets and grids, and how files are written."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from rotation.data.crop import Pixels
from rotation.errors import DatasetError

GROUND = (245, 245, 243)
INK = (40, 40, 40)
GAP = 4
CAPTION = 20
SHOWN_HEIGHTS = (256, 512)
"""Photographs are shown at these heights on strips and in animations: a strip of higher ones could
not be looked at, and a video of them would not fit into memory."""


def to_pixels(images: NDArray[np.floating]) -> Pixels:
    """Pixels (N, S, S, 3) of images (N, 3, S, S) in [0, 1]. Values outside are clipped."""
    scaled = np.clip(np.asarray(images), 0, 1) * 255
    return np.rint(scaled).astype(np.uint8).transpose(0, 2, 3, 1)


def from_pixels(pixels: Pixels) -> NDArray[np.float32]:
    """Images (N, 3, S, S), float32 in [0, 1], of pixels (N, S, S, 3)."""
    return (pixels.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2)


def enlarge(frames: Pixels, side: int) -> Pixels:
    """Frames (N, S, S, 3) resized to `side` pixels by a Lanczos filter."""
    if frames.shape[1] == side:
        return frames
    size = (side, side)
    return np.stack(
        [np.asarray(Image.fromarray(f).resize(size, Image.Resampling.LANCZOS)) for f in frames]
    )


def at_height(pixels: Pixels, height: int) -> Pixels:
    """An image (H, W, 3) resized to a height in pixels by a Lanczos filter."""
    if pixels.shape[0] == height:
        return pixels
    size = (round(pixels.shape[1] * height / pixels.shape[0]), height)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def shown_height(height: int) -> int:
    """The height at which a photograph of a height is shown on strips and in animations."""
    least, most = SHOWN_HEIGHTS
    return min(max(height, least), most)


def photograph_path(folder: Path, yaw_deg: float) -> Path:
    """The file of the photograph that was turned to a yaw."""
    return folder / f"photograph_{yaw_deg:+06.1f}.png"


def degrees(yaw_deg: float) -> str:
    """An angle as text: -30°, 0°, +12.5°. Pillow's font has a hyphen but no minus sign."""
    return f"{yaw_deg:+g}°" if yaw_deg else "0°"


def caption(yaw_deg: float, doubt: str | None = None) -> str:
    """The caption of a frame, which says whether there is a doubt about it."""
    return degrees(yaw_deg) + (" (doubtful)" if doubt else "")


def draw_strip(frames: Pixels, captions: Sequence[str], scale: int = 2) -> Image.Image:
    """One row of frames (N, H, W, 3) with a caption under each, enlarged by the factor `scale`."""
    return draw_sheet(frames[None], columns=captions, scale=scale)


def draw_sheet(
    rows: Pixels, columns: Sequence[str] = (), labels: Sequence[str] = (), scale: int = 1
) -> Image.Image:
    """A sheet of R rows of N frames (R, N, H, W, 3), with captions below and row labels left."""
    count, across = rows.shape[:2]
    high, wide = rows.shape[2] * scale, rows.shape[3] * scale
    margin = max((len(label) for label in labels), default=0) * 8 + (GAP if labels else 0)
    width = margin + across * (wide + GAP) + GAP
    height = count * (high + GAP) + GAP + (CAPTION if columns else 0)
    sheet = Image.new("RGB", (width, height), GROUND)
    for i, row in enumerate(rows):
        for j, frame in enumerate(row):
            tile = Image.fromarray(frame).resize((wide, high), Image.Resampling.NEAREST)
            sheet.paste(tile, (margin + GAP + j * (wide + GAP), GAP + i * (high + GAP)))
    _write_captions(sheet, columns, labels, (wide, high), margin)
    return sheet


def cut_strip(strip: Image.Image, count: int, place: int) -> Image.Image:
    """One of the `count` frames of a strip that `draw_strip` drew, without gaps and caption.

    Raises:
        ValueError: see `strip_frame_size`.
    """
    wide, high = strip_frame_size(strip.size, count)
    left = GAP + place * (wide + GAP)
    return strip.crop((left, GAP, left + wide, GAP + high))


def strip_frame_size(size: tuple[int, int], count: int) -> tuple[int, int]:
    """Width and height of each of the `count` frames of a captioned strip of a size.

    Raises:
        ValueError: no strip of so many frames has this size.
    """
    wide, rest = divmod(size[0] - GAP - count * GAP, max(count, 1))
    high = size[1] - CAPTION - 2 * GAP
    if count < 1 or rest or wide < 1 or high < 1:
        raise ValueError(f"{size[0]} x {size[1]} pixels are no strip of {count} frames")
    return wide, high


def draw_grid(
    frames: Pixels, captions: Sequence[str], columns: int = 0, scale: int = 1
) -> Image.Image:
    """Frames (N, S, S, 3) in rows of `columns`, with a caption under each; 0 is about a square."""
    across = min(columns or math.ceil(math.sqrt(len(frames))), len(frames))
    rows = [
        draw_strip(frames[k : k + across], captions[k : k + across], scale)
        for k in range(0, len(frames), across)
    ]
    sheet = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), GROUND)
    for k, row in enumerate(rows):
        sheet.paste(row, (0, k * rows[0].height))
    return sheet


def draw_beside_means(
    frames: Pixels, yaws_deg: Sequence[float], means: Pixels, angles_deg: Sequence[float]
) -> Image.Image:
    """A sheet with the frames above the mean images of the nearest clusters.

    The caption of a column names the frame's yaw. If the cluster's yaw is another, it follows in
    parentheses.

    Parameters:
        frames: (K, S, S, 3), at `yaws_deg`.
        means: (A, S', S', 3), at `angles_deg`.
    """
    nearest = [int(np.argmin([abs(angle - yaw) for angle in angles_deg])) for yaw in yaws_deg]
    below = enlarge(means[nearest], frames.shape[1])
    captions = [
        degrees(yaw) if angles_deg[k] == yaw else f"{degrees(yaw)} ({degrees(angles_deg[k])})"
        for yaw, k in zip(yaws_deg, nearest, strict=True)
    ]
    return draw_sheet(np.stack([frames, below]), captions, ["turned", "mean of others"])


def _write_captions(
    sheet: Image.Image,
    columns: Sequence[str],
    labels: Sequence[str],
    tile: tuple[int, int],
    margin: int,
) -> None:
    wide, high = tile
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=min(14, 8 + wide // 16))
    for j, caption in enumerate(columns):
        place = (margin + GAP + j * (wide + GAP) + wide / 2, sheet.height - CAPTION / 2 - 1)
        draw.text(place, caption, fill=INK, font=font, anchor="mm")
    for i, label in enumerate(labels):
        draw.text((GAP, GAP + i * (high + GAP) + high / 2), label, fill=INK, font=font, anchor="lm")


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG file, complete or not at all."""
    save_atomically(path, lambda target: image.save(target, format="PNG", optimize=True))


def save_text(text: str, path: Path) -> None:
    """Write a text file, complete or not at all."""
    save_atomically(path, lambda target: Path(target).write_text(text, encoding="utf-8"))


def save_bytes(data: bytes, path: Path) -> None:
    """Write a file, complete or not at all."""
    save_atomically(path, lambda target: Path(target).write_bytes(data))


def save_atomically(path: Path, write: Callable[[str], object]) -> None:
    """Let `write` fill a temporary file, and rename it to `path`; `DatasetError` if that fails."""
    try:
        _replace(path, write)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror or error}).") from None


def _replace(path: Path, write: Callable[[str], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(handle)
    try:
        write(partial)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
