"""Calibration: readings of trial steps inverted into the steps that turn as far as asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rotation.editing.step_calibration import Calibration, calibrate, trial_steps

TRIED = trial_steps()
SURE = np.ones(len(TRIED))


def saturating(steps: np.ndarray) -> np.ndarray:
    """A head that turns by a third of the step, up to 40 degrees."""
    return np.clip(steps / 3, -40, 40)


def calibrated(yaws: np.ndarray, confidence: np.ndarray = SURE) -> Calibration:
    calibration = calibrate(TRIED.tolist(), yaws, confidence)
    assert calibration is not None
    return calibration


def test_steps_turn_as_far_as_asked() -> None:
    wanted = np.array([-30.0, -12.0, 0.0, 7.0, 30.0])
    steps, reached = calibrated(saturating(TRIED)).steps(wanted)
    assert reached.all()
    np.testing.assert_allclose(saturating(steps), wanted, atol=0.5)


def test_a_constant_error_of_the_reader_cancels() -> None:
    wanted = np.array([-20.0, 20.0])
    plain, _ = calibrated(saturating(TRIED)).steps(wanted)
    shifted, _ = calibrated(saturating(TRIED) + 9).steps(wanted)
    np.testing.assert_allclose(plain, shifted, atol=1e-6)


def test_out_of_reach_is_said_and_goes_no_further_than_it_helps() -> None:
    steps, reached = calibrated(saturating(TRIED)).steps(np.array([-60.0, 60.0]))
    assert not reached.any()
    np.testing.assert_allclose(np.abs(steps), 120, atol=1)


def test_mirrored_readings_give_mirrored_steps() -> None:
    yaws = saturating(TRIED) + np.where(TRIED > 0, 3, 0)
    wanted = np.array([-25.0, -5.0, 15.0])
    steps, _ = calibrated(yaws).steps(wanted)
    mirrored, _ = calibrated(-yaws[::-1]).steps(-wanted)
    np.testing.assert_allclose(steps, -mirrored, atol=1e-5)


@given(st.lists(st.floats(-15, 15), min_size=len(TRIED), max_size=len(TRIED)))
def test_noise_never_turns_the_order_of_steps(noise: list[float]) -> None:
    calibration = calibrate(TRIED.tolist(), saturating(TRIED) + np.array(noise), SURE)
    assume(calibration is not None)  # it nearly never is: too few examples would fail the test
    assert calibration is not None
    steps, _ = calibration.steps(np.arange(-30.0, 31, 5))
    assert (np.diff(steps) >= -1e-6).all()


@pytest.mark.parametrize(
    "confidence",
    [np.zeros(len(TRIED)), np.where(TRIED == 0, 0.0, 1.0), np.where(TRIED > 100, 1, 0)],
)
def test_without_readings_there_is_no_calibration(confidence: np.ndarray) -> None:
    assert calibrate(TRIED.tolist(), saturating(TRIED), confidence) is None


def test_a_head_that_does_not_turn_has_no_calibration() -> None:
    assert calibrate(TRIED.tolist(), np.zeros(len(TRIED)), SURE) is None
    assert calibrate(TRIED.tolist(), -saturating(TRIED), SURE) is None
