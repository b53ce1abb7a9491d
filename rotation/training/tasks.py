"""What a training run teaches: the loop asks a task for its loss, its figures and its card."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from rotation.diffusion.latent_model import Denoising, LatentModel
from rotation.training.config import TrainingConfig
from rotation.training.images import Split
from rotation.training.losses import draw_batch, held_out_loss, power_table, training_loss
from rotation.training.model_card import model_card
from rotation.training.previews import save_reconstructions, save_samples


class Task(Protocol):
    """One kind of training. `name` parts its checkpoints from those of other kinds."""

    name: str

    def loss(
        self, live: Denoising, images: torch.Tensor, generator: torch.Generator, share: float
    ) -> torch.Tensor:
        """The loss, a scalar, on images uint8 (N, 3, S, S); all chance comes from `generator`.

        `share` (0 to 1) is how much of the budget is used.
        """
        ...

    def preview(
        self, averaged: Denoising, held_out: torch.Tensor, folder: Path, step: int, count: int
    ) -> dict[str, Any]:
        """Draw sheets of about `count` pictures into `folder`; returns figures for the log."""
        ...

    def card(
        self, config: TrainingConfig, data: str, split: Split, log: Sequence[Mapping[str, Any]]
    ) -> str:
        """The README.md of the exported folder."""
        ...

    def extra_files(self) -> dict[str, dict[str, Any]]:
        """Further JSON files of the exported folder, by name."""
        ...


class DenoisingTask:
    """The diffusion model itself: noise predicted at random times."""

    name = "denoising"

    def loss(
        self, live: Denoising, images: torch.Tensor, generator: torch.Generator, share: float
    ) -> torch.Tensor:
        """Mean squared error of the prediction (`objective.training_loss`)."""
        batch = draw_batch(images, generator, len(live.schedule)).to(live.device)
        return training_loss(live, batch, power_table(live.schedule, live.device))

    def preview(
        self, averaged: Denoising, held_out: torch.Tensor, folder: Path, step: int, count: int
    ) -> dict[str, Any]:
        """Samples and reconstructions; held-out v-loss, reconstruction error, size of latents."""
        model = LatentModel(averaged)
        figures: dict[str, Any] = {"held_out_v_loss": rounded(held_out_loss(averaged, held_out))}
        save_samples(model, folder / f"samples-{step:07d}.png", count)
        if len(held_out):
            shown = held_out[: max(1, count // 4)].float() / 255
            path = folder / f"reconstructions-{step:07d}.png"
            result = save_reconstructions(model, shown, path)
            figures["reconstruction_mse"] = round(result.mse, 6)
            figures["latent_size"] = round(result.latent_size, 4)
        return figures

    def card(
        self, config: TrainingConfig, data: str, split: Split, log: Sequence[Mapping[str, Any]]
    ) -> str:
        """See `card.model_card`."""
        return model_card(config, data, split, log)

    def extra_files(self) -> dict[str, dict[str, Any]]:
        """None."""
        return {}


def rounded(value: float) -> float | None:
    """For JSON, which has no nan."""
    return None if math.isnan(value) else round(value, 5)
