"""Clusters: at which yaws, and the pictures of their members read, weighed, averaged, embedded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from rotation.clusters.selection import Covariates, Criteria, Members, Selection
from rotation.clusters.similarity import describe_looks, weigh
from rotation.data.crop import Pixels, read_crop
from rotation.data.labels import MIRRORED_LABEL
from rotation.data.records import Records
from rotation.data.sources import ImageSource
from rotation.errors import ImageError
from rotation.latents.encoders import Encoder, Latents, Store, embed
from rotation.poses.estimation import Poses
from rotation.progress import Progress

CLUSTER_STEP_DEG = 10.0
CLUSTER_REACH_DEG = (20.0, 40.0)
"""Clusters reach as far as the yaws asked for, but at least and at most so far: a slope needs a
lever, and beyond 40 degrees landmarks and faces run out."""


def cluster_angles(yaws_deg: Sequence[float]) -> tuple[float, ...]:
    """The yaws of the clusters: tens, symmetric about 0, as far as asked (20 to 40 degrees)."""
    low, high = CLUSTER_REACH_DEG
    reach = min(max(abs(yaw) for yaw in yaws_deg), high)
    count = int(np.ceil(max(reach, low) / CLUSTER_STEP_DEG))
    return tuple(CLUSTER_STEP_DEG * k for k in range(-count, count + 1))


def read_members(
    images: ImageSource,
    selection: Selection,
    records: Records,
    size: int,
    criteria: Criteria,
    progress: Progress | None = None,
) -> tuple[Selection, dict[int, Pixels]]:
    """Crops (size, size, 3) of the members by row. Broken files leave their clusters.

    Raises `SelectionError` where a cluster is then too small.
    """
    crops: dict[int, Pixels] = {}
    rows = np.unique(selection.members.rows)
    for done, row in enumerate(rows.tolist(), start=1):
        with suppress(ImageError):
            crops[row] = read_crop(images, records.filenames[row], size)
        if progress is not None:
            progress("read", done, len(rows))
    return selection.keep(list(crops), criteria), crops


def weigh_by_looks(selection: Selection, crops: dict[int, Pixels], source: Pixels) -> Selection:
    """The selection with more weight for members whose crops look like the source's crop."""
    rows = list(crops)
    looks = dict(zip(rows, describe_looks(np.stack([crops[row] for row in rows])), strict=True))
    members = np.stack([looks[row] for row in selection.members.rows.tolist()])
    return weigh(selection, members, describe_looks(source[None])[0])


def mean_images(selection: Selection, crops: dict[int, Pixels]) -> Pixels:
    """The weighted mean image (K, S, S, 3) of each cluster, mirrored members mirrored."""
    means = []
    for cluster in selection.clusters:
        pictures = np.stack([crops[row] for row in cluster.rows.tolist()]).astype(np.float64)
        pictures[cluster.mirrored] = pictures[cluster.mirrored][:, :, ::-1]
        mean = np.average(pictures, axis=0, weights=cluster.weights)
        means.append(np.rint(mean).astype(np.uint8))
    return np.stack(means)


WIDE = 600  # images of a cluster; to read them all takes seconds


def widened(criteria: Criteria) -> Criteria:
    """Clusters of any attributes, up to `WIDE` images each: for means alone, without latents."""
    return replace(criteria, attributes=(), maximum=max(WIDE, criteria.maximum))


def embed_members(
    model: Encoder,
    store: Store,
    members: Members,
    crops: dict[int, Pixels],
    progress: Progress | None,
) -> Latents:
    """Latents (n, C, H, W) of the members as used.

    A mirrored member's latent is the flip of the plain one's: z(flip x) = flip z holds for a
    generator trained with mirrors, and halves the embedding.
    """
    rows = list(crops)
    latents = embed(model, store, np.stack([crops[row] for row in rows]), progress)
    place = {row: k for k, row in enumerate(rows)}
    used = latents[[place[row] for row in members.rows.tolist()]]
    used[members.mirrored] = used[members.mirrored][..., ::-1]
    return used


def describe_members(
    members: Members, records: Records, poses: Poses, light: str | None
) -> Covariates:
    """Light and pitch of the members as used: a mirror swaps the sides and keeps the pitch."""
    labels = records.labels[members.rows].tolist()
    lights = [
        MIRRORED_LABEL[label] if flipped else label
        for label, flipped in zip(labels, members.mirrored.tolist(), strict=True)
    ]
    return Covariates(tuple(lights), poses.pitch_deg[members.rows], light)
