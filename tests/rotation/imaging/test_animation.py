"""Moving pictures: what is in the files, read back by other means than they were written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from rotation.errors import MissingExtraError
from rotation.imaging.animation import (
    REPEATS,
    WRITERS,
    forth_and_back,
    save_gif,
    save_mp4,
    save_webp,
)
from rotation.imaging.images import enlarge

SIDE = 17  # odd, so that what needs even sides has to see to it


def fades(count: int = 4) -> np.ndarray:
    """Smooth frames (N, S, S, 3), each another grey rising to the right."""
    ramp = np.linspace(0, 90, SIDE)[None, None, :, None]
    levels = np.linspace(20, 140, count)[:, None, None, None]
    return np.broadcast_to(ramp + levels, (count, SIDE, SIDE, 3)).astype(np.uint8)


def test_a_swing_shows_the_ends_once() -> None:
    order = [int(frame.mean()) for frame in forth_and_back(fades(4))]
    rising = [int(frame.mean()) for frame in fades(4)]
    assert order == [*rising, rising[2], rising[1]]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("write", [save_gif, save_webp])
def test_few_frames_are_a_file_too(count: int, write, tmp_path: Path) -> None:
    write(fades(count), tmp_path / "turn")
    with Image.open(tmp_path / "turn") as picture:
        assert getattr(picture, "n_frames", 1) == count


def test_webp_keeps_every_pixel(tmp_path: Path) -> None:
    save_webp(fades(), tmp_path / "turn.webp", side=SIDE, milliseconds=80)
    with Image.open(tmp_path / "turn.webp") as picture:
        assert picture.info["loop"] == 0
        shown = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(picture)]
        assert picture.info["duration"] == 80
    assert np.array_equal(np.stack(shown), forth_and_back(fades()))


def test_mp4_plays_the_swings_in_even_size(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed (requirements/pictures.txt)")
    save_mp4(fades(), tmp_path / "turn.mp4", side=51)
    with av.open(str(tmp_path / "turn.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height, stream.codec.name) == (52, 52, "h264")
        shown = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
    expected = enlarge(forth_and_back(fades()), 52)
    assert len(shown) == REPEATS * len(expected)
    assert np.abs(np.stack(shown[: len(expected)]).astype(int) - expected).mean() < 3


def test_mp4_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"MP4 needs PyAV.*requirements/pictures\.txt"):
        WRITERS["mp4"](fades(), tmp_path / "turn.mp4", 0)
    assert not list(tmp_path.iterdir())
