"""Encoding a whole image set into a store: in shards, or on a cluster (`rotation.passes`).

The sorted names are cut into batches, and shard i of N takes the batches i, i + N, and so on. The
batches do not depend on N. A batch is always encoded as a whole, since a network's last bits may
depend on the other images of a batch.

So the same kind of machine, number of threads and settings give the same latents to the bit, in one
process or in many. `rotation.latents.merge` then makes equal files of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rotation.data.crop import Pixels, read_crop
from rotation.data.image_source import ImageSource
from rotation.diffusion.model_folder import find_model
from rotation.errors import ImageError, ModelError
from rotation.latents.encoders import (
    BATCH,
    BatchEncoder,
    DiffusionCodec,
    LatentCodec,
    Latents,
    content_key,
    encode_batch,
    open_codec,
)
from rotation.latents.store import LatentStore, key_digest
from rotation.options import ModelOptions
from rotation.passes.needs import Needs
from rotation.passes.running import Runner
from rotation.progress import Progress
from rotation.reading import real_path

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


class EncodedBatch(NamedTuple):
    """The latents of a batch of images.

    Attributes:
        keys: of the images that could be decoded.
        latents: one for each key; None if all are in the store already.
        unreadable: why the other images could not be decoded.
    """

    keys: list[str]
    latents: Latents | None
    unreadable: list[str]


@dataclass(frozen=True)
class LatentWorker:
    """Reads, crops and encodes batches of images: the worker of a pass.

    Attributes:
        source: the images.
        open_codec: opens the model; called with the first batch.
        are_known: whether all of some keys are stored. A batch of known images is not encoded.
    """

    source: ImageSource
    open_codec: Callable[[], LatentCodec]
    are_known: Callable[[Sequence[str]], bool]

    @cached_property
    def _codec(self) -> LatentCodec:
        return self.open_codec()

    def __call__(self, names: Sequence[str]) -> EncodedBatch:
        """The latents of the named images."""
        crops: list[Pixels] = []
        unreadable = []
        self.source.read_ahead(names)
        for name in names:
            try:
                crops.append(read_crop(self.source, name, self._codec.image_size))
            except ImageError as error:
                unreadable.append(f"{name} is left out: {error}")
        keys = [content_key(crop) for crop in crops]
        if self.are_known(keys):
            return EncodedBatch(keys, None, unreadable)
        latents = encode_batch(self._codec.encode, np.stack(crops))
        return EncodedBatch(keys, latents, unreadable)


class CropBatch(NamedTuple):
    """Crops (n, S, S, 3) to encode together, and what they are called in messages."""

    about: str
    crops: Pixels


@dataclass(frozen=True)
class CropWorker:
    """Encodes batches of crops: the worker of a pass.

    Attributes:
        open_codec: opens the model; called with the first batch.
    """

    open_codec: Callable[[], LatentCodec]

    @cached_property
    def _codec(self) -> LatentCodec:
        return self.open_codec()

    def __call__(self, batch: CropBatch) -> Latents:
        """The latents (n, 3, S, S) of a batch."""
        return encode_batch(self._codec.encode, batch.crops)


def encode_by(runner: Runner, same: SameCodec, source: ImageSource) -> BatchEncoder:
    """Encodes batches where a runner runs passes over these images."""

    def encode(batches: Sequence[Pixels]) -> Iterator[Latents]:
        tasks = [
            CropBatch(f"batch {number} of {len(batches)} of a cluster's images", crops)
            for number, crops in enumerate(batches, start=1)
        ]
        return runner(CropWorker(same.open), tasks, partial(same.find_needs, source))

    return encode


@dataclass(frozen=True)
class KnownKeys:
    """The keys that a store had when the pass began, for other processes."""

    digests: frozenset[bytes]

    def __call__(self, keys: Sequence[str]) -> bool:
        """Whether all of these keys were stored."""
        return all(key_digest(key) in self.digests for key in keys)


@dataclass(frozen=True)
class SameCodec:
    """Opens the codec of this process in another one. In this one, it is open already.

    Attributes:
        options: of the model, with everything that was chosen here.
        fingerprint: of the codec.
        name: of the model; here, its folder may be a link of another name.
        opened: the codec; None in another process.
    """

    options: ModelOptions
    fingerprint: str
    name: str
    opened: DiffusionCodec | None = None

    def __reduce__(self) -> tuple[type[SameCodec], tuple[ModelOptions, str, str]]:
        return SameCodec, (self.options, self.fingerprint, self.name)

    @classmethod
    def of(cls, options: ModelOptions, codec: DiffusionCodec) -> SameCodec:
        """For a codec that was opened with these options here."""
        chosen = replace(
            options,
            folder=real_path(find_model(options.folder)),
            device=codec.model.device.type,
            bf16=codec.model.denoising.bf16,
        )
        return cls(chosen, codec.fingerprint, codec.model.name, codec)

    def find_needs(self, source: ImageSource, *more: Path) -> Needs:
        """What another process needs to use the codec for these images, and `more` models."""
        assert self.options.folder is not None  # `of` has found it
        return Needs.of(source, (self.options.folder, *more), device=self.options.device)

    def open(self) -> DiffusionCodec:
        """The codec.

        Raises:
            ModelError: it is another one here.
        """
        if self.opened is not None:
            return self.opened
        codec = open_codec(self.options)
        codec.model.name = self.name
        if codec.fingerprint != self.fingerprint:
            raise ModelError(
                f"{self.options.folder} is another model in another process of the cluster."
            )
        return codec


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
    worker = LatentWorker(source, lambda: model, lambda keys: bool(store.get(keys)[0].all()))
    return _store_all(map(worker, batches), batches, store, progress)


def encode_elsewhere(
    same: SameCodec,
    store: LatentStore,
    source: ImageSource,
    shard: Shard,
    runner: Runner,
    progress: Progress | None = None,
) -> ShardCounts:
    """The same by other processes, which open the codec for themselves."""
    batches = shard.batches(source.names())
    worker = LatentWorker(source, same.open, KnownKeys(store.sound_keys()))
    found = runner(worker, batches, partial(same.find_needs, source))
    return _store_all(found, batches, store, progress)


def _store_all(
    found: Iterable[EncodedBatch],
    batches: Sequence[Sequence[str]],
    store: LatentStore,
    progress: Progress | None,
) -> ShardCounts:
    """Store the latents that are missing, batch by batch, and count.

    The store is asked just before, since other processes may have filled it. The progress is of
    the images that are not stored already.
    """
    encoded = stored = unreadable = 0
    total = sum(len(batch) for batch in batches)
    for batch in found:
        for reason in batch.unreadable:
            LOG.warning("%s", reason)
        missing: list[int] = []
        if batch.latents is not None:
            missing = np.flatnonzero(~store.get(batch.keys)[0]).tolist()
            if missing:
                store.put([batch.keys[row] for row in missing], batch.latents[missing])
        encoded += len(missing)
        stored += len(batch.keys) - len(missing)
        unreadable += len(batch.unreadable)
        if progress is not None:
            progress("embed", encoded + unreadable, total - stored)
    return ShardCounts(encoded, stored, unreadable)
