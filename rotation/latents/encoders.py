"""Encoders: how an image becomes a latent of a diffusion model.

An encoder maps images to latents that the model's sampler decodes back to them. This module holds
the encoders, the pair of encoder and decoder that a run works with (`DiffusionCodec`), and the
functions that encode crops through a store, so that each image is encoded only once.

Images are tensors (N, 3, S, S) with values in [0, 1]. Latents are tensors (N, 3, S, S), float32.
Both are on the CPU.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rotation.data.crop import Pixels
from rotation.diffusion.devices import bf16_is_faster, choose_device
from rotation.diffusion.latent_model import CHUNK, LatentModel
from rotation.errors import ModelError
from rotation.imaging.images import from_pixels, to_pixels
from rotation.latents.encoder_network import EmbeddingNetwork
from rotation.latents.refinement import RATE, refine_by_gradient, refine_by_sweeps
from rotation.latents.store import LatentStore
from rotation.options import EncoderName, ModelOptions
from rotation.progress import Progress

Latents = NDArray[np.float32]

BatchEncoder = Callable[[Sequence[Pixels]], Iterator[Latents]]
"""Encodes batches of crops, each (n, S, S, 3), into latents (n, 3, S, S), in their order."""

BATCH = 32
"""Images that are encoded and stored together."""

EXACT = "exact"
"""The settings of `ExactInversionEncoder`."""

SMOOTHED_TIME_SHARE = 0.7
"""Where `SmoothedInversionEncoder` evaluates the network: 0 is a step's cleaner timestep, 1 its
noisier one. Reconstruction MSE of twelve held-out faces with `celeba-64`: 0.036 at 0 (the usual
inversion), 0.011 at 0.5, 0.0081 at 0.7, 0.013 at 1 (`benchmarks/smooth_latents.py`)."""

EXACT_SHARE = 0.5
"""Share of the exact latent in `InterpolatedInversionEncoder`. At one half the source's detail is
there and still moves with an edit; `benchmarks/smooth_latents.py` measures other shares."""

REFINEMENT_STEPS = 10


class ImageEncoder(Protocol):
    """A function from images (N, 3, S, S) to latents (N, 3, S, S)."""

    @property
    def settings(self) -> str:
        """What decides the latents besides the model and its sampler; part of a fingerprint."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Encode images."""
        ...


@dataclass(frozen=True)
class InversionEncoder:
    """DDIM inversion with a fixed number of corrections a step (`ddim.invert`)."""

    model: LatentModel

    @property
    def settings(self) -> str:
        """Empty: the model's own fingerprint covers the number of corrections."""
        return ""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `ImageEncoder`."""
        return self.model.encode(images)


@dataclass(frozen=True)
class ExactInversionEncoder:
    """DDIM inversion that solves each step to a tolerance (`inversion.invert_exactly`)."""

    model: LatentModel

    @property
    def settings(self) -> str:
        """A constant: the tolerance is fixed."""
        return EXACT

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `ImageEncoder`."""
        return self.model.encode_exactly(images).z


