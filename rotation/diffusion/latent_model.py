"""A trained diffusion model as an encoder and decoder of images.

A model is a folder in diffusers' own format, `unet/` and `scheduler/`. Its network either takes
RGB images, or r x r blocks of them stacked as channels (`pixel_unshuffle`, 3 r^2 channels at a
side r times smaller): known from the number of channels. Latents are always (N, 3, S, S). The
blocks only reorder numbers, so norms and Gaussianity are those of the stacked form, and the
mirror image of a latent is its flip along the last axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from rotation.diffusion import ddim
from rotation.diffusion.devices import choose_device
from rotation.diffusion.inversion import TOLERANCE, Inversion, invert_exactly
from rotation.diffusion.model_folder import (
    content_hash,
    find_model,
    read_configs,
    verify_checksums,
    weight_files,
)
from rotation.diffusion.schedule import NoiseSchedule, timesteps
from rotation.diffusion.unet import block_side, build_unet, load_weights
from rotation.errors import ModelError

PREDICTIONS = ("epsilon", "sample", "v_prediction")
BF16_TOLERANCE = 2e-3  # of exact inversion in bfloat16, whose own noise is about 1e-3
CHUNK = 64  # images through the network at once: enough to fill it, little enough memory


@dataclass(frozen=True)
class Denoising:
    """A network with what it needs to be read: its schedule and what it predicts.

    `unet` maps (N, 3 r^2, S/r, S/r) and times (N,) to a prediction of the same shape.
    """

    unet: Any  # a UNet2DModel, which diffusers leaves half untyped
    schedule: NoiseSchedule
    prediction: str = "v_prediction"
    bf16: bool = False
    scheduler: Mapping[str, Any] = field(default_factory=dict)  # the config it all was read from

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            known = ", ".join(PREDICTIONS)
            raise ModelError(f"Unknown prediction_type {self.prediction!r}; known: {known}.")

    @property
    def patch(self) -> int:
        """r, the side of the blocks stacked as channels; 1 for a model of plain RGB."""
        return block_side(self.unet.config)

    @property
    def image_size(self) -> int:
        """S, the side of images and latents in pixels."""
        return int(self.unet.config["sample_size"]) * self.patch

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.unet.parameters()).device

    def predict(self, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The network's own output, float32 (N, 3, S, S), for x (N, 3, S, S) and times (N,)."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            stacked = self.unet(pixel_unshuffle(x, self.patch), times, return_dict=False)[0]
        return pixel_shuffle(stacked.float(), self.patch)

    def eps(self, x: torch.Tensor, time: int) -> torch.Tensor:
        """The noise in x (N, 3, S, S) at `time`: a `ddim.Denoiser`.

        v = a eps - sigma x_0 (arXiv 2202.00512, appendix D), hence eps = a v + sigma x_t; from
        a predicted x_0, eps = (x_t - a x_0) / sigma.
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
        name: the folder's name. fingerprint: SHA-256 over weights, configs and sampler: latents
            of models with different fingerprints have nothing to do with each other.
        steps, times: the sampler's steps and its falling times. iterations: corrections a step
            when encoding (see `ddim.invert`).
        exact_fingerprint: likewise of the latents of `encode_exactly`, for which neither the
            number of corrections nor the clusters' arithmetic matters.
    """

    def __init__(
        self,
        denoising: Denoising,
        steps: int = 10,
        iterations: int = 5,
        name: str = "unnamed",
        content: str = "",
    ) -> None:
        self._denoising = denoising
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
        """Open a model folder, or a bundled model by name; None: that of synthetic heads.

        Weights in half precision are computed with in float32; `bf16` asks for bfloat16, which
        is quicker on CPUs and GPUs that have it and moves pixels by less than a grey level.
        Raises `ModelError` for a folder that is no model, is damaged or does not fit together.
        """
        path = find_model(folder)
        denoising = load_denoising(path, choose_device(device), bf16)
        return cls(denoising, steps, iterations, path.name, content_hash(path))

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
        """The network with its schedule, for what needs gradients."""
        return self._denoising

    @property
    def device(self) -> torch.device:
        """Where the model computes. Inputs are moved there; results come back to the CPU."""
        return self._denoising.device

    def eps(self, x: torch.Tensor, time: int) -> torch.Tensor:
        """The predicted noise in x (N, 3, S, S) at `time`; see `ddim.Denoiser`."""
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
        """Images (N, 3, S, S) in [-1, 1] of latents, where z is: for what follows gradients."""
        self._check(z, "latents")
        place = z.to(self.device, torch.float32)
        return ddim.sample(self.eps, place, self.schedule, self.times).to(z.device)

    @torch.inference_mode()
    def encode(self, images: torch.Tensor, iterations: int | None = None) -> torch.Tensor:
        """Latents (N, 3, S, S), float32, that decode to `images` (N, 3, S, S) in [0, 1].

        `iterations` overrides the model's own, for comparisons; latents made so do not belong
        under the model's fingerprint.
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
    def encode_smoothly(self, images: torch.Tensor, share: float) -> torch.Tensor:
        """Latents (N, 3, S, S) by one evaluation a step (`ddim.invert_between`)."""
        self._check(images, "images")
        if not len(images):
            return images.float()
        parts = [
            ddim.invert_between(self.eps, self._to_signal(part), self.schedule, self.times, share)
            for part in images.split(CHUNK)
        ]
        return torch.cat(parts).cpu()

    @torch.inference_mode()
    def encode_exactly(
        self, images: torch.Tensor, tolerance: float | None = None, bf16: bool = False
    ) -> Inversion:
        """Latents that decode to `images` (N, 3, S, S) in [0, 1] up to `tolerance` at each step.

        In float32 unless `bf16` asks for the model's quicker arithmetic, whose noise is about
        0.001: the default tolerance is `inversion.TOLERANCE`, or `BF16_TOLERANCE` there. Results
        are on the CPU.
        """
        self._check(images, "images")
        wanted = tolerance or (BF16_TOLERANCE if bf16 else TOLERANCE)
        eps = replace(self._denoising, bf16=bf16).eps
        parts = images.split(CHUNK) if len(images) else (images,)
        found = [
            invert_exactly(eps, self._to_signal(part), self.schedule, self.times, wanted)
            for part in parts
        ]
        return Inversion.joined(found)

    def encode_source(self, images: torch.Tensor) -> torch.Tensor:
        """Latents (N, 3, S, S) of the images a person will look at: exact, in float32."""
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
    """Read a model folder into a network in evaluation mode, float32.

    Raises `ModelError` for a folder that is no model, is damaged or does not fit together.
    """
    config, scheduler = read_configs(folder)
    verify_checksums(folder)
    denoising = build_denoising(config, scheduler, bf16)
    load_weights(denoising.unet, weight_files(folder))
    denoising.unet.eval().requires_grad_(False)
    # Not the network's own `to`, which imports diffusers' hooks and torch's compiler: 2 seconds.
    torch.nn.Module.to(denoising.unet, device or torch.device("cpu"))
    return denoising


def build_denoising(
    config: dict[str, Any], scheduler: dict[str, Any], bf16: bool = False
) -> Denoising:
    """A network with fresh weights and its schedule, from diffusers configs."""
    prediction = scheduler.get("prediction_type", "epsilon")
    schedule = NoiseSchedule.from_config(scheduler)
    return Denoising(build_unet(config), schedule, prediction, bf16, scheduler)
