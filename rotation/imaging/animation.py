"""Frames as an animation: GIF and WebP by Pillow, MP4 (H.264) by PyAV.

The frames are shown forwards and then backwards, so that the end meets the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rotation.data.crop import Pixels
from rotation.errors import MissingExtraError
from rotation.imaging.images import save_atomically

MILLISECONDS = 120
REPEATS = 4
"""How often a video repeats the frames: players stop at the end of a file."""

LARGE = 170
"""Frames of this height and more are not enlarged unless asked for."""

_X264 = {"crf": "14", "preset": "slow"}  # high quality; the files are small anyway


def forth_and_back(frames: Pixels) -> Pixels:
    """Frames (N, S, S, 3) forwards and backwards, (2N - 2, S, S, 3), with both ends shown once."""
    return np.concatenate([frames, frames[-2:0:-1]])


def save_gif(frames: Pixels, path: Path, side: int = 0, milliseconds: int = MILLISECONDS) -> None:
    """Write frames (N, S, S, 3) as an endless GIF. `side` > S enlarges them, 0 doubles the side."""
    _save_pillow(frames, path, side, duration=milliseconds, format="GIF")


def save_webp(frames: Pixels, path: Path, side: int = 0, milliseconds: int = MILLISECONDS) -> None:
    """Write frames (N, S, S, 3) as an endless, lossless WebP; `side` as in `save_gif`."""
    _save_pillow(
        frames, path, side, duration=milliseconds, format="WEBP", lossless=True, quality=60
    )


def save_mp4(frames: Pixels, path: Path, side: int = 0, milliseconds: int = MILLISECONDS) -> None:
    """Write frames (N, S, S, 3) as an MP4 (H.264, 4:2:0); `side` as in `save_gif`.

    Raises:
        MissingExtraError: PyAV is not installed.
    """
    av = import_av()
    tiles = [np.asarray(tile) for tile in _tiles(frames, side, even=True)] * REPEATS

    def write(target: str) -> None:
        with av.open(target, mode="w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(1000, milliseconds))
            stream.height, stream.width = tiles[0].shape[:2]
            stream.pix_fmt, stream.options = "yuv420p", _X264
            for tile in tiles:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(tile, format="rgb24")))
            container.mux(stream.encode())

    save_atomically(path, write)


def import_av() -> Any:
    """Import PyAV, whose wheels include the encoder; `MissingExtraError` if it is not installed."""
    try:
        import av  # late: an extra, and 60 MB of shared libraries
    except ImportError as error:
        raise MissingExtraError("MP4 needs PyAV", error) from None
    return av


WRITERS: dict[str, Callable[[Pixels, Path, int], None]] = {
    "gif": save_gif,
    "webp": save_webp,
    "mp4": save_mp4,
}


def _save_pillow(frames: Pixels, path: Path, side: int, **settings: Any) -> None:
    first, *rest = _tiles(frames, side)
    save_atomically(
        path, lambda t: first.save(t, save_all=True, append_images=rest, loop=0, **settings)
    )


def _tiles(frames: Pixels, side: int, even: bool = False) -> Sequence[Image.Image]:
    """The frames forth and back, enlarged to `side` pixels high; 0 doubles small frames.

    H.264 halves the colours and needs `even` sides.
    """
    height, width = frames.shape[1:3]
    shown = max(side or (2 * height if height < LARGE else height), height)
    size = (round(shown * width / height), shown)
    if even:
        size = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    tiles = [Image.fromarray(frame) for frame in forth_and_back(frames)]
    return [tile.resize(size, Image.Resampling.BICUBIC) for tile in tiles]
