"""Pasting back: the inverse of the crop, to the pixel where it can be."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from rotation.data.crop import crop_box, standard_crop
from rotation.imaging.paste_back import Mask, paste_back

SIZES = [(178, 218), (89, 109), (177, 131), (301, 420), (64, 64), (700, 640)]


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth picture without any symmetry."""
    noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def difference(first: Image.Image, second: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(first).astype(int) - np.asarray(second))


@pytest.mark.parametrize("size", SIZES)
def test_the_crop_itself_gives_the_photograph_back(size: tuple[int, int]) -> None:
    left, _, right, _ = crop_box(*size)
    three_pixels = 3 * (right - left) / 64  # of the frame: detail that survives the crop
    whole = photograph(*size).filter(ImageFilter.GaussianBlur(three_pixels))
    again = paste_back(whole, standard_crop(whole, 64))
    assert again.size == whole.size
    assert difference(again, whole).mean() < 0.5
    assert difference(again, whole).max() <= 4


def test_at_half_size_the_crop_is_exact_and_so_is_its_inverse() -> None:
    whole = photograph(89, 109)  # its box is 64 x 64 whole pixels
    assert difference(paste_back(whole, standard_crop(whole, 64)), whole).max() == 0


@pytest.mark.parametrize("size", SIZES)
def test_outside_of_the_box_no_pixel_changes_and_inside_the_frame_shows(
    size: tuple[int, int],
) -> None:
    whole = photograph(*size)
    red = np.full((64, 64, 3), (255, 0, 0), dtype=np.uint8)
    pasted = np.asarray(paste_back(whole, red))
    left, top, right, bottom = crop_box(*size)
    before = np.asarray(whole)
    outside = np.ones(before.shape[:2], dtype=bool)
    outside[
        int(np.floor(top)) : int(np.ceil(bottom)), int(np.floor(left)) : int(np.ceil(right))
    ] = 0
    assert np.array_equal(pasted[outside], before[outside])
    centre = pasted[int((top + bottom) / 2), int((left + right) / 2)]
    assert tuple(centre) == (255, 0, 0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [64, 256])
def test_a_mirror_commutes_with_pasting(size: tuple[int, int], side: int) -> None:
    whole = photograph(*size)
    frame = np.asarray(photograph(side, side, seed=1))
    flipped = Image.fromarray(np.asarray(whole)[:, ::-1])
    mirrored = paste_back(flipped, frame[:, ::-1], mirrored=True)
    plain = paste_back(whole, frame)
    assert difference(Image.fromarray(np.asarray(mirrored)[:, ::-1]), plain).max() <= 1


def test_a_dot_lands_where_it_was_cropped_from() -> None:
    """At any size: the brightest place of the frame is the brightest of the photograph."""
    for width, height in SIZES:
        left, top, right, _ = crop_box(width, height)
        scale = (right - left) / 64
        frame = np.zeros((64, 64, 3), dtype=np.uint8)
        frame[20:24, 40:44] = 255  # centre at (42, 22)
        pasted = np.asarray(paste_back(Image.new("RGB", (width, height)), frame), dtype=float)
        light = pasted[..., 0]
        rows, columns = np.indices(light.shape) + 0.5
        found = (columns * light).sum() / light.sum(), (rows * light).sum() / light.sum()
        assert found == pytest.approx((left + 42 * scale, top + 22 * scale), abs=0.15 * scale)


@pytest.mark.parametrize("power", [2.0, 4.0])
def test_the_mask_fades_smoothly_from_one_to_nothing(power: float) -> None:
    weights = Mask(power, feather=0.5).weights((0, 0, 101, 101), (0, 0, 101, 101))
    row = weights[50]
    assert row[50] == 1
    assert row[0] < 0.01
    assert weights[0, 0] == 0
    assert np.all(np.diff(row[:51]) >= 0)
    assert np.abs(np.diff(row)).max() < 0.08
    assert np.allclose(weights, weights[:, ::-1])


def test_an_ellipse_covers_less_than_a_squarer_mask() -> None:
    box = (0, 0, 64, 64)
    assert Mask(2.0).weights(box, box).sum() < Mask(4.0).weights(box, box).sum()
