"""Rasterisation: a z-buffer for one image, vectorised over triangles and pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rotation.synthetic_heads.fields import Floats, Ints

# Triangles are grouped by the size of their bounding box in pixels. So each group is one dense
# (triangles, box, box) array.
_BOXES = (2, 3, 4, 5, 7, 9, 17, 33, 65, 129, 257, 513)
_ID_BITS = 20
_DEPTH_STEPS = float(1 << 24)
_DEPTH_RANGE = 16.0
# Pixel centres on a shared edge belong to both triangles. This avoids cracks, and a preferred
# side, which would break mirror symmetry.
_EDGE = 2e-4


@dataclass(frozen=True, slots=True)
class Coverage:
    """The nearest triangle of each covered pixel.

    ``pixels`` (P,) are flat indices, ``triangles`` (P,), ``weights`` (3, P) barycentric,
    ``depth`` (P,) towards the viewer.
    """

    pixels: Ints
    triangles: Ints
    weights: Floats
    depth: Floats


@dataclass(frozen=True, slots=True)
class _Planes:
    """Linear functions of the pixel (x, y), (3, T): constant, by x, by y.

    They give the second and third barycentric weight and the depth.
    """

    low: Ints
    box: Ints
    index: Ints
    second: Floats
    third: Floats
    depth: Floats


def rasterise(
    points: Floats, triangles: Ints, two_sided: NDArray[np.bool_], width: int, height: int
) -> Coverage:
    """Find the nearest triangle at every pixel centre.

    ``points`` (3, V): x right and y down in pixels, z towards the viewer. ``triangles`` (3, T) are
    counter-clockwise as seen when they face the viewer; those with ``two_sided`` (T,) False are
    dropped when they face away. Uncovered pixels are not in the result.
    """
    planes = _set_up(points, triangles, two_sided, width, height)
    buffer = np.full(width * height, -1, np.int64)
    smallest = 0
    for box in _BOXES:
        group = np.flatnonzero((planes.box > smallest) & (planes.box <= box))
        if group.size:
            _draw(buffer, planes, group, box, width, height)
        smallest = box
    return _resolve(buffer, planes, width)


def _set_up(
    points: Floats, triangles: Ints, two_sided: NDArray[np.bool_], width: int, height: int
) -> _Planes:
    px, py, pz = points
    first, second, third = triangles
    # y points down, so a triangle facing the viewer has a negative area here.
    area = _area(px, py, first, second, third)
    index = np.flatnonzero((area < 0) | (two_sided & (area > 0)))
    corners = [t[index] for t in (first, second, third)]
    low_x, high_x = _reach([px[c] for c in corners], width)
    low_y, high_y = _reach([py[c] for c in corners], height)
    box = np.maximum(high_x - low_x, high_y - low_y) + 1
    seen = np.flatnonzero((high_x >= low_x) & (high_y >= low_y))
    index = index[seen]
    low = np.stack([low_x[seen], low_y[seen]])
    a, b, c = (t[seen] for t in corners)
    inverse = 1 / area[index]
    to_b = _plane((py[c] - py[a]) * inverse, (px[a] - px[c]) * inverse, px[a], py[a])
    to_c = _plane((py[a] - py[b]) * inverse, (px[b] - px[a]) * inverse, px[a], py[a])
    depth = to_b * (pz[b] - pz[a]) + to_c * (pz[c] - pz[a])
    depth[0] += pz[a]
    return _Planes(low, box[seen], index, to_b, to_c, depth)


def _area(x: Floats, y: Floats, a: Ints, b: Ints, c: Ints) -> Floats:
    xa, ya = x[a], y[a]
    return (x[b] - xa) * (y[c] - ya) - (y[b] - ya) * (x[c] - xa)


def _reach(corners: list[Floats], size: int) -> tuple[Ints, Ints]:
    """First and last pixel, within the picture, whose centre can lie between the corners."""
    a, b, c = corners
    low = np.ceil(np.minimum(np.minimum(a, b), c) - np.float32(0.5 + _EDGE))
    high = np.floor(np.maximum(np.maximum(a, b), c) - np.float32(0.5 - _EDGE))
    low, high = np.maximum(low, 0), np.minimum(high, size - 1)
    return low.astype(np.intp), high.astype(np.intp)


def _plane(by_x: Floats, by_y: Floats, x0: Floats, y0: Floats) -> Floats:
    half = np.float32(0.5)
    return np.stack([by_x * (half - x0) + by_y * (half - y0), by_x, by_y])


def _draw(
    buffer: NDArray[np.int64], planes: _Planes, group: Ints, box: int, width: int, height: int
) -> None:
    # Triangles run along the last, longest axis: (box, box, triangles).
    steps = np.arange(box)[:, None]
    column, row = planes.low[0, group] + steps, planes.low[1, group] + steps
    columns, rows = column.astype(np.float32), row.astype(np.float32)
    second = _spread(planes.second[:, group], columns, rows)
    third = _spread(planes.third[:, group], columns, rows)
    inside = np.minimum(second, third) >= -_EDGE
    second += third
    inside &= second <= 1 + _EDGE
    cell, which = np.divmod(np.flatnonzero(inside), group.size)
    i, j = np.divmod(cell, box)
    i, j = row[i, which], column[j, which]
    kept = np.flatnonzero((i < height) & (j < width))
    i, j, triangle = i[kept], j[kept], group[which[kept]]
    depth = _at(planes.depth, triangle, j.astype(np.float32), i.astype(np.float32))
    level = (depth + np.float32(_DEPTH_RANGE / 2)) * np.float32(_DEPTH_STEPS / _DEPTH_RANGE)
    np.maximum.at(buffer, i * width + j, (level.astype(np.int64) << _ID_BITS) | triangle)


def _spread(plane: Floats, columns: Floats, rows: Floats) -> Floats:
    """A plane's values (box, box, T) on the rows and columns (box, T) of each triangle's box."""
    constant, by_x, by_y = plane
    return (constant + by_x * columns)[None] + (by_y * rows)[:, None]


def _at(plane: Floats, triangle: Ints, column: Floats, row: Floats) -> Floats:
    """A plane's values (P,) at single pixels."""
    constant, by_x, by_y = plane
    return constant[triangle] + by_x[triangle] * column + by_y[triangle] * row


def _resolve(buffer: NDArray[np.int64], planes: _Planes, width: int) -> Coverage:
    pixels = np.flatnonzero(buffer >= 0)
    winner = buffer[pixels] & ((1 << _ID_BITS) - 1)
    row, column = (v.astype(np.float32) for v in np.divmod(pixels, width))
    second, third, depth = (
        _at(p, winner, column, row) for p in (planes.second, planes.third, planes.depth)
    )
    weights = np.stack([1 - second - third, second, third])
    return Coverage(pixels, planes.index[winner], weights, depth)
