"""Frames to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from rotation.images import (
    degrees,
    draw_sheet,
    draw_strip,
    from_pixels,
    save_gif,
    save_png,
    save_text,
    to_pixels,
)

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)


def test_pixels_go_there_and_back() -> None:
    assert np.array_equal(to_pixels(from_pixels(FRAMES)), FRAMES)
    assert to_pixels(np.full((1, 3, 2, 2), 1.7)).max() == 255


def test_captions() -> None:
    assert [degrees(yaw) for yaw in (-30.0, 0.0, 12.5)] == ["-30°", "0°", "+12.5°"]


def test_a_strip_shows_the_frames_in_order_enlarged() -> None:
    strip = np.asarray(draw_strip(FRAMES, ["a", "b", "c"], scale=2))
    for i, frame in enumerate(FRAMES):
        left = 4 + i * 36
        shown = strip[4:36:2, left : left + 32 : 2]
        assert np.array_equal(shown, frame)


def test_a_sheet_has_room_for_labels() -> None:
    plain = draw_sheet(np.stack([FRAMES, FRAMES]))
    labelled = draw_sheet(np.stack([FRAMES, FRAMES]), labels=["truth", "turned"])
    assert labelled.width > plain.width
    assert labelled.height == plain.height


def test_files_appear_whole_and_alone(tmp_path: Path) -> None:
    save_png(draw_strip(FRAMES, ["a", "b", "c"]), tmp_path / "deep" / "strip.png")
    save_gif(FRAMES, tmp_path / "deep" / "turn.gif")
    save_text("{}", tmp_path / "deep" / "report.json")
    names = sorted(path.name for path in (tmp_path / "deep").iterdir())
    assert names == ["report.json", "strip.png", "turn.gif"]
    with Image.open(tmp_path / "deep" / "turn.gif") as gif:
        assert gif.n_frames == 4
