"""Training task of the embedding network, in two stages.

1. During the first `FIRST_SHARE` of the budget: regression on the smoothed latents of
   `ddim.invert_smoothed`. Each latent is computed once, with ten evaluations, and kept. An update
   then costs three evaluations per image. Smoothed latents depend smoothly on the image. Exact
   latents are nearly white noise and do not.
2. Then the loss of arXiv 2301.07485: mean |x - decode(network(x))|, with the diffusion model
   frozen. It weighs errors of the latent by their visible effect. An update costs about 23
   evaluations. Started from an untrained network, it made little progress in the first minutes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import avg_pool2d

from rotation.diffusion import ddim
from rotation.diffusion.denoising import Denoising, load_denoising
from rotation.diffusion.devices import choose_device
from rotation.diffusion.model_folder import content_hash, find_model
from rotation.diffusion.schedule import timesteps
from rotation.errors import ModelError
from rotation.latents.encoder_network import SETTINGS, EmbeddingNetwork
from rotation.latents.encoders import SMOOTHED_TIME_SHARE
from rotation.training.config import TrainingConfig
from rotation.training.images import Split
from rotation.training.model_card import curve, run_facts
from rotation.training.previews import save_pairs
from rotation.training.tasks import ImageTask

TIME_SHARE = 0.127
"""The time at which the network is evaluated, as a share of the schedule. Before training, with 10
steps on rendered heads, the reconstruction MSE was 0.069 at 0.02, 0.044 at 0.127 and 0.050 at
0.233."""

FIRST_SHARE = 0.75
SCALES = (1, 2, 4, 8)
MEASURED = 64  # held-out images that metrics are measured on
CHUNK = 32

CARD = """# Embedding network: image to latent in one evaluation

Gives latents of the diffusion model in the folder above (content {model}), trained with
Sidelight's `manage.py rotation train-embedding`: first on the pictures' smooth latents
(`--embedding smooth`), then through the {ddim_steps} DDIM steps on the absolute error of the image
(arXiv 2301.07485).

- **Data**: {data}; {train} images to train on, {held_out} held out (no person on both sides), each
  also mirrored.
- **Training**: {steps} updates of {batch} images in {minutes} minutes; AdamW, peak learning rate
  {rate}, falling to zero from {decay:.0%} of the budget on; weights averaged with decay {ema}.
- **Held out**: image -> latent -> image, mean squared error in [0, 1]: {mse};
  |z| / sqrt(d): {size}.
- **Limits**: those of the diffusion model. Its latents give the image nearly, not exactly, and are
  not those of inversion.

## Settings

```json
{settings}
```

## Curve

