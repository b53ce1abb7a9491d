"""Moving a source's latent along a direction, in degrees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rotation.directions.direction import Direction

Floats = NDArray[np.floating]


def move(
    latent: Floats, direction: Direction, from_deg: float, to_deg: float, keep_norm: bool = True
) -> Floats:
    """The latent (D,) of a source at yaw `from_deg` turned to `to_deg`.

        z' = z + path(to) - path(from),   with keep_norm  z' <- z' |z| / |z'|

    Latents lie near a sphere (|z| = 110.9 +- 0.7 for D = 12288) that a sum leaves: an off-shell
    latent decodes with too much or too little contrast, so the source's own norm is kept. No
    degrees give the source's latent itself, to the bit.
    """
    if from_deg == to_deg:
        return latent.copy()
    moved = latent + direction.displacement(from_deg, to_deg)
    if keep_norm:
        moved = moved * (np.linalg.norm(latent) / max(float(np.linalg.norm(moved)), 1e-12))
    return moved.astype(latent.dtype)


def trajectory(
    latent: Floats,
    direction: Direction,
    from_deg: float,
    to_deg: Sequence[float],
    keep_norm: bool = True,
) -> Floats:
    """The latents (K, D) of a source (D,) turned to each of K yaws."""
    return np.stack([move(latent, direction, from_deg, yaw, keep_norm) for yaw in to_deg])
