"""Whole image sets into latent stores, in shards that any scheduler may run anywhere.

The names are cut into batches in their sorted order, and shard i of N takes batches i, i + N, ...
A batch is the same whatever N is, and is embedded as a whole or not at all: what a network
computes for an image may differ in its last bits with the batch around it. So the same machine
type, number of threads and settings give the same latents to the bit, in one process or in many,
interrupted or not, and `merging.merge` makes equal files of them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rotation.data.crop import Pixels, read_crop
from rotation.data.sources import ImageSource
from rotation.errors import ImageError
from rotation.imaging.images import from_pixels
from rotation.latents.encoders import BATCH, Encoder, Store, content_key
from rotation.progress import Progress

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 0) of `count` parts."""

    index: int = 0
    count: int = 1

    def batches(self, names: Sequence[str]) -> list[Sequence[str]]:
        """The batches of sorted names that are this shard's."""
        ordered = sorted(names)
        starts = range(self.index * BATCH, len(ordered), self.count * BATCH)
        return [ordered[start : start + BATCH] for start in starts]


@dataclass(frozen=True)
class Embedded:
    """What a shard did: images embedded now, found stored before, and left out as unreadable."""

    new: int
    known: int
    broken: int


def embed_set(
    model: Encoder,
    store: Store,
    source: ImageSource,
    shard: Shard,
    progress: Progress | None = None,
) -> Embedded:
    """Embed a shard of an image set into `store`; goes on where an interrupted run was.

    A file that is no image is left out and logged by name.
    """
    batches = shard.batches(source.names())
    new = known = broken = 0
    total = sum(len(batch) for batch in batches)
    for batch in batches:
        crops = _crops(source, batch, model.image_size)
        found = _embed_batch(model, store, crops)
        known += found
        new += len(crops) - found
        broken += len(batch) - len(crops)
        if progress is not None:
            progress("embed", new + known + broken, total)
    return Embedded(new, known, broken)


def _embed_batch(model: Encoder, store: Store, crops: list[Pixels]) -> int:
    """Store the latents of the batch that are missing; returns how many were there."""
    keys = [content_key(crop) for crop in crops]
    found, _ = store.get(keys)
    if not found.all():
        latents = model.encode(torch.from_numpy(from_pixels(np.stack(crops)))).numpy()
        missing = np.flatnonzero(~found).tolist()
        store.put([keys[row] for row in missing], latents[missing])
    return int(found.sum())


def _crops(source: ImageSource, names: Sequence[str], size: int) -> list[Pixels]:
    crops = []
    for name in names:
        try:
            crops.append(read_crop(source, name, size))
        except ImageError as error:
            LOG.warning("%s is left out: %s", name, error)
    return crops
