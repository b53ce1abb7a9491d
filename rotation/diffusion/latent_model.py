"""A trained diffusion model as an encoder and decoder of images.

A model is a folder in the format of diffusers (`model_folder.open_folder`). Its network takes
either RGB images or r x r pixel blocks stacked as channels (`pixel_unshuffle`), which gives 3 r^2
channels at a side r times smaller. The number of channels tells which.

Latents always have the shape (N, 3, S, S). Stacking only reorders numbers, so it does not change
norms or distributions. The latent of a mirrored image is the latent flipped along the last axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import torch

from rotation.diffusion import ddim
from rotation.diffusion.denoising import Denoising, load_files
from rotation.diffusion.devices import choose_device
from rotation.diffusion.inversion import TOLERANCE, InversionResult, invert_exactly
from rotation.diffusion.model_folder import find_model, open_folder
from rotation.diffusion.refiner import Refiner
from rotation.diffusion.schedule import NoiseSchedule, timesteps
from rotation.errors import ModelError

BF16_TOLERANCE = 2e-3
"""Tolerance of exact inversion in bfloat16, whose rounding errors are about 1e-3."""
CHUNK = 64
"""Images that the network evaluates at once."""


class LatentModel:
    """Encodes images into latents and decodes latents into images, with one fixed sampler.

    Attributes:
        name: the folder's name.
        steps: how many steps the sampler takes.
        times: the sampler's falling timesteps.
        iterations: corrections a step in `encode` (see `ddim.invert`).
        weights: the names of the files of weights.
        fingerprint: SHA-256 over weights, configs, sampler, `iterations` and bfloat16. Latents of
            different fingerprints cannot be compared.
        exact_fingerprint: the same for latents of `encode_exactly`, which depend neither on
            `iterations` nor on bfloat16.
    """

    def __init__(
        self,
        denoising: Denoising,
        steps: int = 10,
        iterations: int = 5,
        name: str = "unnamed",
        content: str = "",
        weights: Sequence[str] = (),
        find_refiner: Callable[[], Refiner | None] = lambda: None,
    ) -> None:
        self._denoising = denoising
        self._find_refiner = find_refiner
        self.weights = tuple(weights)
        self.name = name
        self.steps = steps
        self.iterations = iterations
        self.times = timesteps(len(denoising.schedule), steps)
        settings = f"{content} times={self.times} iterations={iterations} bf16={denoising.bf16}"
        self.fingerprint = hashlib.sha256(settings.encode()).hexdigest()
        exact = f"{content} times={self.times} exact={TOLERANCE}"
        self.exact_fingerprint = hashlib.sha256(exact.encode()).hexdigest()

    @classmethod
    def load(
        cls,
        folder: Path | str | None = None,
        device: str = "auto",
        steps: int = 10,
        iterations: int = 5,
        bf16: bool = False,
        refine: bool = True,
    ) -> LatentModel:
        """Load a model.

        Weights in half precision are converted to float32.

        Parameters:
            folder: a model folder or the name of a bundled model; None is the bundled model of
                synthetic heads.
            bf16: evaluate the network in bfloat16. This is faster on some devices (`devices`) and
                changes pixels by less than one grey level.
            refine: use the refiner of the model, if it has one.

        Raises:
            ModelError: the folder holds no model, is damaged, or its parts do not fit together.
        """
        path = find_model(folder)
        files = open_folder(path)
        denoising = load_files(files, choose_device(device), bf16)
        names = [file.name for file in files.weights]
        model = cls(denoising, steps, iterations, path.name, files.content_hash(), names)
        if refine:
            model._find_refiner = partial(Refiner.load, path, str(denoising.device), bf16)
        return model

    @cached_property
    def refiner(self) -> Refiner | None:
        """The model's refiner, which draws hidden parts in more detail; None without one.

        Raises:
            ModelError: the refiner is damaged.
        """
        return self._find_refiner()

    @property
    def image_size(self) -> int:
        """S, the side of images and latents in pixels."""
        return self._denoising.image_size

    @property
    def schedule(self) -> NoiseSchedule:
        """The noise schedule the model was trained with."""
        return self._denoising.schedule

    @property
    def denoising(self) -> Denoising:
        """The network with its schedule, for code that needs gradients."""
        return self._denoising

    @property
    def device(self) -> torch.device:
        """The device of the model. Inputs are moved to it, and results back to the CPU."""
        return self._denoising.device

    @property
    def denoiser(self) -> LatentModel:
        """The model itself; a codec has one."""
        return self

    def eps(self, x: torch.Tensor, time: int) -> torch.Tensor:
        """The predicted noise (N, 3, S, S) in x (N, 3, S, S) at a timestep (`ddim.Denoiser`)."""
        return self._denoising.eps(x, time)

    @torch.inference_mode()
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, S, S), float32 in [0, 1], of latents z (N, 3, S, S)."""
        self._check(z, "latents")
        if not len(z):
            return z.float()
        parts = [
            ddim.sample(self.eps, part.to(self.device, torch.float32), self.schedule, self.times)
            for part in z.split(CHUNK)
        ]
        return ((torch.cat(parts) + 1) / 2).clamp(0, 1).cpu()

    def decode_with_gradient(self, z: torch.Tensor) -> torch.Tensor:
        """Images (N, 3, S, S) in [-1, 1] of latents, on their device, with gradients."""
        self._check(z, "latents")
        moved = z.to(self.device, torch.float32)
        return ddim.sample(self.eps, moved, self.schedule, self.times).to(z.device)

    @torch.inference_mode()
    def encode(self, images: torch.Tensor, iterations: int | None = None) -> torch.Tensor:
        """Latents (N, 3, S, S), float32, of images (N, 3, S, S) in [0, 1], by `ddim.invert`.

        `iterations` overrides the model's own number of corrections, for comparisons. Such latents
        do not belong to the model's fingerprint.
        """
        self._check(images, "images")
        if not len(images):
            return images.float()
        count = self.iterations if iterations is None else iterations
        parts = [
            ddim.invert(self.eps, self._to_signal(part), self.schedule, self.times, count)
            for part in images.split(CHUNK)
        ]
        return torch.cat(parts).cpu()

    @torch.inference_mode()
    def encode_smoothed(self, images: torch.Tensor, share: float) -> torch.Tensor:
        """Latents (N, 3, S, S) of images (N, 3, S, S) in [0, 1], by `ddim.invert_smoothed`."""
        self._check(images, "images")
        if not len(images):
            return images.float()
        parts = [
            ddim.invert_smoothed(self.eps, self._to_signal(part), self.schedule, self.times, share)
            for part in images.split(CHUNK)
        ]
        return torch.cat(parts).cpu()

    @torch.inference_mode()
    def encode_exactly(
        self, images: torch.Tensor, tolerance: float | None = None, bf16: bool = False
    ) -> InversionResult:
        """Latents of images (N, 3, S, S) in [0, 1] by `inversion.invert_exactly`, on the CPU.

        Parameters:
            tolerance: of each step; None is `inversion.TOLERANCE`, or `BF16_TOLERANCE` in bfloat16.
            bf16: evaluate the network in bfloat16; otherwise float32, whatever the model's option.
        """
        self._check(images, "images")
        wanted = tolerance or (BF16_TOLERANCE if bf16 else TOLERANCE)
        eps = replace(self._denoising, bf16=bf16).eps
        parts = images.split(CHUNK) if len(images) else (images,)
        found = [
            invert_exactly(eps, self._to_signal(part), self.schedule, self.times, wanted)
            for part in parts
        ]
        return InversionResult.concatenate(found)

    def encode_source(self, images: torch.Tensor) -> torch.Tensor:
        """Latents (N, 3, S, S) of faces that are turned: exact, in float32."""
        return self.encode_exactly(images).z

    def _to_signal(self, images: torch.Tensor) -> torch.Tensor:
        return images.to(self.device, torch.float32) * 2 - 1

    def _check(self, values: torch.Tensor, what: str) -> None:
        wanted = (3, self.image_size, self.image_size)
        if values.ndim != 4 or tuple(values.shape[1:]) != wanted:
            size = self.image_size
            raise ModelError(
                f"{self.name} takes {what} of shape (N, 3, {size}, {size}), "
                f"not {tuple(values.shape)}."
            )