@dataclass(frozen=True)
class SmoothedInversionEncoder:
    """DDIM inversion by one evaluation a step, at a timestep inside the step.

    The latents are inexact but easy to edit (`ddim.invert_smoothed`).
    """

    model: LatentModel
    time_share: float = SMOOTHED_TIME_SHARE

    @property
    def settings(self) -> str:
        """Where in a step the network is evaluated."""
        return f"smooth {self.time_share}"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `ImageEncoder`."""
        return self.model.encode_smoothed(images, self.time_share)


@dataclass(frozen=True)
class InterpolatedInversionEncoder:
    """Latents between those of smoothed and of exact inversion: more detail that still moves.

    z = (1 - s) z_smoothed + s z_exact,    s = `exact_share`
    """

    model: LatentModel
    exact_share: float = EXACT_SHARE

    @property
    def settings(self) -> str:
        """The smoothed latents' settings and the share of the exact ones."""
        return f"{SmoothedInversionEncoder(self.model).settings} sharpened {self.exact_share}"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `ImageEncoder`."""
        exact = self.model.encode_exactly(images, bf16=self.model.denoising.bf16).z
        return torch.lerp(SmoothedInversionEncoder(self.model)(images), exact, self.exact_share)


@dataclass(frozen=True)
class NetworkEncoder:
    """One evaluation of an embedding network."""

    network: EmbeddingNetwork

    @property
    def settings(self) -> str:
        """The network's weights and its timestep."""
        return f"network {self.network.content} time={self.network.time}"

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `ImageEncoder`."""
        if not len(images):
            return images.float()
        device = self.network.denoising.device
        parts = [self.network(part.to(device) * 2 - 1).cpu() for part in images.split(CHUNK)]
        return torch.cat(parts)


@dataclass(frozen=True)
class RefinedEncoder:
    """The latents of another encoder, improved in `steps` steps.

    `method` is `adam` (gradient descent through the sampler) or `sweep` (inversion that starts
    from the decoding, without gradients: see `inversion.sweep`).
    """

    model: LatentModel
    start: ImageEncoder
    steps: int = REFINEMENT_STEPS
    method: Literal["adam", "sweep"] = "sweep"
    rate: float = RATE

    @property
    def settings(self) -> str:
        """The first encoder's settings, and how its latents are improved."""
        return f"{self.start.settings} {self.method} {self.steps} {self.rate}"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `ImageEncoder`."""
        if not len(images):
            return images.float()
        starts = self.start(images)
        pairs = zip(images.split(CHUNK), starts.split(CHUNK), strict=True)
        refine = refine_by_gradient if self.method == "adam" else refine_by_sweeps
        return torch.cat([refine(self.model, z, part, self.steps, self.rate) for part, z in pairs])


@dataclass(frozen=True)
class CachedEncoder:
    """Another encoder that encodes each image once and keeps its latent in a store.

    Pixel values must be multiples of 1/255, as in crops: the store's keys are hashes of the bytes.
    The latents returned are always those of the store (float16). So the first run and later ones
    agree.
    """

    encoder: ImageEncoder
    store: LatentStore

    @property
    def settings(self) -> str:
        """Those of the encoder."""
        return self.encoder.settings

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """See `ImageEncoder`."""
        crops = to_pixels(images.numpy())
        return torch.from_numpy(encode_crops(encode_here(self.encoder), self.store, crops))


class LatentCodec(Protocol):
    """Encodes and decodes images: a `LatentModel`, or a `DiffusionCodec`."""

    @property
    def image_size(self) -> int: ...

    @property
    def denoiser(self) -> LatentModel: ...

    def encode(self, images: torch.Tensor) -> torch.Tensor: ...

    def encode_source(self, images: torch.Tensor) -> torch.Tensor: ...

    def decode(self, z: torch.Tensor) -> torch.Tensor: ...

    def decode_with_gradient(self, z: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True)
class DiffusionCodec:
    """A diffusion model as decoder, with the encoders that go with it: a `LatentCodec`.

    Attributes:
        model: the diffusion model.
        clusters: encodes the many images of the clusters.
        source: encodes the face that is turned.
        encoder_name: the option that chose both encoders.
    """

    model: LatentModel
    clusters: ImageEncoder
    source: ImageEncoder
    encoder_name: EncoderName = "inversion"

    @property
    def image_size(self) -> int:
        """S, the side of images and latents in pixels."""
        return self.model.image_size

    @property
    def fingerprint(self) -> str:
        """Names the latents of `clusters`. For `inversion` it is the model's own fingerprint."""
        settings = self.clusters.settings
        return self._hash_settings(settings) if settings else self.model.fingerprint

    @property
    def source_fingerprint(self) -> str:
        """Names the latents of `source`."""
        settings = self.source.settings
        if settings == self.clusters.settings:
            return self.fingerprint
        if settings == EXACT:
            return self.model.exact_fingerprint
        return self._hash_settings(settings)

    def _hash_settings(self, settings: str) -> str:
        return hashlib.sha256(f"{self.model.fingerprint} {settings}".encode()).hexdigest()

    def with_source_cache(self, store: LatentStore) -> DiffusionCodec:
        """The same codec, which keeps sources' latents in a store of `source_fingerprint`."""
        return replace(self, source=CachedEncoder(self.source, store))

    @property
    def denoiser(self) -> LatentModel:
        """The diffusion model, which predicts noise at any timestep."""
        return self.model

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents (N, 3, S, S) of images of the clusters."""
        return self.clusters(images)

    def encode_source(self, images: torch.Tensor) -> torch.Tensor:
        """Latents (N, 3, S, S) of faces that are turned."""
        return self.source(images)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """See `LatentModel.decode`."""
        return self.model.decode(z)

    def decode_with_gradient(self, z: torch.Tensor) -> torch.Tensor:
        """See `LatentModel.decode_with_gradient`."""
        return self.model.decode_with_gradient(z)


def build_codec(
    model: LatentModel,
    encoder_name: EncoderName,
    folder: Path | None = None,
    network: EmbeddingNetwork | None = None,
) -> DiffusionCodec:
    """The model with the encoders of a name.

    `inversion` encodes clusters with a fixed number of corrections, since a mean over many images
    forgives small errors, and sources exactly. `smooth` encodes sources by interpolation between
    smoothed and exact latents. `network` and `refined` encode both alike.

    Parameters:
        folder: the model folder, which holds the embedding network; None is the bundled model.
        network: the embedding network, if it is loaded already.

    Raises:
        ModelError: the model has no embedding network, or one for another number of steps.
    """
    if encoder_name == "inversion":
        return DiffusionCodec(model, InversionEncoder(model), ExactInversionEncoder(model))
    if encoder_name == "smooth":
        clusters, source = SmoothedInversionEncoder(model), InterpolatedInversionEncoder(model)
        return DiffusionCodec(model, clusters, source, encoder_name)
    if network is None:
        network = EmbeddingNetwork.load(folder, str(model.device), model.denoising.bf16)
    if network.steps != model.steps:
        raise ModelError(
            f"The embedding network of {model.name} was trained through {network.steps} steps, "
            f"not {model.steps}; give --steps {network.steps}, or embed by inversion."
        )
    by_network = NetworkEncoder(network)
    encoder = by_network if encoder_name == "network" else RefinedEncoder(model, by_network)
    return DiffusionCodec(model, encoder, encoder, encoder_name)


def open_codec(options: ModelOptions) -> DiffusionCodec:
    """Load the model and build its encoders.

    `bf16` None computes in bfloat16 on devices where that is faster. `embedding` None is
    `inversion`.

    Raises:
        ModelError: there is no such model or device, or they do not fit the options.
    """
    device = choose_device(options.device)
    bf16 = bf16_is_faster(device) if options.bf16 is None else options.bf16
    model = LatentModel.load(
        options.folder,
        str(device),
        options.steps,
        options.iterations,
        bf16=bf16,
        refine=options.refine,
    )
    return build_codec(model, options.embedding or "inversion", options.folder)


def open_cluster_store(cache: Path, codec: DiffusionCodec) -> LatentStore:
    """The store of cluster images' latents in a cache folder."""
    return LatentStore.in_cache(cache, codec.fingerprint, codec.image_size)


