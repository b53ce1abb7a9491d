"""Moving a source's latent along a direction, in degrees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rotation.directions import Direction

Floats = NDArray[np.floating]


def move(
    latent: Floats, direction: Direction, from_deg: float, to_deg: float,
    gain: float = 1.0, keep_norm: bool = True,
) -> Floats:  # fmt: skip
    """The latent (D,) of a source at yaw `from_deg` turned to `to_deg`.

        z' = z + gain (path(to) - path(from)),   with keep_norm  z' <- z' |z| / |z'|

    Latents lie near a sphere (|z| = 110.9 +- 0.7 for D = 12288) that a sum leaves: an off-shell
    latent decodes with too much or too little contrast, so the source's own norm is kept. No
    degrees give the source's latent itself, to the bit.
    """
    if from_deg == to_deg:
        return latent.copy()
    moved = latent + gain * direction.displacement(from_deg, to_deg)
    if keep_norm:
        moved = moved * (np.linalg.norm(latent) / max(float(np.linalg.norm(moved)), 1e-12))
    return moved.astype(latent.dtype)


def trajectory(
    latent: Floats, direction: Direction, from_deg: float, to_deg: Sequence[float],
    gain: float = 1.0, keep_norm: bool = True,
) -> Floats:  # fmt: skip
    """The latents (K, D) of a source (D,) turned to each of K yaws."""
    return np.stack([move(latent, direction, from_deg, yaw, gain, keep_norm) for yaw in to_deg])


def calibrated_gain(
    asked_deg: Sequence[float],
    reached_deg: Sequence[float],
    limits: tuple[float, float] = (0.5, 3.0),
) -> float:
    """The factor on the displacement that makes the reached yaws change as the asked ones do.

    The inverse of the least squares slope of reached on asked yaws, within `limits`. Clusters'
    means regress towards the middle (yaws are measured with error), so the slope is mostly
    below 1. Returns 1.0 where no slope can be told.
    """
    asked, reached = np.asarray(asked_deg, float), np.asarray(reached_deg, float)
    known = np.isfinite(reached)
    offset = asked[known] - asked[known].mean() if known.any() else np.zeros(0)
    if known.sum() < 3 or not np.any(offset):
        return 1.0
    slope = float(offset @ reached[known]) / float(offset @ offset)
    return 1.0 if slope <= 0 else float(np.clip(1.0 / slope, *limits))
