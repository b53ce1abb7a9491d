"""The direction of the light, in degrees, from the features of a face.

A small network was trained on rendered heads with a lamp at a known azimuth
(`benchmarks/classifier_rendered.py`). It reads the plain features and the head's yaw y:

    g(o, e, y) = two numbers,    sine = g_1(o, e, y) - g_1(-o, e, -y),
    cosine = g_2(o, e, y) + g_2(-o, e, -y),    azimuth = -atan2(sine, cosine).

So the mirrored photograph has exactly the negated azimuth. Labels of people are not used: they
name a side, not an angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeler.light_classifier.face_features import N_ODD, N_PLAIN
from labeler.light_classifier.features import Features
from labeler.light_classifier.rendered_prior import load_arrays

DIRECTION = "face_direction"  # the file of the network
YAW_SCALE = 0.5  # of the sine of the yaw

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LightDirections:
    """Where the light of N faces comes from; NaN without a face.

    Attributes:
        azimuth_deg: (N,) 0 is the camera, negative the viewer's left, -180 to 180.
        spread_deg: (N,) standard deviation of the error, as it was on rendered heads for which
            the network was as sure.
    """

    azimuth_deg: Floats
    spread_deg: Floats


def light_directions(features: Features, yaw_deg: npt.NDArray[np.floating]) -> LightDirections:
    """Return the direction of the light on faces.

    Parameters:
        features: (N, N_FEATURES), see `face_features`.
        yaw_deg: (N,) positive towards the viewer's right.
    """
    arrays = load_arrays(DIRECTION)
    odd = features[:, :N_PLAIN] / arrays["odd_scale"]
    even = (features[:, N_ODD : N_ODD + N_PLAIN] - arrays["even_mean"]) / arrays["even_scale"]
    yaw = (np.sin(np.deg2rad(yaw_deg)) / YAW_SCALE)[:, None]
    plain, mirrored = (
        _network(np.concatenate([sign * odd, even, sign * yaw], axis=1)) for sign in (1, -1)
    )
    sine, cosine = plain[:, 0] - mirrored[:, 0], plain[:, 1] + mirrored[:, 1]
    azimuth = -np.rad2deg(np.arctan2(sine, cosine))
    sureness = np.hypot(sine, cosine)
    spread = np.interp(sureness, arrays["sureness"], arrays["spread_deg"])
    known = np.isfinite(azimuth)
    return LightDirections(np.where(known, azimuth, np.nan), np.where(known, spread, np.nan))


def _network(inputs: Floats) -> Floats:
    """Return the two numbers g (N, 2) of the network."""
    arrays = load_arrays(DIRECTION)
    values = inputs
    for layer in range(3):
        # Not a matrix product, whose order of summation may depend on the other rows.
        weights = arrays[f"weight_{layer}"]
        values = np.einsum("ni,oi->no", values, weights) + arrays[f"bias_{layer}"]
        if layer < 2:
            values = values / (1 + np.exp(-np.clip(values, -60, 60)))
    return values