def open_source_store(cache: Path, codec: DiffusionCodec) -> LatentStore:
    """The store of sources' latents in a cache folder."""
    return LatentStore.in_cache(cache, codec.source_fingerprint, codec.image_size)


def content_key(crop: Pixels) -> str:
    """The key of a crop in a store: SHA-256 of its pixels."""
    return hashlib.sha256(np.ascontiguousarray(crop).tobytes()).hexdigest()


def encode_here(encode: Callable[[torch.Tensor], torch.Tensor]) -> BatchEncoder:
    """Encodes batches in this process by a function of images, one after the other."""
    return partial(map, partial(encode_batch, encode))


def encode_batch(encode: Callable[[torch.Tensor], torch.Tensor], crops: Pixels) -> Latents:
    """The latents (n, 3, S, S) of a batch of crops (n, S, S, 3)."""
    latents: Latents = encode(torch.from_numpy(from_pixels(crops))).numpy()
    return latents


def encode_crops(
    encode: BatchEncoder, store: LatentStore, crops: Pixels, progress: Progress | None = None
) -> Latents:
    """Latents (N, 3, S, S), float32, of crops (N, S, S, 3): stored ones, and new ones by `encode`.

    Each batch is stored at once, so that an interrupted run continues where it stopped.
    """
    keys = [content_key(crop) for crop in crops]
    found, latents = store.get(keys)
    first = {keys[row]: row for row in np.flatnonzero(~found)[::-1].tolist()}
    missing = list(first)[::-1]
    if not missing:
        return latents
    batches = [missing[start : start + BATCH] for start in range(0, len(missing), BATCH)]
    done = 0
    encoded = encode([np.stack([crops[first[key]] for key in batch]) for batch in batches])
    for batch, values in zip(batches, encoded, strict=True):
        store.put(batch, values)
        done += len(batch)
        if progress is not None:
            progress("embed", done, len(missing))
    return store.get(keys)[1]


def encode_source_crop(codec: LatentCodec, crop: Pixels) -> Latents:
    """The latent (3, S, S) of the crop (S, S, 3) of a face that is turned."""
    images = torch.from_numpy(from_pixels(crop[None]))
    latent: Latents = codec.encode_source(images).numpy()[0]
    return latent


def decode_pixels(codec: LatentCodec, latents: NDArray[np.floating]) -> Pixels:
    """Images (N, S, S, 3) of latents (N, 3, S, S)."""
    z = torch.from_numpy(np.ascontiguousarray(latents, dtype=np.float32))
    return to_pixels(codec.decode(z).numpy())
