"""Calibration of steps: how far along a direction a source must move to show a target yaw.

A mean direction holds less than half of the change of one head's latent in a turn. So a step of the
fitted slope falls short, and the error differs between faces. The source is moved along the
direction in trial steps, and the yaw of each decoded frame is measured. The measured function is
then inverted. Angles are in degrees, positive towards the viewer's right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

TRIAL_STEPS_DEG = (8.0, 16.0, 24.0, 32.0, 44.0, 56.0, 72.0, 88.0, 104.0, 120.0, 140.0, 160.0)
"""Trial steps to either side. Beyond the last, decoded frames leave the model's distribution."""

LEAST_CONFIDENCE = 0.3
MIN_READINGS = 6


@dataclass(frozen=True)
class Calibration:
    """Trial steps and the yaws they reached.

    Attributes:
        tried_deg: trial steps, rising, with 0 among them.
        reached_deg: the monotone fit of measured yaws, relative to the source; 0 at step 0.
    """

    tried_deg: Floats
    reached_deg: Floats

    def steps(self, wanted_deg: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Invert the calibration.

        Parameters:
            wanted_deg: target yaws (K,) relative to the source.

        Returns:
            The steps (K,), and whether each target can be reached (K,). An unreachable target
            gets the smallest step that turns as far as possible.
        """
        wanted = np.asarray(wanted_deg, dtype=np.float64)
        low, high = self.reached_deg[0], self.reached_deg[-1]
        # On a plateau, this small slope selects the end next to the source.
        rising = self.reached_deg + 1e-9 * self.tried_deg
        found = np.interp(np.clip(wanted, low, high), rising, self.tried_deg)
        return np.where(wanted == 0, 0.0, found), (wanted >= low) & (wanted <= high)


def trial_steps() -> Floats:
    """The trial steps, rising, with 0 among them."""
    steps = np.array(TRIAL_STEPS_DEG)
    return np.concatenate([-steps[::-1], [0.0], steps])


def calibrate(
    tried_deg: Sequence[float], yaw_deg: Floats, confidence: Floats
) -> Calibration | None:
    """Calibrate steps by the yaws measured on the frames of trial steps.

    Yaws are taken relative to that at step 0, so the constant error of the pose estimator on this
    face cancels. Weighted isotonic regression makes them monotone.

    Parameters:
        tried_deg: the trial steps (n,), with 0 among them.
        yaw_deg: the measured yaws (n,), NaN if not measured.
        confidence: the weight (n,) of each. Yaws below `LEAST_CONFIDENCE` do not count.

    Returns:
        The calibration. None if too few yaws count, if the yaw at step 0 does not, or if the head
        does not turn.
    """
    from scipy.optimize import isotonic_regression  # late: half a second of imports

    tried, yaw = np.asarray(tried_deg, dtype=np.float64), np.asarray(yaw_deg, dtype=np.float64)
    good = np.isfinite(yaw) & (np.asarray(confidence) >= LEAST_CONFIDENCE)
    origin = int(np.flatnonzero(tried == 0)[0])
    if not good[origin] or good.sum() < MIN_READINGS:
        return None
    relative = yaw[good] - yaw[origin]
    reached = isotonic_regression(relative, weights=np.asarray(confidence)[good]).x
    reached = reached - reached[np.flatnonzero(tried[good] == 0)[0]]
    if reached[-1] - reached[0] <= 0:
        return None
    return Calibration(tried[good], reached)
