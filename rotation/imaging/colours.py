"""Matching the colours of images in CIE L*a*b*.

`match_colours` gives each frame the source's colours. `restore_colours` gives frames the colours
that encoding the source has lost.

Source: E. Reinhard et al., *Color Transfer between Images*, IEEE CG&A 21(5), 2001, in l-alpha-beta;
in CIE L*a*b* as in Asperti et al., arXiv 2308.06057.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rotation.data.crop import Pixels

Floats = NDArray[np.float64]

MAX_CONTRAST = 2.0
"""The largest factor by which contrast is changed. Without it, flat frames would become noise."""

_XYZ_FROM_RGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_RGB_FROM_XYZ = np.linalg.inv(_XYZ_FROM_RGB)
_WHITE = _XYZ_FROM_RGB.sum(axis=1)
_LINEAR_BELOW = 6 / 29  # below the cube of it, CIE replaces the cube root by its tangent


def match_colours(frames: Pixels, source: Pixels) -> Pixels:
    """Frames with the source's mean and standard deviation of L*, a* and b*.

        c' = (c - mean_frame) std_source / std_frame + mean_source,    for each channel

    The ratio is limited by `MAX_CONTRAST`. All pixels of a frame are mapped alike, so the side that
    the light comes from stays.

    Parameters:
        frames: (N, S, S, 3), each with a map of its own.
        source: (S, S, 3).
    """
    return np.stack([_map_colours(frame[None], frame, source)[0] for frame in frames])


def restore_colours(frames: Pixels, decoded: Pixels, source: Pixels) -> Pixels:
    """Frames with the colours that encoding the source has lost.

    All frames are mapped alike, so the changes of colour that editing makes stay.

    Parameters:
        frames: (N, S, S, 3).
        decoded: the source decoded from its own latent, (S, S, 3).
        source: (S, S, 3).
    """
    return _map_colours(frames, decoded, source)


def _map_colours(frames: Pixels, reference: Pixels, target: Pixels) -> Pixels:
    """Apply to the frames the map from the reference's colours to the target's."""
    own, wanted = (lab_from_srgb(image / 255.0).reshape(-1, 3) for image in (reference, target))
    ratio = (wanted.std(axis=0) + 1e-6) / (own.std(axis=0) + 1e-6)
    ratio = np.clip(ratio, 1 / MAX_CONTRAST, MAX_CONTRAST)
    mapped = (lab_from_srgb(frames / 255.0) - own.mean(axis=0)) * ratio + wanted.mean(axis=0)
    return np.rint(srgb_from_lab(mapped) * 255).astype(np.uint8)


def lab_from_srgb(rgb: NDArray[np.floating]) -> Floats:
    """CIE L*a*b* (..., 3), L* in 0 to 100, of sRGB (..., 3) in [0, 1]."""
    values = np.asarray(rgb, dtype=np.float64)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _XYZ_FROM_RGB.T / _WHITE
    tangent = ratio / (3 * _LINEAR_BELOW**2) + 4 / 29
    root = np.where(ratio > _LINEAR_BELOW**3, np.cbrt(ratio), tangent)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def srgb_from_lab(lab: NDArray[np.floating]) -> Floats:
    """sRGB (..., 3) in [0, 1] of CIE L*a*b* (..., 3). Colours outside of sRGB are clipped."""
    lightness, a, b = np.moveaxis(np.asarray(lab, dtype=np.float64), -1, 0)
    y = (lightness + 16) / 116
    root = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    ratio = np.where(root > _LINEAR_BELOW, root**3, 3 * _LINEAR_BELOW**2 * (root - 4 / 29))
    linear = np.clip(ratio * _WHITE @ _RGB_FROM_XYZ.T, 0, 1)
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, curved)
