"""Encoders: the ways from an image to its latent, each image encoded only once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rotation.data.crop import Pixels
from rotation.diffusion.latent_model import CHUNK, LatentModel
from rotation.errors import ModelError
from rotation.imaging.images import from_pixels, to_pixels
from rotation.latents.encoder_network import EmbeddingNetwork
from rotation.latents.refinement import RATE, refine_by_gradient, refine_by_sweeps
from rotation.options import EncoderName
from rotation.progress import Progress

EXACT = "exact"
REFINEMENTS = 10


class Embedder(Protocol):
    """Images (N, 3, S, S) in [0, 1] to latents of that shape, float32, both on the CPU.

    `settings` says what else than the model and its sampler decides the result.
    """

    @property
    def settings(self) -> str: ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class ByInversion:
    """The sampler undone: with the model's fixed number of corrections, or (`exact`) solved."""

    model: LatentModel
    exact: bool = False

    @property
    def settings(self) -> str:
        """Nothing more for fixed corrections, which the model's own fingerprint tells."""
        return EXACT if self.exact else ""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Embedder`."""
        return self.model.encode_exactly(images).z if self.exact else self.model.encode(images)


SHARE = 0.7
"""Where between the times of a step `Smooth` asks. MSE of images given back, twelve held-out faces,
`celeba-64`: 0.036 at 0 (the usual inversion), 0.011 at 0.5, 0.0081 at 0.7, 0.013 at 1
(`benchmarks/smooth_latents.py`)."""


@dataclass(frozen=True)
class Smooth:
    """Inversion by one evaluation a step, between its times: inexact latents that move easily."""

    model: LatentModel
    share: float = SHARE

    @property
    def settings(self) -> str:
        """Where it asks."""
        return f"smooth {self.share}"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Embedder`."""
        return self.model.encode_smoothly(images, self.share)


SHARPNESS = 0.5
"""How far a `Sharpened` latent lies towards the exact one: halfway the source's detail is there and
still moves; `benchmarks/smooth_latents.py` tells the error of each share."""


@dataclass(frozen=True)
class Sharpened:
    """Part of the way from smooth latents to exact ones: finer detail that still moves."""

    model: LatentModel
    sharpness: float = SHARPNESS

    @property
    def settings(self) -> str:
        """Where it starts, and how far it goes."""
        return f"{Smooth(self.model).settings} sharpened {self.sharpness}"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Embedder`."""
        exact = self.model.encode_exactly(images, bf16=self.model.denoising.bf16).z
        return torch.lerp(Smooth(self.model)(images), exact, self.sharpness)


@dataclass(frozen=True)
class ByNetwork:
    """One evaluation of the embedding network."""

    network: EmbeddingNetwork

    @property
    def settings(self) -> str:
        """The network's weights."""
        return f"network {self.network.content} time={self.network.time}"

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Embedder`."""
        if not len(images):
            return images.float()
        device = self.network.denoising.device
        parts = [self.network(part.to(device) * 2 - 1).cpu() for part in images.split(CHUNK)]
        return torch.cat(parts)


@dataclass(frozen=True)
class Refined:
    """The latents of another embedder, bettered in `steps` steps.

    `method` is `adam` (gradient on the seed through the whole sampler) or `sweep` (inversion
    warm-started by the decoding, no gradient: see `inversion.sweep`).
    """

    model: LatentModel
    start: Embedder
    steps: int = REFINEMENTS
    method: Literal["adam", "sweep"] = "sweep"
    rate: float = RATE

    @property
    def settings(self) -> str:
        """The start and how it is bettered."""
        return f"{self.start.settings} {self.method} {self.steps} {self.rate}"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Embedder`."""
        if not len(images):
            return images.float()
        starts = self.start(images)
        pairs = zip(images.split(CHUNK), starts.split(CHUNK), strict=True)
        better = refine_by_gradient if self.method == "adam" else refine_by_sweeps
        parts = [better(self.model, z, part, self.steps, self.rate) for part, z in pairs]
        return torch.cat(parts)


@dataclass(frozen=True)
class Remembered:
    """Another embedder, asked once for each image: its latents are kept in a store.

    Images must be of whole grey levels, as crops are: the store's keys are those of the pixels.
    What comes back is always what the store holds (float16), so that the first run and the second
    agree.
    """

    embedder: Embedder
    store: Store

    @property
    def settings(self) -> str:
        """Those of the embedder."""
        return self.embedder.settings

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `Embedder`."""
        return torch.from_numpy(embed_by(self.embedder, self.store, to_pixels(images.numpy())))