| step | minutes | training loss | held-out MSE | size of z |
|---|---|---|---|---|
{curve}
"""


class EmbeddingTask(ImageTask):
    """Trains an embedding network for the diffusion model in `folder`; None: the bundled model."""

    name = "embedding"

    def __init__(self, folder: Path | None, steps: int = 10, device: str = "auto") -> None:
        path = find_model(folder)
        self._decoder = load_denoising(path, choose_device(device))
        self._times = timesteps(len(self._decoder.schedule), steps)
        self._steps, self._content = steps, content_hash(path)
        self._time = round(TIME_SHARE * len(self._decoder.schedule))
        self._known: dict[bytes, torch.Tensor] = {}

    def check_start(self, config: TrainingConfig) -> None:
        """Raise `ModelError` if the initial network has another image size than the model."""
        wanted = self._decoder.image_size
        if config.image_size != wanted:
            raise ModelError(
                f"The network to start from takes images of {config.image_size} pixels, the model "
                f"of {wanted}: choose another --init."
            )

    def loss(
        self, live: Denoising, images: torch.Tensor, generator: torch.Generator, share: float
    ) -> torch.Tensor:
        """The loss of the current stage; images are mirrored with probability 1/2."""
        mirrored = (torch.rand(len(images), generator=generator) < 0.5)[:, None, None, None]
        x = images.float() / 127.5 - 1
        x = torch.where(mirrored, x.flip(-1), x).to(live.device)
        if share < FIRST_SHARE:
            z = self._smooth(images, live.bf16)
            z = torch.where(mirrored, z.flip(-1), z).to(live.device)
            return scaled_error(EmbeddingNetwork(live, self._time)(x) - z)
        return (self._reconstruct(live, x)[1] - x).abs().mean()

    @torch.no_grad()
    def _smooth(self, images: torch.Tensor, bf16: bool) -> torch.Tensor:
        """Smoothed latents of images (N, 3, S, S), uint8; each is computed once and kept."""
        keys = [hashlib.sha256(image.numpy().tobytes()).digest() for image in images]
        new = [row for row, key in enumerate(keys) if key not in self._known]
        if new:
            decoder = replace(self._decoder, bf16=bf16)
            x = (images[new].float() / 127.5 - 1).to(decoder.device)
            z = ddim.invert_smoothed(
                decoder.eps, x, decoder.schedule, self._times, SMOOTHED_TIME_SHARE
            )
            self._known |= {keys[row]: one for row, one in zip(new, z.half().cpu(), strict=True)}
        return torch.stack([self._known[key] for key in keys]).float()

    def _reconstruct(
        self, network: Denoising, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents of x and the decoded images, both differentiable."""
        decoder = replace(self._decoder, bf16=network.bf16)
        z = EmbeddingNetwork(network, self._time)(x)
        return z, ddim.sample(decoder.eps, z, decoder.schedule, self._times)

    @torch.inference_mode()
    def preview(
        self, averaged: Denoising, held_out: torch.Tensor, folder: Path, step: int, count: int
    ) -> dict[str, Any]:
        """Save held-out images above their reconstructions; return the error and latent size."""
        if not len(held_out):
            return {}
        x = (held_out[:MEASURED].float() / 127.5 - 1).to(averaged.device)
        pairs = [self._reconstruct(averaged, part) for part in x.split(CHUNK)]
        z, decoded = (torch.cat(values).cpu() for values in zip(*pairs, strict=True))
        image, decoded = (x.cpu() + 1) / 2, ((decoded + 1) / 2).clamp(0, 1)
        shown = max(1, count // 4)
        save_pairs(image[:shown], decoded[:shown], folder / f"reconstructions-{step:07d}.png")
        size = z.square().mean(dim=(1, 2, 3)).sqrt().mean()
        return {
            "reconstruction_mse": round(float((decoded - image).square().mean()), 6),
            "latent_size": round(float(size), 4),
        }

    def card(
        self, config: TrainingConfig, data: str, split: Split, log: Sequence[Mapping[str, Any]]
    ) -> str:
        """The README.md of the embedding network."""
        last = log[-1]
        return CARD.format(
            model=self._content[:16],
            ddim_steps=self._steps,
            data=data,
            mse=last.get("reconstruction_mse", "not measured"),
            size=last.get("latent_size", "not measured"),
            curve=curve(log, ("reconstruction_mse", "latent_size")),
            **run_facts(config, split, last),
        )

    def extra_files(self) -> dict[str, dict[str, Any]]:
        """The settings that `EmbeddingNetwork.load` needs besides the weights."""
        settings = {"model": self._content, "time": self._time, "steps": self._steps}
        return {SETTINGS: settings}


def scaled_error(error: torch.Tensor) -> torch.Tensor:
    """The mean square of an error (N, C, H, W), averaged over scales k of `SCALES`.

        error_k = k * (k x k block means of the error)

    White noise has the same size at each scale. Most dimensions of a latent are fine structure of
    little visible effect. Without scales, these would outweigh the coarse structure.
    """
    means = [k * avg_pool2d(error, k) for k in SCALES]
    return torch.stack([mean.square().mean() for mean in means]).mean()
