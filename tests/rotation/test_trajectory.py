"""Moves in latent space: degrees, norms, calibration."""

from __future__ import annotations

import numpy as np
import pytest

from rotation.directions import Direction
from rotation.trajectory import calibrated_gain, move, trajectory

RNG = np.random.default_rng(0)
LATENT = RNG.standard_normal(500).astype(np.float32)
DIRECTION = Direction(*(0.05 * RNG.standard_normal((2, 500))), 1.0, 1.0)


@pytest.mark.parametrize("yaw", [-12.5, 0.0, 30.0])
def test_no_turn_is_the_source_to_the_bit(yaw: float) -> None:
    assert np.array_equal(move(LATENT, DIRECTION, yaw, yaw), LATENT)


def test_the_norm_is_kept() -> None:
    for latent in trajectory(LATENT, DIRECTION, 5, (-30, -10, 20, 40)):
        assert np.linalg.norm(latent) == pytest.approx(np.linalg.norm(LATENT), rel=1e-5)
        assert latent.dtype == np.float32


def test_without_keeping_it_the_move_is_the_displacement() -> None:
    moved = move(LATENT, DIRECTION, 5, -10, gain=2.0, keep_norm=False)
    expected = LATENT + 2 * (-10 * DIRECTION.left - 5 * DIRECTION.right)
    np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-5)


def test_a_turn_there_and_back_is_nothing() -> None:
    there = move(LATENT, DIRECTION, 0, 25, keep_norm=False)
    back = move(there, DIRECTION, 25, 0, keep_norm=False)
    np.testing.assert_allclose(back, LATENT, atol=1e-5)


def test_the_gain_inverts_what_falls_short() -> None:
    asked = np.arange(-30.0, 31, 10)
    assert calibrated_gain(asked, 0.5 * asked + 3) == pytest.approx(2)
    assert calibrated_gain(asked, 2 * asked) == pytest.approx(0.5)
    assert calibrated_gain(asked, 0.01 * asked) == 3.0


def test_the_gain_is_one_where_nothing_can_be_told() -> None:
    asked = [-10.0, 0.0, 10.0, 20.0]
    assert calibrated_gain(asked, [np.nan] * 4) == 1
    assert calibrated_gain(asked, [3.0, np.nan, np.nan, 4.0]) == 1
    assert calibrated_gain(asked, [5.0, 0.0, -5.0, -10.0]) == 1
    assert calibrated_gain([1.0] * 4, asked) == 1
