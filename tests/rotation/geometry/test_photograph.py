"""Turning the head in a photograph: what moves, what stays, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from rotation.errors import ImageError, SelectionError
from rotation.geometry.photograph import Photograph, find_face, open_photograph
from rotation.geometry.turning import HeadTurner
from tests.rotation.geometry.conftest import render_photograph

SEEDS = (901, 903, 907)


@cache
def opened(seed: int, yaw_deg: float = 0.0) -> Photograph:
    return Photograph(Image.fromarray(render_photograph(seed, yaw_deg)))


def error(frame: np.ndarray, truth: np.ndarray, face: np.ndarray) -> float:
    """The mean square error over a face, the least of all shifts: the axes of both turns differ."""
    return min(
        float(np.square(np.roll(frame, shift, axis=1)[face].astype(float) - truth[face]).mean())
        for shift in range(-24, 25)
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("yaw", [-30.0, -15.0, 0.0, 20.0, 35.0])
def test_the_yaw_of_a_photograph_is_read(seed: int, yaw: float) -> None:
    assert opened(seed, yaw).yaw_deg == pytest.approx(yaw, abs=6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("angle", [-30.0, -15.0, 15.0, 30.0])
def test_a_turned_head_resembles_its_true_render(seed: int, angle: float) -> None:
    """It comes nearer to the render at that yaw than the photograph."""
    truth, source = render_photograph(seed, angle), render_photograph(seed)
    turned = opened(seed).paste(opened(seed).turn_by(angle))
    face = opened(seed, angle).head.face > 0.5
    assert error(turned, truth, face) < 0.8 * error(source, truth, face)


@pytest.mark.parametrize("target", [-20.0, 0.0, 25.0])
def test_the_yaw_asked_for_is_reached(target: float) -> None:
    frame = opened(901).turn_to(target)
    again = Photograph(Image.fromarray(frame.pixels))
    assert again.yaw_deg == pytest.approx(target, abs=4)


def test_a_turn_by_nothing_changes_no_pixel(frontal: np.ndarray) -> None:
    photograph = opened(901)
    assert np.array_equal(photograph.paste(photograph.turn_by(0)), frontal)


def test_small_turns_change_little(frontal: np.ndarray) -> None:
    photograph = opened(901)
    changes = [
        np.abs(photograph.paste(photograph.turn_by(angle)).astype(int) - frontal).mean()
        for angle in (0.5, 2, 8)
    ]
    assert changes[0] < 1
    assert changes == sorted(changes)


def test_background_and_shoulders_stay(frontal: np.ndarray) -> None:
    turned = opened(901).paste(opened(901).turn_by(30)).astype(int)
    difference = np.abs(turned - frontal).max(axis=2)
    assert difference[:30].max() == 0  # above the head
    assert difference[:150, :12].max() == 0
    assert difference[:150, -12:].max() == 0
    assert difference[-4:].max() == 0  # shoulders


def test_a_mirrored_photograph_turns_as_the_mirror_image(frontal: np.ndarray) -> None:
    one = opened(901).paste(opened(901).turn_by(20))
    mirrored = Photograph(Image.fromarray(np.ascontiguousarray(frontal[:, ::-1])))
    other = mirrored.paste(mirrored.turn_by(-20))[:, ::-1]
    assert mirrored.yaw_deg == pytest.approx(-opened(901).yaw_deg, abs=0.05)
    assert np.abs(one.astype(int) - other).mean() < 0.5


def test_there_and_back_is_near_the_photograph(frontal: np.ndarray) -> None:
    there = opened(901).paste(opened(901).turn_by(15))
    photograph = Photograph(Image.fromarray(there))
    back = photograph.paste(photograph.turn_by(-15))
    face = opened(901).head.face > 0.9  # the window is the whole photograph
    view = tuple(picture[face].astype(float) for picture in (back, there, frontal))
    lost = np.square(view[0] - view[2]).mean()
    assert lost < 0.1 * np.square(view[1] - view[2]).mean()


def test_a_stretched_surface_has_no_holes() -> None:
    """The flank of a steep ridge is seen from the side: nothing behind it shows through."""
    head = opened(901).head
    beside = np.arange(head.depth.shape[1]) + 0.5 - head.axis[0]
    ridge = np.broadcast_to(np.clip(70 * (1 - np.abs(beside) / 8), 0, None), head.depth.shape)
    every = np.ones_like(head.depth)
    layers = replace(head.layers, alpha=every)
    whole = replace(head, depth=ridge.astype(np.float32), layers=layers, turn=every)
    seen = HeadTurner(whole).turn(40.0, mirror=False).seen[100]
    foot = round(head.axis[0])
    assert seen[foot + 32 : foot + 52].max() < 0.2


def test_hidden_parts_grow_with_the_angle() -> None:
    hidden = [opened(901).turn_to(yaw).hidden for yaw in (0, 10, 25, 45)]
    assert hidden == sorted(hidden)
    assert 0 <= hidden[0] < 0.02
    assert hidden[-1] <= 1


def test_a_frame_that_cannot_be_good_is_marked() -> None:
    assert opened(901).turn_to(10).doubt is None
    doubt = opened(901, 35.0).turn_to(-30).doubt
    assert doubt is not None
    assert "turned by 6" in doubt


def test_a_large_photograph_is_reduced_and_put_back() -> None:
    frontal = Image.fromarray(render_photograph(901))
    large = frontal.resize((178 * 9, 218 * 9), Image.Resampling.BICUBIC)
    photograph = Photograph(large)
    assert photograph.head.face_width < 700
    frame = photograph.turn_to(20).pixels
    assert frame.shape == (218 * 9, 178 * 9, 3)
    assert np.array_equal(frame[:100], np.asarray(large)[:100])
    small = np.asarray(Image.fromarray(frame).resize((178, 218), Image.Resampling.BOX)).astype(int)
    expected = Photograph(frontal).turn_to(20).pixels
    assert np.abs(small - expected).mean() < 4


def test_a_face_anywhere_in_a_photograph_is_found() -> None:
    scene = Image.new("RGB", (700, 500), (90, 110, 130))
    head = Image.fromarray(render_photograph(907)).resize((267, 327), Image.Resampling.BICUBIC)
    scene.paste(head, (380, 120))
    left, top, right, bottom = find_face(scene)
    assert 380 < (left + right) / 2 < 380 + 267
    assert 120 < (top + bottom) / 2 < 120 + 327
    before, after = np.asarray(scene), Photograph(scene).turn_to(20).pixels
    assert not np.array_equal(before[120:447, 380:647], after[120:447, 380:647])
    assert np.array_equal(before[:, :250], after[:, :250])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (400, 300), (120, 130, 140)), "No face was found"),
        (Image.new("RGB", (178, 218), (120, 130, 140)), "No face was found"),
        (Image.new("RGB", (10, 10)), "No face was found"),
        (Image.fromarray(render_photograph(901)).resize((40, 49)), "pixels wide"),
    ],
)
def test_photographs_without_a_usable_face(image: Image.Image, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Photograph(image)


def test_a_profile_is_refused() -> None:
    with pytest.raises(ImageError, match=r"turned by|No face"):
        Photograph(Image.fromarray(render_photograph(901, 75.0)))


def test_yaws_beyond_the_limit_are_refused() -> None:
    with pytest.raises(SelectionError, match="-60 to 60"):
        opened(901).turn_to(61)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16"])
def test_photographs_of_every_kind(mode: str, tmp_path) -> None:
    image = Image.fromarray(render_photograph(901))
    if mode == "I;16":
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        image = Image.fromarray(grey)
    else:
        image = image.convert(mode)
    path = tmp_path / ("photograph.tif" if mode == "CMYK" else "photograph.png")
    image.save(path)
    assert open_photograph(path).turn_to(10).pixels.shape == (218, 178, 3)


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_files_that_are_no_photographs(content: bytes | None, tmp_path) -> None:
    path = tmp_path / "photograph.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=r"photograph\.jpg"):
        open_photograph(path)