@dataclass(frozen=True)
class EmbeddedModel:
    """A diffusion model with the way it embeds: an `embedding.Encoder`.

    `clusters` embeds the many images of the clusters, `source` the one that is looked at.
    """

    model: LatentModel
    clusters: Embedder
    source: Embedder
    way: EncoderName = "inversion"

    @property
    def image_size(self) -> int:
        """S, the side of images and latents in pixels."""
        return self.model.image_size

    @property
    def fingerprint(self) -> str:
        """Of the latents of `clusters`; for plain inversion the model's own."""
        settings = self.clusters.settings
        if not settings:
            return self.model.fingerprint
        return hashlib.sha256(f"{self.model.fingerprint} {settings}".encode()).hexdigest()

    @property
    def source_fingerprint(self) -> str:
        """Of the latents of `source`."""
        settings = self.source.settings
        if settings == self.clusters.settings:
            return self.fingerprint
        if settings == EXACT:
            return self.model.exact_fingerprint
        return hashlib.sha256(f"{self.model.fingerprint} {settings}".encode()).hexdigest()

    def remembering(self, store: Store) -> EmbeddedModel:
        """The same, the latents of sources kept in a store under `source_fingerprint`."""
        return replace(self, source=Remembered(self.source, store))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents of images of the clusters."""
        return self.clusters(images)

    def encode_source(self, images: torch.Tensor) -> torch.Tensor:
        """Latents of the images a person will look at."""
        return self.source(images)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Images of latents."""
        return self.model.decode(z)

    def decode_with_gradient(self, z: torch.Tensor) -> torch.Tensor:
        """See `LatentModel.decode_with_gradient`."""
        return self.model.decode_with_gradient(z)


def choose_embedding(
    model: LatentModel, way: EncoderName, folder: Path | None = None
) -> EmbeddedModel:
    """A model that embeds in one of the ways above; `folder` is where it was opened from.

    Inversion takes the model's fixed corrections for the clusters, whose means forgive an inexact
    latent, and solves the source's exactly; `smooth` sharpens the source's; the others treat both
    alike. Raises
    `ModelError` where the model has no embedding network, or one for other steps.
    """
    if way == "inversion":
        return EmbeddedModel(model, ByInversion(model), ByInversion(model, exact=True))
    if way == "smooth":
        return EmbeddedModel(model, Smooth(model), Sharpened(model), way)
    network = EmbeddingNetwork.load(folder, str(model.device), model.denoising.bf16)
    if network.steps != model.steps:
        raise ModelError(
            f"The embedding network of {model.name} was trained through {network.steps} steps, "
            f"not {model.steps}; give --steps {network.steps}, or embed by inversion."
        )
    start = ByNetwork(network)
    chosen = start if way == "network" else Refined(model, start)
    return EmbeddedModel(model, chosen, chosen, way)


Latents = NDArray[np.float32]

BATCH = 32


class Encoder(Protocol):
    """What is needed of a model: `diffusion.latent_model.LatentModel`, or `EmbeddedModel`."""

    @property
    def image_size(self) -> int: ...

    def encode(self, images: torch.Tensor) -> torch.Tensor: ...

    def encode_source(self, images: torch.Tensor) -> torch.Tensor: ...

    def decode(self, z: torch.Tensor) -> torch.Tensor: ...

    def decode_with_gradient(self, z: torch.Tensor) -> torch.Tensor: ...


class Store(Protocol):
    """Latents by key, kept between runs: `rotation.latents.store.LatentStore`."""

    def get(self, keys: Sequence[str]) -> tuple[NDArray[np.bool_], Latents]: ...

    def put(self, keys: Sequence[str], values: NDArray[np.floating]) -> None: ...


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
