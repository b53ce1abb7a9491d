"""The layers of a photograph."""

from __future__ import annotations

import numpy as np
import pytest

from rotation.geometry.layers import (
    fill_smoothly,
    follow_colours,
    one_person,
    smoothstep,
    split_layers,
)


def test_filling_keeps_what_is_known_and_never_leaves_its_range() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((37, 53, 3)).astype(np.float32)
    known = (rng.random((37, 53)) < 0.2).astype(np.float32)
    filled = fill_smoothly(image, known)
    assert np.allclose(filled[known == 1], image[known == 1], atol=1e-5)
    assert filled.min() >= image[known == 1].min() - 1e-4
    assert filled.max() <= image[known == 1].max() + 1e-4


def test_a_colour_fills_everything() -> None:
    image = np.full((20, 31, 3), 0.3, np.float32)
    known = np.zeros((20, 31), np.float32)
    known[3, 4] = 1
    assert np.allclose(fill_smoothly(image, known), 0.3, atol=1e-4)


def test_only_one_of_two_people_is_taken() -> None:
    matte = np.zeros((40, 80), np.float32)
    matte[5:35, 5:30] = 1
    matte[5:35, 50:75] = 1
    alpha = one_person(matte, (20, 15))
    assert alpha[20, 15] == 1
    assert alpha[:, 45:].max() == 0


def test_layers_make_the_photograph_again_and_do_not_mix() -> None:
    photograph = np.zeros((60, 60, 3), np.float32)
    photograph[..., 2] = 0.8  # a blue wall
    photograph[15:45, 15:45] = (0.9, 0.2, 0.1)
    matte = np.zeros((60, 60), np.float32)
    matte[15:45, 15:45] = 1
    layers = split_layers(photograph, matte, (30, 30), 75)
    alpha = layers.alpha[..., None]
    again = alpha * layers.person + (1 - alpha) * layers.background
    assert np.allclose(again, photograph, atol=1e-3)
    assert np.allclose(layers.background[30, 30], (0, 0, 0.8), atol=1e-3)
    assert np.allclose(layers.person[5, 5], (0.9, 0.2, 0.1), atol=1e-3)


@pytest.mark.parametrize("size", [1, 6])
def test_a_rough_outline_is_moved_to_the_edge_of_the_colours(size: int) -> None:
    rng = np.random.default_rng(0)
    photograph = np.full((80 * size, 80 * size, 3), 0.9, np.float32)
    photograph[:, : 40 * size] = (0.5, 0.3, 0.2)
    photograph += rng.normal(0, 0.01, photograph.shape).astype(np.float32)
    matte = np.zeros(photograph.shape[:2], np.float32)
    matte[:, : 44 * size] = 1  # some columns of the wall were taken for the person
    alpha = follow_colours(matte, photograph, 5 * size)
    assert alpha[:, 36 * size : 40 * size].mean() > 0.95
    assert alpha[:, 41 * size : 44 * size].mean() < 0.2
    assert alpha[:, 60 * size :].max() < 0.01


def test_an_outline_without_an_edge_stays() -> None:
    matte = np.zeros((60, 60), np.float32)
    matte[:, :30] = 1
    alpha = follow_colours(matte, np.full((60, 60, 3), 0.5, np.float32), 4)
    assert np.argmin(np.abs(alpha[30] - 0.5)) in (29, 30)
    assert np.all(np.diff(alpha[30]) <= 1e-6)


def test_the_photograph_stays_where_the_person_is_not_cut_out() -> None:
    """Somebody who touches the person is not wiped out."""
    rng = np.random.default_rng(0)
    photograph = rng.random((60, 90, 3)).astype(np.float32)
    matte = np.zeros((60, 90), np.float32)
    matte[10:, 10:80] = 1
    reach = np.clip((60 - np.arange(90)) / 10, 0, 1)[None].repeat(60, axis=0).astype(np.float32)
    layers = split_layers(photograph, matte, (30, 30), 75, reach)
    assert np.allclose(layers.background[:, 60:], photograph[:, 60:], atol=1e-5)
    assert layers.filled[:, 60:].max() == 0
    off = np.abs(layers.background - photograph)[20:].mean(axis=(0, 2))
    assert off[57:60].mean() < 0.1 < off[20:40].mean()


def test_smoothstep() -> None:
    values = smoothstep(1, 3, np.array([0.0, 1, 2, 3, 4]))
    assert values.tolist() == [0, 0, 0.5, 1, 1]
