"""Triangles to pixels: a z-buffer for one picture, vectorised over triangles and pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]

# Triangles are handled in groups by the size of their bounding box in pixels, so that each
# group is one dense (triangles, box, box) array.
_BOXES = (2, 3, 5, 9, 17, 33, 65, 129, 257, 513)
_ID_BITS = 20
_DEPTH_STEPS = float(1 << 24)
_DEPTH_RANGE = 16.0
# Pixel centres exactly on a shared edge belong to both triangles: no cracks, and no preferred
# side that would break mirror symmetry.
_EDGE = 2e-4


@dataclass(frozen=True, slots=True)
class Coverage:
    """The nearest triangle of each covered pixel.

    ``pixels`` (P,) flat indices; ``triangles`` (P,); ``weights`` (P, 3) barycentric; ``depth`` (P,).
    """

    pixels: Ints
    triangles: Ints
    weights: Floats
    depth: Floats


@dataclass(frozen=True, slots=True)
class _Planes:
    """Linear functions of the pixel (x, y): second and third barycentric weight, and depth."""

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

    ``points`` (V, 3): x right and y down in pixels, z towards the viewer. ``triangles`` (T, 3) are
    counter-clockwise as seen when they face the viewer; those with ``two_sided`` (T,) False are
    dropped when they face away. Pixels that nothing covers are absent from the answer.
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
    xyz = points[triangles]
    x, y, z = xyz[:, :, 0], xyz[:, :, 1], xyz[:, :, 2]
    # y points down, so a triangle facing the viewer has a negative area here.
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    corners = xyz[:, :, :2]
    low = np.maximum(np.ceil(corners.min(1) - np.float32(0.5)), 0).astype(np.intp)
    limit = np.array([width - 1, height - 1])
    high = np.minimum(np.floor(corners.max(1) - np.float32(0.5)), limit).astype(np.intp)
    box = (high - low).max(1) + 1
    seen = ((high >= low).all(1)) & ((area < 0) | (two_sided & (area > 0)))
    index = np.flatnonzero(seen)
    x, y, z, area = x[index], y[index], z[index], area[index]
    inverse = 1 / area
    ex, ey = x - x[:, :1], y - y[:, :1]
    second = _plane(ey[:, 2] * inverse, -ex[:, 2] * inverse, x[:, 0], y[:, 0])
    third = _plane(-ey[:, 1] * inverse, ex[:, 1] * inverse, x[:, 0], y[:, 0])
    dz = z - z[:, :1]
    depth = second * dz[:, 1:2] + third * dz[:, 2:3]
    depth[:, 0] += z[:, 0]
    return _Planes(low[index], box[index], index, second, third, depth)


def _plane(by_x: Floats, by_y: Floats, x0: Floats, y0: Floats) -> Floats:
    half = np.float32(0.5)
    return np.stack([by_x * (half - x0) + by_y * (half - y0), by_x, by_y], axis=1)


def _draw(
    buffer: NDArray[np.int64], planes: _Planes, group: Ints, box: int, width: int, height: int
) -> None:
    steps = np.arange(box)
    column = planes.low[group, 0, None] + steps
    row = planes.low[group, 1, None] + steps
    columns, rows = column.astype(np.float32), row.astype(np.float32)
    second = _spread(planes.second[group], columns, rows)
    third = _spread(planes.third[group], columns, rows)
    inside = (second >= -_EDGE) & (third >= -_EDGE) & (second + third <= 1 + _EDGE)
    inside &= (row < height)[:, :, None] & (column < width)[:, None, :]
    which, i, j = np.nonzero(inside)
    depth = _spread(planes.depth[group], columns, rows)[which, i, j]
    level = ((depth + np.float32(_DEPTH_RANGE / 2)) * np.float32(_DEPTH_STEPS / _DEPTH_RANGE)).astype(
        np.int64
    )
    pixel = row[which, i] * width + column[which, j]
    np.maximum.at(buffer, pixel, (level << _ID_BITS) | group[which])


def _spread(plane: Floats, columns: Floats, rows: Floats) -> Floats:
    along = plane[:, 0, None] + plane[:, 1, None] * columns
    return along[:, None, :] + (plane[:, 2, None] * rows)[:, :, None]


def _resolve(buffer: NDArray[np.int64], planes: _Planes, width: int) -> Coverage:
    pixels = np.flatnonzero(buffer >= 0)
    winner = buffer[pixels] & ((1 << _ID_BITS) - 1)
    column = (pixels % width).astype(np.float32)
    row = (pixels // width).astype(np.float32)
    weights = np.empty((pixels.size, 3), np.float32)
    for k, plane in ((1, planes.second[winner]), (2, planes.third[winner])):
        weights[:, k] = plane[:, 0] + plane[:, 1] * column + plane[:, 2] * row
    weights[:, 0] = 1 - weights[:, 1] - weights[:, 2]
    plane = planes.depth[winner]
    depth = plane[:, 0] + plane[:, 1] * column + plane[:, 2] * row
    return Coverage(pixels, planes.index[winner], weights, depth)
