"""Features of the light on a face: coarse brightness of its surface, split into odd and even.

`rotation.faces.face_surface` reads the brightness and the normal at places of a face. Two grids of
4 x 4 cells average it. The cells of the first grid are parts of the face, such as the left cheek.
The cells of the second grid are directions of the normals in the camera's axes: light shows there
whatever the head's turn. Places at the edge count less, because hair and background are near.

Each cell has the three measurements of `crop_features`. The photograph and its mirror image are
both read, and with flip the mirrored cells,

    odd = (f - flip f) / 2,    even = (f + flip f) / 2,    f = (f(photograph) + flip f(mirror)) / 2.

So a mirrored photograph has the negated odd part and the same even part, to the last bit.

The odd part also has the contrast c of the face's two halves, which is what people look at. The
even part has exp(-(c / `EVEN_CONTRAST`)^2), which is near 1 for evenly lit faces only. From few
labels these are easier to learn than a sum over many cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from labeler.light_classifier.rendered_prior import FACE_PRIOR, load_rendered, rendered_scores
from rotation.faces.mean_face import FaceSurface, SurfacePair, mean_face

VERSION = 3  # of the features; raise it when the same file gives others
GRID = 4  # cells per side
MEASUREMENT_SCALES = (11.0, 9.5, 4.5)  # as in `crop_features`
N_MEASUREMENTS = 2 * len(MEASUREMENT_SCALES)  # of both grids
N_PLAIN = N_MEASUREMENTS * GRID * GRID // 2
N_ODD = N_EVEN = N_PLAIN + 2
N_FEATURES = N_ODD + N_EVEN
RENDERED_SCALE = 20.0  # standard deviation of the two predictions of rendered heads
CONTRAST_SCALE = 10.0  # of the contrast of the halves; chosen on CelebA and Yale B
EVEN_CONTRAST = 0.1  # a contrast of the halves that people begin to see
RENDERED_CONTRAST = (0.335, 0.0, -0.335)  # mean of rendered heads lit from left, front, right

FACE_MIDDLE = (0.0, -1.06)  # of the face on the mean face, in half eye distances
FACE_REACH = (1.5, 1.7)  # from there to the middle of the outermost cells
EDGE_AXES = (1.83, 2.09)  # semi-axes of the ellipse at which the weight fades
EDGE_FADE = (0.75, 1.05)  # from full weight to none, as shares of the semi-axes
NORMAL_REACH = (0.75, 0.65)  # x and y of normals in the middle of the outermost cells
LEAST_HALF = 0.1  # of a half's weight, for it to be compared with the other one
MISSING_WEIGHT = 0.25  # of the face's mean in each cell, as a share of a cell's usual weight

Features = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


def face_features(pairs: Sequence[SurfacePair]) -> Features:
    """Return the features of faces.

    Returns:
        (N, N_FEATURES). First the odd part, positive if the left is brighter: the cells, the
        contrast of the halves and the rendered heads' prediction of the side. Then the even part:
        the cells, how even the halves are and their prediction of `center`. A row is NaN if
        neither the photograph nor its mirror image shows a face.
    """
    return _join(*plain_features(pairs), np.array([half_contrast(pair) for pair in pairs]))


def typical_features() -> Features:
    """Return features (3, N_FEATURES) of average rendered heads lit from left, front, right."""
    model = load_rendered(FACE_PRIOR)
    odd = np.stack([model.mean_left_odd, np.zeros(N_PLAIN), -model.mean_left_odd])
    even = np.stack([model.mean_left_even, model.mean_center_even, model.mean_left_even])
    return _join(odd, even, np.array(RENDERED_CONTRAST))


def _join(odd: Floats, even: Floats, contrast: Floats) -> Features:
    """Return features from the odd and even parts of the cells and the contrast of the halves.

    An unknown contrast, where a face hardly shows one half, counts as none.
    """
    known = np.isfinite(contrast)
    shown = np.where(known, contrast, 0.0)
    evenness = np.where(known, np.exp(-((shown / EVEN_CONTRAST) ** 2)), 0.0)
    side, center = rendered_scores(FACE_PRIOR, odd, even)
    columns = [
        *(odd, shown[:, None] * CONTRAST_SCALE, side[:, None] * RENDERED_SCALE),
        *(even, evenness[:, None] * CONTRAST_SCALE, center[:, None] * RENDERED_SCALE),
    ]
    rows = np.concatenate(columns, axis=1)
    rows[np.isnan(odd).any(axis=1)] = np.nan
    return rows.astype(np.float32)


def plain_features(pairs: Sequence[SurfacePair]) -> tuple[Floats, Floats]:
    """Return the odd and the even parts of the cells, (N, N_PLAIN) each; NaN without a face."""
    cells = np.full((len(pairs), GRID, GRID, N_MEASUREMENTS), np.nan)
    for row, (seen, mirrored) in enumerate(pairs):
        own = _cells(seen) if seen is not None else None
        other = _cells(mirrored)[:, ::-1] if mirrored is not None else None
        if own is not None and other is not None:
            cells[row] = (own + other) / 2
        elif own is not None or other is not None:
            cells[row] = own if own is not None else other
    left, right = cells[:, :, : GRID // 2], cells[:, :, : GRID // 2 - 1 : -1]
    odd, even = (left - right) / 2, (left + right) / 2
    even = even - even.mean(axis=(1, 2), keepdims=True)
    return odd.reshape(len(pairs), N_PLAIN), even.reshape(len(pairs), N_PLAIN)


def half_contrast(pair: SurfacePair) -> float:
    """Return how much brighter the left half of a face is than the right one, from -1 to 1.

    It is the difference of the two means, divided by the larger one. NaN without a face, and if
    one half is hardly seen.
    """
    found = [_half_difference(each) for each in pair if each is not None]
    if not found or np.isnan(found).any():
        return float("nan")
    if pair[0] is None:
        return -found[0]
    return found[0] if pair[1] is None else (found[0] - found[1]) / 2


def _half_difference(surface: FaceSurface) -> float:
    edge, _ = _face_grid()
    half = len(edge) // 2  # the first half of the places lies on the viewer's right
    weights = (surface.seen * edge).reshape(2, half)
    sums = (weights * (surface.brightness + 1).reshape(2, half)).sum(axis=1)
    if weights.sum(axis=1).min() < LEAST_HALF * edge.sum() / 2:
        return float("nan")
    right, left = sums / weights.sum(axis=1)
    return float((left - right) / max(left, right, 1e-9))


def _cells(surface: FaceSurface) -> Floats:
    """Return the measurements (GRID rows, GRID columns, N_MEASUREMENTS) of one face."""
    edge, parts = _face_grid()
    x, y = surface.normals[:, 0] / NORMAL_REACH[0], surface.normals[:, 1] / NORMAL_REACH[1]
    weights = surface.seen * edge
    measured = [_measure(surface.brightness, weights, grid) for grid in (parts, _grid(x, y))]
    return np.concatenate(measured, axis=1).reshape(GRID, GRID, N_MEASUREMENTS)


def _measure(brightness: Floats, weights: Floats, grid: Floats) -> Floats:
    """Return three measurements of each cell (GRID * GRID, 3).

    Parameters:
        brightness, weights: (P,) of the places.
        grid: (P, GRID * GRID) how much each place belongs to each cell.
    """
    values = np.stack([brightness + 1, (brightness + 1.5) ** 4], axis=1)
    total = weights.sum() + 1e-9
    means = weights @ values / total
    missing = MISSING_WEIGHT * total / (GRID * GRID)
    shared = grid.T @ (weights[:, None] * values) + missing * means
    shared /= (grid.T @ weights + missing)[:, None]
    mean, peak, level = shared[:, 0], shared[:, 1] ** 0.25, means[0]
    logs = [np.log(mean / level + 1), np.log(peak / level + 1), np.log(mean)]
    return np.stack(logs, axis=1) * MEASUREMENT_SCALES


@cache
def _face_grid() -> tuple[Floats, Floats]:
    """Return the weight of each place (P,), and its shares of the face's parts (P, cells)."""
    face = mean_face()
    x, y = (face.places - FACE_MIDDLE).T
    away = np.hypot(x / EDGE_AXES[0], y / EDGE_AXES[1])
    edge = np.clip((EDGE_FADE[1] - away) / (EDGE_FADE[1] - EDGE_FADE[0]), 0, 1) * face.skin
    return edge, _grid(x / FACE_REACH[0], y / FACE_REACH[1])


def _grid(x: Floats, y: Floats) -> Floats:
    """Return the shares (P, GRID * GRID) of cells from the top left; x and y from -1 to 1."""
    middles = np.linspace(-1, 1, GRID)
    across, down = (
        np.clip(1 - np.abs(np.clip(v, -1, 1)[:, None] - middles) * (GRID - 1) / 2, 0, 1)
        for v in (x, -y)
    )
    return (down[:, :, None] * across[:, None, :]).reshape(len(x), GRID * GRID)
