"""Whose photographs are judged, and the ways that turn them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from _photographs import (
    Photograph,
    boxes_at_eyes,
    cut,
    is_kept_aside,
    lfw,
    standard_box,
    standard_crops,
)
from _turning_ways import UnturnedWay, _paste
from PIL import Image

from rotation.data.crop import standard_crop
from tests.rotation.geometry.conftest import render_photograph


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two pictures each of 200 people."""
    stored = io.BytesIO()
    Image.new("RGB", (250, 250), (90, 60, 30)).save(stored, "JPEG")
    path = tmp_path / "lfw.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for person in range(200):
            for number in (1, 2):
                archive.writestr(f"P_{person}/P_{person}_000{number}.jpg", stored.getvalue())
    return path


def test_people_who_may_be_judged_are_in_no_tuning_set(faces: Path) -> None:
    one = lfw(faces)
    judged, others = one.judged(10, 0), one.others()
    people = [one.people[name] for name in judged]
    assert len(set(people)) == 10
    assert all(is_kept_aside(person) for person in people)
    assert not set(people) & {one.people[name] for name in others}
    assert len(others) > 300


def test_a_larger_judging_set_holds_the_smaller_one(faces: Path) -> None:
    one = lfw(faces)
    assert one.judged(12, 0)[:5] == one.judged(5, 0)
    assert one.judged(5, 0) == lfw(faces).judged(5, 0)
    assert one.judged(12, 0) != one.judged(12, 1)


def test_the_window_of_a_wide_picture_has_the_crop_of_an_aligned_one(faces: Path) -> None:
    one = lfw(faces)
    photograph = one.read(one.judged(1, 0)[0])
    assert photograph.pixels.shape == (250, 250, 3)
    left, top, right, bottom = standard_box(photograph)
    assert (left, top) == (36 + 24, 2 + 56)
    assert (right - left, bottom - top) == (128, 128)


def test_crops_beyond_the_edge_repeat_it() -> None:
    pixels = np.full((20, 30, 3), 200, dtype=np.uint8)
    assert (cut(pixels, (-10, -5, 40, 25), 16) == 200).all()


def test_a_frame_of_the_crop_comes_back_in_its_place() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (250, 250, 3), dtype=np.uint8)
    photograph = Photograph("", "", pixels, (36, 2, 214, 220))
    red = np.zeros((64, 64, 3), dtype=np.uint8)
    red[..., 0] = 255
    whole = _paste(photograph, red)
    assert whole.shape == pixels.shape
    crop = standard_crops(photograph, whole[None], 64)[0]
    assert np.abs(crop[24:40, 24:40].astype(int) - red[24:40, 24:40]).max() == 0
    np.testing.assert_array_equal(whole[:, :36], pixels[:, :36])
    np.testing.assert_array_equal(whole[:58], pixels[:58])


def test_the_crop_of_an_aligned_photograph_is_that_of_the_engine() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (218, 178, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(pixels).resize((178, 218)))
    found = standard_crops(Photograph("", "", smooth, (0, 0, 178, 218)), smooth[None], 64)[0]
    assert np.abs(found.astype(float) - standard_crop(Image.fromarray(smooth), 64)).mean() < 20


def test_the_unturned_way_gives_the_photograph_back() -> None:
    pixels = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    frames = UnturnedWay().turn(Photograph("", "", pixels, (0, 0, 10, 10)), (-10.0, 10.0))
    np.testing.assert_array_equal(frames, np.stack([pixels, pixels]))


@pytest.mark.parametrize("step", [(-20, 6), (0, 0), (24, 0)])
def test_judged_crops_follow_the_eyes(step: tuple[int, int]) -> None:
    """A head that has moved to the side is cut out as it was before."""
    pixels = np.pad(render_photograph(901), ((40, 40), (40, 40), (0, 0)), mode="edge")
    photograph = Photograph("", "", pixels, (40, 40, 218, 258))
    moved = np.roll(pixels, step, axis=(1, 0))
    first, second = boxes_at_eyes(photograph, np.stack([pixels, moved]))
    assert np.subtract(second, first)[:2] == pytest.approx(step, abs=1.5)
    assert np.subtract(first, standard_box(photograph))[:2] == pytest.approx((0, 0), abs=12)
