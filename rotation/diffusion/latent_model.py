"""A trained diffusion model as an encoder and decoder of images.

A model is a folder in the format of diffusers (`model_folder.open_folder`). Its network takes
either RGB images or r x r pixel blocks stacked as channels (`pixel_unshuffle`), which gives 3 r^2
channels at a side r times smaller. The number of channels tells which.

Latents always have the shape (N, 3, S, S). Stacking only reorders numbers, so it does not change
norms or distributions. The latent of a mirrored image is the latent flipped along the last axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from rotation.diffusion import ddim
from rotation.diffusion.devices import choose_device
from rotation.diffusion.inversion import TOLERANCE, InversionResult, invert_exactly
from rotation.diffusion.model_folder import ModelFiles, find_model, open_folder
from rotation.diffusion.schedule import NoiseSchedule, timesteps
from rotation.diffusion.scheduler_check import PREDICTIONS, prediction_type
from rotation.diffusion.unet import block_side, build_unet
from rotation.diffusion.weights import load_weights
from rotation.errors import ModelError

BF16_TOLERANCE = 2e-3
"""Tolerance of exact inversion in bfloat16, whose rounding errors are about 1e-3."""
CHUNK = 64
"""Images that the network evaluates at once."""


@dataclass(frozen=True)
class Denoising:
    """A network with its noise schedule and its kind of prediction.

    Attributes:
        unet: maps (N, 3 r^2, S/r, S/r) and timesteps (N,) to a prediction of the same shape.
        prediction: what the network predicts, one of `PREDICTIONS`.
        bf16: evaluate the network in bfloat16.
        scheduler: the diffusers config from which schedule and prediction were read.
    """

    unet: Any  # a UNet2DModel, which diffusers leaves half untyped
    schedule: NoiseSchedule
    prediction: str = "v_prediction"
    bf16: bool = False
    scheduler: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            known = ", ".join(PREDICTIONS)
            raise ModelError(f"Unknown prediction_type {self.prediction!r}; known: {known}.")

    @property
    def patch(self) -> int:
        """r, the side of the pixel blocks stacked as channels; 1 for a network that takes RGB."""
        return block_side(self.unet.config)

    @property
    def image_size(self) -> int:
        """S, the side of images and latents in pixels."""
        return int(self.unet.config["sample_size"]) * self.patch

    @property
    def device(self) -> torch.device:
        """The device of the network's weights."""
        return next(self.unet.parameters()).device

    def predict(self, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The network's output (N, 3, S, S), float32, for x (N, 3, S, S) and timesteps (N,)."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            stacked = self.unet(pixel_unshuffle(x, self.patch), times, return_dict=False)[0]
        return pixel_shuffle(stacked.float(), self.patch)

    def eps(self, x: torch.Tensor, time: int) -> torch.Tensor:
        """The noise (N, 3, S, S) in x (N, 3, S, S) at a timestep: a `ddim.Denoiser`.

            v_prediction: eps = a v + sigma x_t, since v = a eps - sigma x_0
            sample:       eps = (x_t - a x_0) / sigma

        Source of v: T. Salimans, J. Ho, *Progressive Distillation for Fast Sampling of Diffusion
        Models*, arXiv 2202.00512, appendix D.
        """
        output = self.predict(x, torch.full((len(x),), time, device=x.device))
        signal, noise = self.schedule.signal(time), self.schedule.noise(time)
        if self.prediction == "v_prediction":
            return signal * output + noise * x
        if self.prediction == "sample":
            return (x - signal * output) / noise
        return output


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
    ) -> None:
        self._denoising = denoising
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
    ) -> LatentModel:
        """Load a model.

        Weights in half precision are converted to float32.

        Parameters:
            folder: a model folder or the name of a bundled model; None is the bundled model of
                synthetic heads.
            bf16: evaluate the network in bfloat16. This is faster on some devices (`devices`) and
                changes pixels by less than one grey level.

        Raises:
            ModelError: the folder holds no model, is damaged, or its parts do not fit together.
        """
        path = find_model(folder)
        files = open_folder(path)
        denoising = load_files(files, choose_device(device), bf16)
        names = [file.name for file in files.weights]
        return cls(denoising, steps, iterations, path.name, files.content_hash(), names)

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


def load_denoising(
    folder: Path, device: torch.device | None = None, bf16: bool = False
) -> Denoising:
    """Load the network of a model folder, in evaluation mode and float32.

    Raises:
        ModelError: the folder holds no model, is damaged, or its parts do not fit together.
    """
    return load_files(open_folder(folder), device, bf16)


def load_files(
    files: ModelFiles, device: torch.device | None = None, bf16: bool = False
) -> Denoising:
    """Load the network of a model folder that has been opened; else as `load_denoising`."""
    with torch.device("meta"):  # neither time nor memory for weights that the file replaces
        denoising = build_denoising(files.network, files.scheduler, bf16)
    load_weights(denoising.unet, files.weights, files.network_config)
    # Last, since what is wrong with the content tells more than a checksum that differs.
    files.verify_checksums()
    denoising.unet.eval().requires_grad_(False)
    # The network's own `to` imports diffusers' hooks and torch's compiler, which takes 2 seconds.
    torch.nn.Module.to(denoising.unet, device or torch.device("cpu"))
    return denoising


def build_denoising(
    config: dict[str, Any], scheduler: dict[str, Any], bf16: bool = False
) -> Denoising:
    """A network with random weights and its schedule, from two diffusers configs."""
    schedule = NoiseSchedule.from_config(scheduler)
    prediction = prediction_type("the scheduler's config", scheduler)
    return Denoising(build_unet(config), schedule, prediction, bf16, scheduler)
