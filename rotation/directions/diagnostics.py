"""How well a direction fits each of the clusters that it was fitted to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rotation.clusters.selection import ClusterMembers, Selection
from rotation.data.crop import Pixels
from rotation.directions.direction import Direction

Latents = NDArray[np.float32]
MIN_PATH_DEG = 10.0
"""Shortest path that offsets are projected onto. Clusters nearer to yaw 0 use this one."""


@dataclass(frozen=True)
class AngleFit:
    """The fit of one cluster, relative to the common centre of all clusters.

    Attributes:
        angle_deg: the yaw that the cluster was selected for.
        yaw_deg: the mean yaw of its members.
        along_deg: the projection of the centroid on the path, in degrees of yaw. It equals
            `yaw_deg` for a perfect fit.
        residual: the distance between centroid and path, in the latent's norm.
        noise: the expected sampling error of the centroid, in the same norm. NaN for one latent.
    """

    angle_deg: float
    yaw_deg: float
    along_deg: float
    residual: float
    noise: float


@dataclass(frozen=True)
class Examples:
    """Members nearest to a cluster's angle: crops (n, S, S, 3), mirrored as used, and yaws."""

    crops: Pixels
    yaws_deg: tuple[float, ...]


def angle_fits(
    selection: Selection, latents: Latents, direction: Direction
) -> tuple[AngleFit, ...]:
    """Compare the centroid of each cluster with the fitted path.

        residual_k = |c_k - b - path(y_k)|,    b = sum n_k (c_k - path(y_k)) / sum n_k
        noise_k = sqrt(sum_d var_d / n_k)

    with c_k the weighted centroid, y_k the mean yaw and n_k the effective number of members.
    A residual near its noise is the best fit that so many images can show. The direction was
    fitted to the same images. So `along_deg` is optimistic: noise also projects onto its own fit.

    Parameters:
        selection: the K clusters.
        latents: (n, C, H, W), of `selection.members` as used.
        direction: the fitted direction.

    Returns:
        One `AngleFit` for each cluster, in their order.
    """
    yaws = selection.mean_yaws_deg
    sizes = np.array([cluster.effective_size for cluster in selection.clusters])
    means, noises = zip(*(_centroid(*pair) for pair in _groups(selection, latents)), strict=True)
    off = np.stack(means) - np.stack([direction.displacement(0.0, yaw) for yaw in yaws])
    base = (sizes / sizes.sum()) @ off
    return tuple(
        AngleFit(
            angle_deg=angle,
            yaw_deg=yaw,
            along_deg=_along(mean - base, direction, yaw),
            residual=float(np.linalg.norm(rest - base)),
            noise=noise,
        )
        for angle, yaw, mean, rest, noise in zip(
            selection.angles_deg, yaws, means, off, noises, strict=True
        )
    )


def examples(
    selection: Selection, crops: dict[int, Pixels], count: int = 5
) -> tuple[Examples, ...]:
    """For each cluster, the `count` members nearest to its angle, mirrored as they were used."""
    found = []
    for angle, cluster in zip(selection.angles_deg, selection.clusters, strict=True):
        nearest = np.argsort(np.abs(cluster.yaw_deg - angle), kind="stable")[:count]
        shown = cluster.take(nearest)
        images = [
            crops[row][:, ::-1] if mirrored else crops[row]
            for row, mirrored in zip(shown.rows.tolist(), shown.mirrored.tolist(), strict=True)
        ]
        found.append(Examples(np.stack(images), tuple(shown.yaw_deg.tolist())))
    return tuple(found)


def _groups(selection: Selection, latents: Latents) -> Iterator[tuple[ClusterMembers, Latents]]:
    rows = latents.reshape(len(latents), -1)
    edges: Sequence[int] = np.cumsum((0, *selection.sizes)).tolist()
    for cluster, (start, end) in zip(selection.clusters, pairwise(edges), strict=True):
        yield cluster, rows[start:end]


def _centroid(cluster: ClusterMembers, rows: Latents) -> tuple[NDArray[np.float64], float]:
    """The centroid (D,) of rows (n, D), and the norm of its sampling error."""
    mean = np.average(rows.astype(np.float64), axis=0, weights=cluster.weights)
    if len(rows) < 2:
        return mean, float("nan")
    spread = np.square(rows - mean.astype(rows.dtype)).sum(axis=1, dtype=np.float64)
    variance = float(np.average(spread, weights=cluster.weights)) * len(rows) / (len(rows) - 1)
    return mean, float(np.sqrt(variance / cluster.effective_size))


def _along(offset: NDArray[np.float64], direction: Direction, yaw: float) -> float:
    """The projection of an offset (D,) on the path at `yaw`, in degrees."""
    path_yaw = float(np.copysign(max(abs(yaw), MIN_PATH_DEG), yaw))
    path = direction.displacement(0.0, path_yaw)
    length = float(path @ path)
    return float(offset @ path) / length * path_yaw if length > 0 else 0.0
