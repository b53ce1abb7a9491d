"""Encoding a whole image set into a store, in shards that may run on different machines.

The sorted names are cut into batches, and shard i of N takes the batches i, i + N, and so on. The
batches do not depend on N. A batch is always encoded as a whole, since a network's last bits may
depend on the other images of a batch.

So the same kind of machine, number of threads and settings give the same latents to the bit, in one
process or in many. `rotation.latents.merge` then makes equal files of them.
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
from rotation.latents.encoders import BATCH, LatentCodec, content_key
from rotation.latents.store import LatentStore
from rotation.progress import Progress

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 0) of `count` parts."""

    index: int = 0
    count: int = 1

    def batches(self, names: Sequence[str]) -> list[Sequence[str]]:
        """This shard's batches of the sorted names."""
        ordered = sorted(names)
        starts = range(self.index * BATCH, len(ordered), self.count * BATCH)
        return [ordered[start : start + BATCH] for start in starts]


@dataclass(frozen=True)
class ShardCounts:
    """How many images a shard has encoded, has found in the store, and could not read."""

    encoded: int
    stored: int
    unreadable: int


def encode_shard(
    model: LatentCodec,
    store: LatentStore,
    source: ImageSource,
    shard: Shard,
    progress: Progress | None = None,
) -> ShardCounts:
    """Encode a shard of an image set into `store`; an interrupted run continues where it stopped.

    Files that cannot be decoded are left out, and their names are logged.
    """
    batches = shard.batches(source.names())
    encoded = stored = unreadable = 0
    total = sum(len(batch) for batch in batches)
    for batch in batches:
        crops = _crops(source, batch, model.image_size)
        found = _encode_batch(model, store, crops)
        stored += found
        encoded += len(crops) - found
        unreadable += len(batch) - len(crops)
        if progress is not None:
            progress("embed", encoded + stored + unreadable, total)
    return ShardCounts(encoded, stored, unreadable)


def _encode_batch(model: LatentCodec, store: LatentStore, crops: list[Pixels]) -> int:
    """Store the latents that are missing, and return how many were in the store already."""
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
