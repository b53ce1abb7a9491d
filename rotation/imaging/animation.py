"""Frames as a moving picture: GIF and animated WebP by Pillow, MP4 (H.264) by PyAV where installed.

Each swings there and back, so that its end meets its start.
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
from rotation.imaging.images import enlarge, save_whole

MILLISECONDS = 120
SWINGS = 4
"""How often a video goes there and back: players stop at the end of a file."""

_X264 = {"crf": "14", "preset": "slow"}  # a second of small pictures: size is no concern


def forth_and_back(frames: Pixels) -> Pixels:
    """The frames (N, S, S, 3) there and back, (2N - 2, S, S, 3); the two ends are shown once."""
    return np.concatenate([frames, frames[-2:0:-1]])


def save_gif(frames: Pixels, path: Path, side: int = 0, milliseconds: int = MILLISECONDS) -> None:
    """Write frames (N, S, S, 3) as a GIF without end; `side` > S enlarges, 0 doubles the side."""
    _save_pillow(frames, path, side, duration=milliseconds, format="GIF")


def save_webp(frames: Pixels, path: Path, side: int = 0, milliseconds: int = MILLISECONDS) -> None:
    """Write frames (N, S, S, 3) as an animated WebP without end and without loss."""
    _save_pillow(
        frames, path, side, duration=milliseconds, format="WEBP", lossless=True, quality=60
    )


def save_mp4(frames: Pixels, path: Path, side: int = 0, milliseconds: int = MILLISECONDS) -> None:
    """Write frames (N, S, S, 3) as an MP4 (H.264, 4:2:0) that swings `SWINGS` times.

    Raises `MissingExtraError` where PyAV is not installed.
    """
    av = import_av()
    tiles = [np.asarray(tile) for tile in _tiles(frames, side, even=True)] * SWINGS

    def write(target: str) -> None:
        with av.open(target, mode="w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(1000, milliseconds))
            stream.height, stream.width = tiles[0].shape[:2]
            stream.pix_fmt, stream.options = "yuv420p", _X264
            for tile in tiles:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(tile, format="rgb24")))
            container.mux(stream.encode())

    save_whole(path, write)


def import_av() -> Any:
    """PyAV, whose wheels carry their encoder; `MissingExtraError` with the way out without it."""
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
    save_whole(path, lambda t: first.save(t, save_all=True, append_images=rest, loop=0, **settings))


def _tiles(frames: Pixels, side: int, even: bool = False) -> Sequence[Image.Image]:
    """The swinging frames, enlarged. `even`: H.264 halves the colours, so it needs even sides."""
    shown = max(side or 2 * frames.shape[1], frames.shape[1])
    shown += shown % 2 if even else 0
    return [Image.fromarray(frame) for frame in enlarge(forth_and_back(frames), shown)]
