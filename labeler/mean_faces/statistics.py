"""**The mean face of each light and pose**, with variances and differences.

A cell is a pair of light and pose. Each cell has a mean face and its variance. Neighbouring cells
have the mean squared difference (MSE) of their means. Pixels are values in [0, 1].

**Algorithm:**

1. Put each crop into the cell of its light and its yaw.
2. Each cell stores the count n, and the sum and the sum of squares of its pixels as integers. So
   the result is exact, and does not depend on the order of the crops.
3. mean = sum / n, variance = (n * squares - sum^2) / n^2.
4. Mirrored images need no second pass. The sum of mirrored crops is the mirrored sum, which is
   added to the cell of the mirrored light and the negated yaw.

Reference:
    A. Asperti, G. Colasuonno, A. Guerra, *Illumination and Shadows in Head Rotation: Experiments
    with Denoising Diffusion Models*, Electronics 13(15):3091, 2024 (its figure of mean faces).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeler.errors import InvalidInput
from rotation.data.labels import LABELS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

POSE_EDGES = (-30.0, -10.0, 10.0, 30.0)
"""Edges of the poses in degrees. The paper does not give its own. The landmarks of its nine mean
faces have yaws of -20..-18, -2..2 and 18..20, and these edges give similar means."""
MAX_POSES = 15
SIZE = 64  # side of a crop in pixels
REASONS = ("no_yaw", "beyond_the_poses", "unreadable")  # why an image is left out


class MeanFaces:
    """The sums of the crops in each cell: L = 3 lights (left, center, right) by P poses.

    Attributes:
        edges: P + 1 increasing yaws in degrees.
        counts: (L, P) number of images in each cell, with mirrored ones.
        mirrored: whether each image also counts as its mirror image.
        left_out: number of images in no cell, by `REASONS`.
    """

    def __init__(self, edges: Sequence[float] = POSE_EDGES) -> None:
        """Start without images.

        Raises:
            InvalidInput: the edges are wrong.
        """
        self.edges = check_edges(edges)
        self.mirrored = False
        self.left_out = dict.fromkeys(REASONS, 0)
        shape = (len(LABELS), len(self.edges) - 1)
        self.counts: Integers = np.zeros(shape, np.int64)
        self._sums: Integers = np.zeros((*shape, SIZE, SIZE, 3), np.int64)
        self._squares: Integers = np.zeros_like(self._sums)
        self._yaws: Floats = np.zeros(shape)

    @property
    def n_poses(self) -> int:
        return len(self.edges) - 1

    @property
    def n_images(self) -> int:
        """The number of images in cells; a mirror image does not count again."""
        return int(self.counts.sum()) // (2 if self.mirrored else 1)

    def add(self, crops: NDArray[np.uint8], labels: Sequence[str], yaw_deg: Floats) -> None:
        """Put N crops into their cells.

        Parameters:
            crops: uint8 (N, 64, 64, 3) of `rotation.data.crop.standard_crop`.
            labels: N labels.
            yaw_deg: (N,) degrees, > 0 towards the viewer's right; NaN if unknown.

        Raises:
            InvalidInput: a shape, a type or a label is wrong, or mirror images were added already.
        """
        yaws = np.asarray(yaw_deg, np.float64)
        self._check(crops, labels, yaws)
        light = np.array([LABELS.index(label) for label in labels], np.int64)
        poses = find_poses(yaws, self.edges)
        self._leave_out(yaws, poses)
        for cell in np.ndindex(self.counts.shape):
            inside = (light == cell[0]) & (poses == cell[1])
            if inside.any():
                self._add_to_cell(cell, crops[inside], yaws[inside])

    def leave_out(self, reason: str, count: int = 1) -> None:
        """Count images that are left out for one of the `REASONS`."""
        self.left_out[reason] += count

    def with_mirrors(self) -> MeanFaces:
        """Return the sums with each image also counted as its mirror image.

        A mirror exchanges left and right light and negates the yaw.

        Raises:
            InvalidInput: the edges are not symmetric, or mirror images were added already.
        """
        if self.mirrored:
            raise InvalidInput("The mirrored images are in the figure already.")
        both = MeanFaces(check_mirrored_edges(self.edges))
        both.mirrored = True
        both.left_out = dict(self.left_out)
        both.counts = self.counts + self.counts[::-1, ::-1]
        both._sums = self._sums + self._sums[::-1, ::-1, :, ::-1]
        both._squares = self._squares + self._squares[::-1, ::-1, :, ::-1]
        both._yaws = self._yaws - self._yaws[::-1, ::-1]
        return both

    @property
    def means(self) -> Floats:
        """The mean faces (L, P, 64, 64, 3) in [0, 1]; NaN in empty cells."""
        return self._sums / self._divisors / 255

    @property
    def variances(self) -> Floats:
        """The variance of a pixel over the images, averaged over pixels and colours: (L, P)."""
        counts = self.counts[..., None, None, None]
        # 202,599 images at 255: 2.7e15, far from the end of int64.
        spread = counts * self._squares - np.square(self._sums)
        return (spread / np.square(self._divisors)).mean(axis=(2, 3, 4)) / 255**2

    @property
    def mean_yaws(self) -> Floats:
        """The mean yaw in degrees (L, P); NaN in empty cells."""
        return self._yaws / self._divisors[..., 0, 0, 0]

    @property
    def mse_across(self) -> Floats:
        """The MSE between neighbouring poses (L, P - 1); NaN if one cell is empty."""
        return np.square(np.diff(self.means, axis=1)).mean(axis=(2, 3, 4))

    @property
    def mse_down(self) -> Floats:
        """The MSE between neighbouring lights (L - 1, P); NaN if one cell is empty."""
        return np.square(np.diff(self.means, axis=0)).mean(axis=(2, 3, 4))

    @property
    def chance_across(self) -> Floats:
        """The MSE expected by chance between neighbouring poses (L, P - 1).

        This is variance / n of one cell plus that of the other: the mean MSE of two samples of the
        same population. Smaller differences say nothing.
        """
        noise = self._noise
        return noise[:, :-1] + noise[:, 1:]

    @property
    def chance_down(self) -> Floats:
        """The MSE expected by chance between neighbouring lights (L - 1, P)."""
        noise = self._noise
        return noise[:-1] + noise[1:]

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers as JSON values. None: an empty cell has no value."""
        return {
            "edges_deg": list(self.edges),
            "images": self.n_images,
            "mirrored": self.mirrored,
            "left_out": dict(self.left_out),
            "cells": self._cells(),
            "mse": [
                *self._pairs(self.mse_across, self.chance_across, (0, 1)),
                *self._pairs(self.mse_down, self.chance_down, (1, 0)),
            ],
        }

    @property
    def _divisors(self) -> Floats:
        """The counts (L, P, 1, 1, 1), with NaN for 0 to avoid a division by 0."""
        counts = np.where(self.counts > 0, self.counts, np.nan)
        return counts[..., None, None, None]

    @property
    def _noise(self) -> Floats:
        """The variance of the mean of each cell (L, P)."""
        return self.variances / self._divisors[..., 0, 0, 0]

    def _check(self, crops: NDArray[np.uint8], labels: Sequence[str], yaws: Floats) -> None:
        if self.mirrored:
            raise InvalidInput("The mirrored images are in already; add to the figure without.")
        shape = (len(labels), SIZE, SIZE, 3)
        if crops.dtype != np.uint8 or crops.shape != shape or yaws.shape != shape[:1]:
            raise InvalidInput(
                f"Crops uint8 {shape} and as many yaws are needed, not {crops.dtype} "
                f"{crops.shape} and {yaws.shape}."
            )
        unknown = set(labels) - set(LABELS)
        if unknown:
            raise InvalidInput(f"{min(unknown)!r} is not a label. Allowed: {', '.join(LABELS)}.")

    def _leave_out(self, yaws: Floats, poses: Integers) -> None:
        unknown = int(np.isnan(yaws).sum())
        self.leave_out("no_yaw", unknown)
        self.leave_out("beyond_the_poses", int((poses < 0).sum()) - unknown)

    def _add_to_cell(self, cell: tuple[int, ...], crops: NDArray[np.uint8], yaws: Floats) -> None:
        self.counts[cell] += len(crops)
        self._sums[cell] += crops.sum(axis=0, dtype=np.int64)
        self._squares[cell] += np.square(crops.astype(np.uint16)).sum(axis=0, dtype=np.int64)
        self._yaws[cell] += yaws.sum()

    def _cells(self) -> list[dict[str, Any]]:
        variances, yaws = self.variances, self.mean_yaws
        return [
            {
                "light": LABELS[light],
                "pose": pose,
                "yaw_deg": [self.edges[pose], self.edges[pose + 1]],
                "images": int(self.counts[light, pose]),
                "variance": _number(variances[light, pose]),
                "mean_yaw_deg": _number(yaws[light, pose]),
            }
            for light, pose in np.ndindex(self.counts.shape)
        ]

    def _pairs(self, mse: Floats, chance: Floats, step: tuple[int, int]) -> list[dict[str, Any]]:
        return [
            {
                "lights": [LABELS[light], LABELS[light + step[0]]],
                "poses": [pose, pose + step[1]],
                "mse": _number(mse[light, pose]),
                "by_chance": _number(chance[light, pose]),
            }
            for light, pose in np.ndindex(mse.shape)
        ]


