"""A linear model of rendered heads, which is known before the first label.

It was fitted to the plain features of heads rendered with a lamp at a known azimuth
(`benchmarks/classifier_rendered.py` writes the file for `face_features`). It gives two of the
features, and average faces from which the fit to people's labels starts. It knows left from right
without any label, but its border to `center` is that of the renderer, not that of people.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

Floats = npt.NDArray[np.float64]

CROP_PRIOR, FACE_PRIOR = "crop_prior", "face_prior"
"""The files of the models for `crop_features` and for `face_features`."""


@dataclass(frozen=True, slots=True)
class RenderedModel:
    """The model. K is the number of odd, or of even, plain features.

    Attributes:
        side: (K,) weights of the odd part for the side.
        center_even, center_size: (K,) weights of the even part and of |odd| for `center`.
        center_bias: bias for `center`.
        mean_left_odd, mean_left_even: (K,) mean features of heads lit from the left. Heads lit
            from the right have the mirrored ones.
        mean_center_even: (K,) mean even part of heads lit from the front.
    """

    side: Floats
    center_even: Floats
    center_size: Floats
    center_bias: float
    mean_left_odd: Floats
    mean_left_even: Floats
    mean_center_even: Floats


@cache
def load_rendered(name: str) -> RenderedModel:
    """Return a model that is part of the program, `CROP_PRIOR` or `FACE_PRIOR`."""
    arrays = load_arrays(name)
    numbers = {field.name: arrays[field.name] for field in fields(RenderedModel)}
    return RenderedModel(**{**numbers, "center_bias": float(arrays["center_bias"][0])})  # type: ignore[arg-type]


@cache
def load_arrays(name: str) -> dict[str, Floats]:
    """Return all arrays of a model's file."""
    stored = load_file(Path(__file__).with_name(f"{name}.safetensors"))
    return {name: array.astype(np.float64) for name, array in stored.items()}


def rendered_scores(name: str, odd: Floats, even: Floats) -> tuple[Floats, Floats]:
    """Return a model's scores of plain features.

    Parameters:
        name: as for `load_rendered`.
        odd, even: (N, K) each.

    Returns:
        side (N,), positive for left; a mirror negates it. center (N,), positive for `center`; a
        mirror does not change it. Both have a standard deviation of about 1.
    """
    model = load_rendered(name)
    # Not a matrix product, whose order of summation may depend on the other rows.
    side = (odd * model.side).sum(axis=1)
    center = (even * model.center_even).sum(axis=1) + (np.abs(odd) * model.center_size).sum(axis=1)
    return side, center + model.center_bias
