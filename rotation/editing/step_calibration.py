"""How far along a direction a source must go to show the yaw that is asked for.

A mean over people knows less than half of what one head's turn changes in its latent, so a step of
the fitted slope falls short, by an amount that differs from face to face. Instead of one factor for
all, the source is moved along the direction in trial steps, the yaw of each picture is read, and
the reading is inverted. Angles in degrees, positive towards the viewer's right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

TRIAL_STEPS_DEG = (8.0, 16.0, 24.0, 32.0, 44.0, 56.0, 72.0, 88.0, 104.0, 120.0, 140.0, 160.0)
"""Steps tried to either side. Beyond the last, pictures have left what the model knows."""

MIN_CONFIDENCE = 0.3
MIN_READINGS = 6


@dataclass(frozen=True)
class Calibration:
    """Trial steps and what they showed: the inverse of `reached_deg` on `tried_deg` is wanted.

    Both are relative to the source, rising, and hold 0 -> 0; `reached_deg` is the monotone fit of
    the readings.
    """

    tried_deg: Floats
    reached_deg: Floats

    def steps(self, wanted_deg: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """The steps (K,) that turn by `wanted_deg` (K,), and whether each can be reached.

        Where it cannot, the step is the smallest that turns as far as possible.
        """
        wanted = np.asarray(wanted_deg, dtype=np.float64)
        low, high = self.reached_deg[0], self.reached_deg[-1]
        # On a plateau a longer step buys nothing: the tilt makes its end next to the source win.
        rising = self.reached_deg + 1e-9 * self.tried_deg
        found = np.interp(np.clip(wanted, low, high), rising, self.tried_deg)
        return np.where(wanted == 0, 0.0, found), (wanted >= low) & (wanted <= high)


def trial_steps() -> Floats:
    """The steps to try, rising, 0 among them."""
    steps = np.array(TRIAL_STEPS_DEG)
    return np.concatenate([-steps[::-1], [0.0], steps])


def calibrate(
    tried_deg: Sequence[float], yaw_deg: Floats, confidence: Floats
) -> Calibration | None:
    """The calibration from the yaws (n,) read off the pictures of the trial steps (n,).

    Readings are taken relative to the one at step 0, so that a reader's constant error on this
    face cancels, and made monotone by weighted isotonic regression. Readings that are NaN or of a
    confidence below `MIN_CONFIDENCE` do not count. None where too few are left, where the source
    itself cannot be read, or where nothing turns.
    """
    from scipy.optimize import isotonic_regression  # late: half a second of imports

    tried, yaw = np.asarray(tried_deg, dtype=np.float64), np.asarray(yaw_deg, dtype=np.float64)
    good = np.isfinite(yaw) & (np.asarray(confidence) >= MIN_CONFIDENCE)
    origin = int(np.flatnonzero(tried == 0)[0])
    if not good[origin] or good.sum() < MIN_READINGS:
        return None
    relative = yaw[good] - yaw[origin]
    reached = isotonic_regression(relative, weights=np.asarray(confidence)[good]).x
    reached = reached - reached[np.flatnonzero(tried[good] == 0)[0]]
    if reached[-1] - reached[0] <= 0:
        return None
    return Calibration(tried[good], reached)
