"""Images to latents, each only once: crops are keyed by their content in a store on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rotation.dataset.crop import standard_crop
from rotation.dataset.decoding import decode
from rotation.dataset.sources import ImageSource
from rotation.images import Pixels, from_pixels, to_pixels

Latents = NDArray[np.float32]
Progress = Callable[[str, int, int], None]
"""Called with a stage's name, how much of it is done, and how much there is."""

BATCH = 32


class Encoder(Protocol):
    """What is needed of a model: `rotation.unet.LatentModel`, or `embedders.EmbeddedModel`."""

    @property
    def image_size(self) -> int: ...

    def encode(self, images: torch.Tensor) -> torch.Tensor: ...

    def encode_source(self, images: torch.Tensor) -> torch.Tensor: ...

    def decode(self, z: torch.Tensor) -> torch.Tensor: ...

    def decode_with_gradient(self, z: torch.Tensor) -> torch.Tensor: ...


class Store(Protocol):
    """Latents by key, kept between runs: `rotation.latents.LatentStore`."""

    def get(self, keys: Sequence[str]) -> tuple[NDArray[np.bool_], Latents]: ...

    def put(self, keys: Sequence[str], values: NDArray[np.floating]) -> None: ...


def read_crop(source: ImageSource, name: str, size: int) -> Pixels:
    """The standard crop (S, S, 3) of one image.

    Raises `ImageError` for a file that is no image, `DatasetError` for a name outside of the set.
    """
    return standard_crop(read_image(source, name), size)


def read_image(source: ImageSource, name: str) -> Image.Image:
    """One image, upright RGB; errors as in `read_crop`."""
    return decode(source.read(name), name)


def content_key(crop: Pixels) -> str:
    """The key of a crop in the store: SHA-256 of its pixels."""
    return hashlib.sha256(np.ascontiguousarray(crop).tobytes()).hexdigest()


def embed(model: Encoder, store: Store, crops: Pixels, progress: Progress | None = None) -> Latents:
    """Latents (N, 3, S, S), float32, of crops (N, S, S, 3); see `embed_by`."""
    return embed_by(model.encode, store, crops, progress)


def embed_by(
    encode: Callable[[torch.Tensor], torch.Tensor], store: Store, crops: Pixels,
    progress: Progress | None = None,
) -> Latents:  # fmt: skip
    """Latents (N, 3, S, S), float32, of crops (N, S, S, 3): stored ones, others by `encode`.

    Each batch is stored as soon as it is done, so that an interrupted run goes on where it was.
    """
    keys = [content_key(crop) for crop in crops]
    found, latents = store.get(keys)
    first = {keys[row]: row for row in np.flatnonzero(~found)[::-1].tolist()}
    missing = list(first)[::-1]
    if not missing:
        return latents
    for done, batch in _batches(missing):
        images = torch.from_numpy(from_pixels(np.stack([crops[first[key]] for key in batch])))
        store.put(batch, encode(images).numpy())
        if progress is not None:
            progress("embed", done, len(missing))
    return store.get(keys)[1]


def embed_source(model: Encoder, crop: Pixels) -> Latents:
    """The latent (3, S, S) of one crop (S, S, 3), with all the care that one image can have.

    A cluster's mean forgives an inexact latent; the source's own is what the person looks at.
    """
    images = torch.from_numpy(from_pixels(crop[None]))
    latent: Latents = model.encode_source(images).numpy()[0]
    return latent


def decode_pixels(model: Encoder, latents: NDArray[np.floating]) -> Pixels:
    """Images (N, S, S, 3) of latents (N, 3, S, S)."""
    z = torch.from_numpy(np.ascontiguousarray(latents, dtype=np.float32))
    return to_pixels(model.decode(z).numpy())


def _batches(keys: Sequence[str]) -> Iterable[tuple[int, Sequence[str]]]:
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        yield start + len(batch), batch
