"""sRGB and CIE L*a*b* (D65, 2 degrees), both ways, in float64.

IEC 61966-2-1 gives sRGB's curve and primaries, CIE 15:2004 (section 8.2.1) L*a*b*. The white is
sRGB's own (the matrix's row sums), so that greys have a* = b* = 0 exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(axis=1)
_FROM_XYZ = np.linalg.inv(_TO_XYZ)
_EDGE = 6 / 29  # below its cube, the cube root is replaced by its tangent


def lab_from_srgb(rgb: NDArray[np.floating]) -> Floats:
    """L* in 0..100, a* and b* (..., 3) of sRGB values (..., 3) in [0, 1]."""
    values = np.asarray(rgb, dtype=np.float64)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _WHITE
    root = np.where(ratio > _EDGE**3, np.cbrt(ratio), ratio / (3 * _EDGE**2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def srgb_from_lab(lab: NDArray[np.floating]) -> Floats:
    """sRGB values (..., 3) in [0, 1] of L*a*b* (..., 3); colours sRGB has not are clipped."""
    light, a, b = np.moveaxis(np.asarray(lab, dtype=np.float64), -1, 0)
    y = (light + 16) / 116
    root = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    ratio = np.where(root > _EDGE, root**3, 3 * _EDGE**2 * (root - 4 / 29))
    linear = np.clip(ratio * _WHITE @ _FROM_XYZ.T, 0, 1)
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, curved)
