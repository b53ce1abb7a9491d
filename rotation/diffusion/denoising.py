"""A diffusion network with its noise schedule, and how it is loaded from a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from rotation.diffusion.model_folder import ModelFiles, open_folder
from rotation.diffusion.schedule import NoiseSchedule
from rotation.diffusion.scheduler_check import PREDICTIONS, prediction_type
from rotation.diffusion.unet import block_side, build_unet
from rotation.diffusion.weights import load_weights
from rotation.errors import ModelError


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
        """The network's output (N, 3, S, S), float32, for x (N, 3, S, S) and timesteps (N,).

        A refiner's network takes more than three planes (`rotation.diffusion.refiner`).
        """
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
        return self.to_noise(x, self.predict_at(x, time), time)

    def predict_at(self, x: torch.Tensor, time: int) -> torch.Tensor:
        """`predict` at one timestep."""
        return self.predict(x, torch.full((len(x),), time, device=x.device))

    def to_noise(self, x: torch.Tensor, output: torch.Tensor, time: int) -> torch.Tensor:
        """The noise in x, as the network's output at a timestep tells it."""
        signal, noise = self.schedule.signal(time), self.schedule.noise(time)
        if self.prediction == "v_prediction":
            return signal * output + noise * x
        if self.prediction == "sample":
            return (x - signal * output) / noise
        return output


def load_denoising(
    folder: Path, device: torch.device | None = None, bf16: bool = False, planes: int = 3
) -> Denoising:
    """Load the network of a model folder, in evaluation mode and float32.

    Parameters:
        planes: how many planes the network takes.

    Raises:
        ModelError: the folder holds no model, is damaged, or its parts do not fit together.
    """
    return load_files(open_folder(folder, planes=planes), device, bf16)


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
