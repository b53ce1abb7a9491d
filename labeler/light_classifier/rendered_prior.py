"""What rendered heads teach about light before anybody has labelled anything.

A linear model of the plain features, fitted to heads rendered with a lamp at a known azimuth
(`benchmarks/classifier_rendered.py` makes the file anew). It is no answer, only two numbers among
the features and two average faces, from which the fit to people's labels starts: it knows left
from right with no labels at all, but places the border to `center` as the renderer does and not
as people do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

Floats = npt.NDArray[np.float64]

FILE = Path(__file__).with_name("rendered.safetensors")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Weights (K,) on the odd and even part and on |odd|, a bias, and typical faces.

    `left_odd`, `left_even`, `center_even` (K,): means of the plain features over heads lit from
    the left and from the front; those lit from the right mirror the first two.
    """

    side: Floats
    center_even: Floats
    center_size: Floats
    center_bias: float
    mean_left_odd: Floats
    mean_left_even: Floats
    mean_center_even: Floats


@cache
def load_rendered() -> Rendered:
    """The model that comes with the program, read once."""
    stored = load_file(FILE)
    arrays = {name: array.astype(np.float64) for name, array in stored.items()}
    return Rendered(**{**arrays, "center_bias": float(arrays["center_bias"][0])})  # type: ignore[arg-type]


def rendered_scores(odd: Floats, even: Floats) -> tuple[Floats, Floats]:
    """Opinion of the rendered heads on plain features, (N, K) each.

    Returns:
        (N,) side, positive: left, negated by a mirror; (N,) center, positive: more like `center`,
        unchanged by a mirror. Both of standard deviation 1 on Yale B.
    """
    model = load_rendered()
    # Summed row by row and not by a matrix product, whose order may depend on the other rows.
    side = (odd * model.side).sum(axis=1)
    center = (even * model.center_even).sum(axis=1) + (np.abs(odd) * model.center_size).sum(axis=1)
    return side, center + model.center_bias
