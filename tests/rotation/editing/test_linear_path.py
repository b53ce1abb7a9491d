"""Moves in latent space: degrees and norms."""

from __future__ import annotations

import numpy as np
import pytest

from rotation.directions.direction import Direction
from rotation.editing.linear_path import trajectory

RNG = np.random.default_rng(0)
LATENT = RNG.standard_normal(500).astype(np.float32)
DIRECTION = Direction(*(0.05 * RNG.standard_normal((2, 500))), 1.0, 1.0)


@pytest.mark.parametrize("yaw", [-12.5, 0.0, 30.0])
def test_no_turn_is_the_source_to_the_bit(yaw: float) -> None:
    assert np.array_equal(DIRECTION.move(LATENT, yaw, yaw), LATENT)


def test_the_norm_is_kept() -> None:
    for latent in trajectory(LATENT, DIRECTION, 5, (-30, -10, 20, 40)):
        assert np.linalg.norm(latent) == pytest.approx(np.linalg.norm(LATENT), rel=1e-5)
        assert latent.dtype == np.float32


def test_without_keeping_it_the_move_is_the_displacement() -> None:
    moved = DIRECTION.move(LATENT, 5, -10, keep_norm=False)
    expected = LATENT + (-10 * DIRECTION.left - 5 * DIRECTION.right)
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-5)


def test_a_turn_there_and_back_is_nothing() -> None:
    there = DIRECTION.move(LATENT, 0, 25, keep_norm=False)
    back = DIRECTION.move(there, 25, 0, keep_norm=False)
    np.testing.assert_allclose(back, LATENT, atol=1e-5)
