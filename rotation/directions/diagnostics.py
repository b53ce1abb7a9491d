"""How well a direction goes through the clusters it was fitted to, angle by angle."""

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
LEVER_DEG = 10.0
"""Nearer to 0 than this, the path is too short to be a ruler; the path to here is taken."""


@dataclass(frozen=True)
class AngleFit:
    """One cluster against the fitted path, through the common centre of all clusters.

    Attributes:
        angle_deg, yaw_deg: where the cluster was looked for, and its members' mean yaw.
        along_deg: the centroid's place along the path, in degrees; `yaw_deg` on a perfect fit.
        residual: the norm of what is between centroid and path.
        noise: the norm that chance alone gives a centroid of so many latents; NaN for one latent.
    """

    angle_deg: float
    yaw_deg: float
    along_deg: float
    residual: float
    noise: float


@dataclass(frozen=True)
class Examples:
    """Members nearest to a cluster's angle: crops (n, S, S, 3) as used, and their yaws."""

    crops: Pixels
    yaws_deg: tuple[float, ...]


def angle_fits(
    selection: Selection, latents: Latents, direction: Direction
) -> tuple[AngleFit, ...]:
    """Each cluster against the path, from the latents (n, C, H, W) of `selection.members`.

        residual_k = |c_k - b - path(y_k)|,    b = sum n_k (c_k - path(y_k)) / sum n_k
        noise_k = sqrt(sum_d var_d / n_k)

    with c_k the weighted centroid, y_k the mean yaw and n_k the effective number of members. A
    residual near its noise is as good a fit as so many images can show. The direction saw these
    images, so `along_deg` flatters: of pure noise too, some lies along the line fitted to it.
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
    """Of each cluster the `count` members nearest to its angle, mirrored where they are used so."""
    found = []
    for angle, cluster in zip(selection.angles_deg, selection.clusters, strict=True):
        nearest = np.argsort(np.abs(cluster.yaw_deg - angle), kind="stable")[:count]
        shown = cluster.take(nearest)
        pictures = [
            crops[row][:, ::-1] if mirrored else crops[row]
            for row, mirrored in zip(shown.rows.tolist(), shown.mirrored.tolist(), strict=True)
        ]
        found.append(Examples(np.stack(pictures), tuple(shown.yaw_deg.tolist())))
    return tuple(found)


def _groups(selection: Selection, latents: Latents) -> Iterator[tuple[ClusterMembers, Latents]]:
    rows = latents.reshape(len(latents), -1)
    edges: Sequence[int] = np.cumsum((0, *selection.sizes)).tolist()
    for cluster, (start, end) in zip(selection.clusters, pairwise(edges), strict=True):
        yield cluster, rows[start:end]


def _centroid(cluster: ClusterMembers, rows: Latents) -> tuple[NDArray[np.float64], float]:
    """The centroid (D,) of rows (n, D), and the norm of its chance error."""
    mean = np.average(rows.astype(np.float64), axis=0, weights=cluster.weights)
    if len(rows) < 2:
        return mean, float("nan")
    spread = np.square(rows - mean.astype(rows.dtype)).sum(axis=1, dtype=np.float64)
    variance = float(np.average(spread, weights=cluster.weights)) * len(rows) / (len(rows) - 1)
    return mean, float(np.sqrt(variance / cluster.effective_size))


def _along(offset: NDArray[np.float64], direction: Direction, yaw: float) -> float:
    """The projection of an offset (D,) on the path at `yaw`, in degrees."""
    ruler = float(np.copysign(max(abs(yaw), LEVER_DEG), yaw))
    path = direction.displacement(0.0, ruler)
    length = float(path @ path)
    return float(offset @ path) / length * ruler if length > 0 else 0.0
