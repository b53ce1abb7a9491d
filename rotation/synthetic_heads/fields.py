"""Small smooth functions that the shape and the paint of a head are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# float32 wherever there are many: vertices and pixels.
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.intp]


def ramp(value: Floats, low: float, high: float) -> Floats:
    """Smoothstep: 0 at ``low``, 1 at ``high``, level at both ends (``high`` < ``low`` descends)."""
    t = np.clip((value - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def bump(u: Floats, v: Floats) -> Floats:
    """Gaussian hill of height 1 at the origin of (u, v), in units of its own widths."""
    return np.exp(-0.5 * (u * u + v * v))


def cover(signed_distance: Floats, softness: float) -> Floats:
    """Coverage in [0, 1] of a region that is positive inside, with an edge that wide."""
    return np.clip(signed_distance * (1 / softness) + 0.5, 0, 1)


def mix(colour: Floats, other: Floats | tuple[float, ...], amount: Floats) -> Floats:
    """Blend (3, P) colours by (P,) amounts towards other colours (3, P) or one colour."""
    target = np.asarray(other, np.float32)
    return colour + ((target[:, None] if target.ndim == 1 else target) - colour) * amount
