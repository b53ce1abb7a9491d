"""The images of cluster members: read, weighted by similarity, averaged and encoded.

`rotation.clusters.selection` chooses the yaws of the clusters and their members.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from rotation.clusters.selection import ClusterMembers, Covariates, Criteria, Selection
from rotation.clusters.similarity import appearance_descriptors, weight_by_similarity
from rotation.data.crop import Pixels, read_crop
from rotation.data.image_source import ImageSource
from rotation.data.labels import MIRRORED_LABEL
from rotation.data.records import Records
from rotation.errors import ImageError
from rotation.latents.encoders import BatchEncoder, Latents, encode_crops
from rotation.latents.store import LatentStore
from rotation.poses.estimation import Poses
from rotation.progress import Progress


def read_members(
    images: ImageSource,
    selection: Selection,
    records: Records,
    size: int,
    criteria: Criteria,
    progress: Progress | None = None,
) -> tuple[Selection, dict[int, Pixels]]:
    """The crops (size, size, 3) of the members by row, and the selection without unreadable files.

    Raises:
        SelectionError: a cluster is too small without its unreadable files.
    """
    crops: dict[int, Pixels] = {}
    rows = np.unique(selection.members.rows)
    for done, row in enumerate(rows.tolist(), start=1):
        with suppress(ImageError):
            crops[row] = read_crop(images, records.filenames[row], size)
        if progress is not None:
            progress("read", done, len(rows))
    return selection.keep(list(crops), criteria), crops


def weight_by_appearance(
    selection: Selection, crops: dict[int, Pixels], source: Pixels
) -> Selection:
    """The selection with more weight for members that look like the source crop (S, S, 3)."""
    descriptors = appearance_descriptors(np.stack(list(crops.values())))
    by_row = dict(zip(crops, descriptors, strict=True))
    members = np.stack([by_row[row] for row in selection.members.rows.tolist()])
    return weight_by_similarity(selection, members, appearance_descriptors(source[None])[0])


def mean_images(selection: Selection, crops: dict[int, Pixels]) -> Pixels:
    """The weighted mean images (K, S, S, 3) of the clusters, with mirrored members mirrored."""
    means = []
    for cluster in selection.clusters:
        images = np.stack([crops[row] for row in cluster.rows.tolist()]).astype(np.float64)
        images[cluster.mirrored] = images[cluster.mirrored][:, :, ::-1]
        mean = np.average(images, axis=0, weights=cluster.weights)
        means.append(np.rint(mean).astype(np.uint8))
    return np.stack(means)


MEAN_IMAGE_COUNT = 600
"""Members of a cluster whose mean image is needed without latents; reading them takes seconds."""


def mean_image_criteria(criteria: Criteria) -> Criteria:
    """The criteria for mean images alone: any attributes, up to `MEAN_IMAGE_COUNT` images."""
    return replace(criteria, attributes=(), maximum=max(MEAN_IMAGE_COUNT, criteria.maximum))


def encode_members(
    encode: BatchEncoder,
    store: LatentStore,
    members: ClusterMembers,
    crops: dict[int, Pixels],
    progress: Progress | None,
) -> Latents:
    """Latents (n, C, H, W) of the members.

    The latent of a mirror image is the flipped latent of the image. E(flip x) = flip E(x) holds for
    models trained with mirror images, and halves the work.
    """
    latents = encode_crops(encode, store, np.stack(list(crops.values())), progress)
    index = {row: k for k, row in enumerate(crops)}
    used = latents[[index[row] for row in members.rows.tolist()]]
    used[members.mirrored] = used[members.mirrored][..., ::-1]
    return used


def member_covariates(
    members: ClusterMembers, records: Records, poses: Poses, light: str | None
) -> Covariates:
    """Light and pitch of the members. A mirror swaps left and right light and keeps the pitch."""
    labels = records.labels[members.rows].tolist()
    lights = [
        MIRRORED_LABEL[label] if flipped else label
        for label, flipped in zip(labels, members.mirrored.tolist(), strict=True)
    ]
    return Covariates(tuple(lights), poses.pitch_deg[members.rows], light)
