"""Training tasks: a task gives the training loop its loss, previews and model card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from rotation.diffusion.denoising import Denoising, build_denoising, load_denoising
from rotation.diffusion.latent_model import LatentModel
from rotation.training.config import TrainingConfig, adopt_architecture
from rotation.training.images import Split
from rotation.training.losses import draw_batch, held_out_loss, power_table, training_loss
from rotation.training.model_card import model_card
from rotation.training.previews import save_reconstructions, save_samples


class Task(Protocol):
    """One kind of training. Checkpoints of one `name` cannot be resumed by another."""

    name: str
    planes: int
    """Of each image."""

    def adopt(self, config: TrainingConfig) -> TrainingConfig:
        """The settings with the architecture of the model `init`; unchanged without `init`."""
        ...

    def start(self, config: TrainingConfig) -> Denoising:
        """The network that training starts from."""
        ...

    def loss(
        self, live: Denoising, images: torch.Tensor, generator: torch.Generator, share: float
    ) -> torch.Tensor:
        """The loss of a batch, a scalar.

        Parameters:
            live: the network in training.
            images: (N, planes, S, S), uint8.
            generator: the only source of randomness.
            share: the used share of the budget, 0 to 1.
        """
        ...

    def preview(
        self, averaged: Denoising, held_out: torch.Tensor, folder: Path, step: int, count: int
    ) -> dict[str, Any]:
        """Save sheets of about `count` images into `folder`; returns metrics for the log."""
        ...

    def card(
        self, config: TrainingConfig, data: str, split: Split, log: Sequence[Mapping[str, Any]]
    ) -> str:
        """The README.md of the exported folder."""
        ...

    def extra_files(self) -> dict[str, dict[str, Any]]:
        """Further JSON files of the exported folder, by name."""
        ...


class ImageTask:
    """What tasks share whose images have three planes, and that start from a whole network."""

    planes = 3

    def adopt(self, config: TrainingConfig) -> TrainingConfig:
        """See `Task`."""
        return adopt_architecture(config)

    def start(self, config: TrainingConfig) -> Denoising:
        """The network of the model `init`, or a random one."""
        if config.init:
            return load_denoising(Path(config.init))
        return build_denoising(config.unet_config(), config.scheduler_config())


class DenoisingTask(ImageTask):
    """Trains the diffusion model itself."""

    name = "denoising"

    def loss(
        self, live: Denoising, images: torch.Tensor, generator: torch.Generator, share: float
    ) -> torch.Tensor:
        """Mean squared error of the prediction (`losses.training_loss`)."""
        batch = draw_batch(images, generator, len(live.schedule)).to(live.device)
        return training_loss(live, batch, power_table(live.schedule, live.device))

    def preview(
        self, averaged: Denoising, held_out: torch.Tensor, folder: Path, step: int, count: int
    ) -> dict[str, Any]:
        """Save samples and reconstructions; return held-out v-loss, error and latent size."""
        model = LatentModel(averaged)
        metrics: dict[str, Any] = {"held_out_v_loss": rounded(held_out_loss(averaged, held_out))}
        save_samples(model, folder / f"samples-{step:07d}.png", count)
        if len(held_out):
            shown = held_out[: max(1, count // 4)].float() / 255
            path = folder / f"reconstructions-{step:07d}.png"
            result = save_reconstructions(model, shown, path)
            metrics["reconstruction_mse"] = round(result.mse, 6)
            metrics["latent_size"] = round(result.latent_size, 4)
        return metrics

    def card(
        self, config: TrainingConfig, data: str, split: Split, log: Sequence[Mapping[str, Any]]
    ) -> str:
        """See `model_card`."""
        return model_card(config, data, split, log)

    def extra_files(self) -> dict[str, dict[str, Any]]:
        """No further files."""
        return {}


def rounded(value: float) -> float | None:
    """The value for JSON, which has no NaN."""
    return None if math.isnan(value) else round(value, 5)