def find_poses(yaw_deg: Floats, edges: Sequence[float]) -> Integers:
    """Return the pose of each yaw (N,); -1 if it is NaN or outside of the edges.

    A yaw on an edge belongs to the pose closer to 0, and the outermost edges belong to their poses.
    So a negated yaw always has the mirrored pose.
    """
    yaws = np.asarray(yaw_deg, np.float64)
    upward = np.searchsorted(edges, yaws, side="left") - 1
    downward = np.searchsorted(edges, yaws, side="right") - 1
    poses = np.where(yaws >= 0, upward, downward)
    first_edge = (yaws == edges[0]) & (yaws >= 0)  # only where all poses are on one side of 0
    last_edge = (yaws == edges[-1]) & (yaws < 0)
    poses = poses + first_edge - last_edge
    return np.where((yaws >= edges[0]) & (yaws <= edges[-1]), poses, -1).astype(np.int64)


def check_edges(edges: Sequence[float]) -> tuple[float, ...]:
    """Return the edges of poses as numbers.

    Raises:
        InvalidInput: they are not 2 to 16 increasing numbers from -90 to 90 degrees.
    """
    given = tuple(float(edge) for edge in edges)
    increasing = all(low < high for low, high in pairwise(given))
    if (
        not 2 <= len(given) <= MAX_POSES + 1
        or not increasing
        or not all(abs(edge) <= 90 for edge in given)
    ):
        raise InvalidInput(
            f"The edges of poses are {given}; 2 to {MAX_POSES + 1} increasing angles within "
            "-90..90 degrees are needed, such as -30,-10,10,30."
        )
    return given


def check_mirrored_edges(edges: Sequence[float]) -> tuple[float, ...]:
    """Return the edges of poses, if the mirror image of each pose is a pose.

    Raises:
        InvalidInput: they are not symmetric about 0, or 0 is an edge. A face with yaw 0 would
            belong to both sides of it.
    """
    given = check_edges(edges)
    if given != tuple(-edge for edge in reversed(given)) or 0 in given:
        raise InvalidInput(
            f"The edges of poses are {given}; with mirrored images they must be symmetric about 0 "
            "and 0 must not be one, as in -30,-10,10,30."
        )
    return given


def _number(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
