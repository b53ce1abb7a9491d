"""Frames to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rotation.imaging.animation import save_gif
from rotation.imaging.images import (
    cut_strip,
    degrees,
    draw_beside_means,
    draw_grid,
    draw_sheet,
    draw_strip,
    enlarge,
    from_pixels,
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


def test_a_strip_is_cut_into_its_frames() -> None:
    strip = draw_strip(FRAMES, ["a", "b", "c"], scale=1)
    for place, frame in enumerate(FRAMES):
        assert np.array_equal(np.asarray(cut_strip(strip, 3, place)), frame)


@pytest.mark.parametrize("count", [0, 7, 400])
def test_a_strip_of_another_number_of_frames_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"no strip of {count} frames"):
        cut_strip(draw_strip(FRAMES, ["a", "b", "c"], scale=1), count, 0)


def test_a_sheet_has_room_for_labels() -> None:
    plain = draw_sheet(np.stack([FRAMES, FRAMES]))
    labelled = draw_sheet(np.stack([FRAMES, FRAMES]), labels=["truth", "turned"])
    assert labelled.width > plain.width
    assert labelled.height == plain.height


def test_a_grid_wraps_its_rows() -> None:
    grid = np.asarray(draw_grid(FRAMES, ["a", "b", "c"], columns=2))
    height = grid.shape[0] // 2
    assert np.array_equal(grid[4:20, 24:40], FRAMES[1])
    assert np.array_equal(grid[height + 4 : height + 20, 4:20], FRAMES[2])
    assert draw_grid(FRAMES[:1], ["a"]).width == draw_strip(FRAMES[:1], ["a"], 1).width


def test_frames_stand_over_the_means_of_the_nearest_clusters() -> None:
    means = FRAMES[::-1].copy()
    sheet = np.asarray(draw_beside_means(FRAMES, (-18, 0, 45), means, (-20, 0, 20)))
    left = sheet.shape[1] - 3 * 20
    for k in range(3):
        column = sheet[:, left + 20 * k : left + 20 * k + 16]
        assert np.array_equal(column[4:20], FRAMES[k])
        assert np.array_equal(column[24:40], means[k])


def test_enlarging_keeps_the_mean_and_the_picture_where_it_is() -> None:
    smooth = np.broadcast_to(np.linspace(40, 200, 16), (1, 3, 16, 16)).transpose(0, 2, 3, 1)
    large = enlarge(smooth.astype(np.uint8), 64)
    assert large.shape == (1, 64, 64, 3)
    assert abs(large.mean() - smooth.mean()) < 1
    assert np.array_equal(enlarge(FRAMES, 16), FRAMES)


def test_files_appear_whole_and_alone(tmp_path: Path) -> None:
    save_png(draw_strip(FRAMES, ["a", "b", "c"]), tmp_path / "deep" / "strip.png")
    save_gif(FRAMES, tmp_path / "deep" / "turn.gif")
    save_text("{}", tmp_path / "deep" / "report.json")
    names = sorted(path.name for path in (tmp_path / "deep").iterdir())
    assert names == ["report.json", "strip.png", "turn.gif"]
    with Image.open(tmp_path / "deep" / "turn.gif") as gif:
        assert gif.n_frames == 4
