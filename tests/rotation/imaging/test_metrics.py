"""Measures of images and of numbers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks._side_contrast import side_contrast
from rotation.imaging.metrics import bootstrap, mean_square_error, nearest, parabola_minimum, psnr
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import sample_heads

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


def test_psnr_of_known_differences() -> None:
    black, grey = np.zeros_like(IMAGES), np.full_like(IMAGES, 51)
    np.testing.assert_allclose(mean_square_error(black, grey), 0.04)
    np.testing.assert_allclose(psnr(black, grey), 10 * np.log10(25))
    np.testing.assert_allclose(psnr(IMAGES, IMAGES), 100)


def test_a_mirror_negates_the_side_contrast() -> None:
    np.testing.assert_allclose(side_contrast(IMAGES[:, :, ::-1]), -side_contrast(IMAGES))


def test_side_contrast_follows_the_lamp_of_synthetic_heads() -> None:
    heads = sample_heads(60, seed=2, yaw_range=(-20, 20))
    azimuth = np.array([head.light_azimuth_deg for head in heads])
    contrast = side_contrast(render(heads))
    assert np.corrcoef(azimuth, contrast)[0, 1] > 0.8


def test_nearest_finds_itself() -> None:
    order = np.array([3, 1, 4, 0, 2])
    assert nearest(IMAGES[order], IMAGES).tolist() == order.tolist()


def test_the_vertex_of_a_parabola() -> None:
    grid = np.arange(-10.0, 11, 2)
    assert parabola_minimum(grid, (grid - 3.3) ** 2) == pytest.approx(3.3)
    assert parabola_minimum(grid, (grid - 50) ** 2) == 10


def test_the_interval_holds_the_mean_and_narrows() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    wide = bootstrap(values[:25], np.random.default_rng(2))
    narrow = bootstrap(values, np.random.default_rng(2))
    assert wide.low < wide.mean < wide.high
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2
    assert narrow.low < 5 < narrow.high
