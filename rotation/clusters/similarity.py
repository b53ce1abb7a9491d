"""Weighting cluster members by how much they look like the source.

The descriptor is the mean colours of five regions of the standard crop. They reflect the colour and
length of hair, skin, beard and background. The regions are symmetric about the vertical axis. So a
mirror does not change the descriptor, and a turned head changes it little.
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
"""The effective size (sum w)^2 / sum w^2 of weighted clusters, as a share of their size."""

REGIONS = (
    ("hair", 0.0, 0.12, 0.25, 0.5),
    ("background", 0.0, 0.3, 0.0, 0.1),
    ("sides", 0.55, 0.95, 0.0, 0.14),
    ("forehead and cheeks", 0.28, 0.72, 0.34, 0.5),
    ("chin", 0.8, 0.95, 0.36, 0.5),
)
"""Name, top, bottom, and outer and inner border counted from the nearer edge; all in shares of the
crop's side."""


def appearance_descriptors(crops: Pixels) -> Floats:
    """Mean sRGB colours of the regions, (N, 15) in [0, 1], of standard crops (N, S, S, 3).

    A mirrored crop has exactly the same descriptor.
    """
    size = crops.shape[1]
    images = crops.astype(np.float64) / 255
    colours = []
    for _, top, bottom, outer, inner in REGIONS:
        rows = slice(round(top * size), max(round(bottom * size), round(top * size) + 1))
        columns = slice(round(outer * size), max(round(inner * size), round(outer * size) + 1))
        seen, mirrored = images[:, rows, columns], images[:, rows, ::-1][:, :, columns]
        colours.append((seen.mean(axis=(1, 2)) + mirrored.mean(axis=(1, 2))) / 2)
    return np.concatenate(colours, axis=1)


def weight_by_similarity(
    selection: Selection, looks: Floats, source: Floats, share: float = EFFECTIVE_SHARE
) -> Selection:
    """The selection with larger weights for members that look like the source.

        w = exp(-d^2 / (2 h^2)),    d^2 = mean_f ((looks_f - source_f) / std_f)^2

    All clusters share one bandwidth h. It is chosen so that the effective size of the whole
    selection is `share` of its size.

    Parameters:
        looks: descriptors (n, F) of `selection.members`, of any kind.
        source: the descriptor (F,) of the source.
        share: within (0, 1]; 1 gives equal weights.

    Raises:
        SelectionError: `share` is out of range, or the shapes do not fit.
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
    weights = _weights_of_share(np.square((looks - source) / spread).mean(axis=1), share)
    edges = np.cumsum((0, *selection.sizes))
    clusters = tuple(
        replace(cluster, weights=weights[first:last])
        for cluster, (first, last) in zip(selection.clusters, pairwise(edges), strict=True)
    )
    return replace(selection, clusters=clusters)


def _weights_of_share(squares: Floats, share: float) -> Floats:
    """Weights (n,) of mean 1 with this effective share, by bisection over 1 / (2 h^2)."""
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
