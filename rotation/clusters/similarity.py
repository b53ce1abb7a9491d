"""How alike two faces look, roughly: members of a cluster that resemble the source may count more.

The mean colours of a few regions of the standard crop - hair, background, sides, skin, chin - tell
hair colour and length, skin, beard and backdrop. The regions lie symmetrically about the middle,
so a mirror changes nothing and a turn of the head little.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import Selection
from rotation.data.crop import Pixels
from rotation.errors import SelectionError

Floats = NDArray[np.float64]

EFFECTIVE_SHARE = 0.5
"""Weights are as steep as leaves half the images, counted by (sum w)^2 / sum w^2."""

REGIONS = (
    ("hair", 0.0, 0.12, 0.25, 0.5),
    ("background", 0.0, 0.3, 0.0, 0.1),
    ("sides", 0.55, 0.95, 0.0, 0.14),
    ("forehead and cheeks", 0.28, 0.72, 0.34, 0.5),
    ("chin", 0.8, 0.95, 0.36, 0.5),
)
"""Top, bottom, and from the nearer edge outer and inner border, as shares of the crop's side."""


def describe_looks(crops: Pixels) -> Floats:
    """Mean colours of the regions, (N, 15) in [0, 1], of standard crops (N, S, S, 3), sRGB.

    Exactly the same for a mirrored crop.
    """
    size = crops.shape[1]
    pictures = crops.astype(np.float64) / 255
    colours = []
    for _, top, bottom, outer, inner in REGIONS:
        rows = slice(round(top * size), max(round(bottom * size), round(top * size) + 1))
        columns = slice(round(outer * size), max(round(inner * size), round(outer * size) + 1))
        seen, mirrored = pictures[:, rows, columns], pictures[:, rows, ::-1][:, :, columns]
        colours.append((seen.mean(axis=(1, 2)) + mirrored.mean(axis=(1, 2))) / 2)
    return np.concatenate(colours, axis=1)


def weigh(
    selection: Selection, looks: Floats, source: Floats, share: float = EFFECTIVE_SHARE
) -> Selection:
    """The selection with weights that favour members who look like the source.

        w = exp(-d^2 / 2 h^2),   d^2 the mean square of the differences, each in units of its spread

    One h for all clusters, such that the effective size of the whole is `share` of its number.

    Parameters:
        looks: (n, F), a row for each of `selection.members`; any descriptor will do.
        source: (F,), of the source.
        share: within (0, 1]; 1 gives equal weights.

    Raises `SelectionError` for another share or other shapes.
    """
    if not 0 < share <= 1:
        raise SelectionError(f"The effective share must be above 0 and at most 1, not {share}.")
    if looks.shape != (len(selection.members), len(source)):
        raise SelectionError(
            f"{len(selection.members)} members need as many rows of {len(source)} values, "
            f"not {looks.shape}."
        )
    spread = looks.std(axis=0)
    spread[spread == 0] = 1.0
    weights = _steepest(np.square((looks - source) / spread).mean(axis=1), share)
    edges = np.cumsum((0, *selection.sizes))
    clusters = tuple(
        replace(cluster, weights=weights[first:last])
        for cluster, (first, last) in zip(selection.clusters, pairwise(edges), strict=True)
    )
    return replace(selection, clusters=clusters)


def _steepest(squares: Floats, share: float) -> Floats:
    """Weights (n,) of mean 1, as steep as leaves the share: bisection over 1 / 2 h^2."""
    gaps = squares - squares.min()
    low, high = 0.0, 1.0
    while _effective_share(gaps, high) > share and high < 1e9:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _effective_share(gaps, middle) > share else (low, middle)
    weights = np.exp(-low * gaps)
    return weights / weights.mean()


def _effective_share(gaps: Floats, rate: float) -> float:
    weights = np.exp(-rate * gaps)
    return float(weights.mean() ** 2 / np.square(weights).mean())
