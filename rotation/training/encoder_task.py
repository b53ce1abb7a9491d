"""Teaching the embedding network: first the smooth latents, then through the sampler's steps.

1. For the first `FIRST_SHARE` of the budget, regression on what `ddim.invert_smoothed` finds in ten
   evaluations: a latent is found once an image and kept, and an update then costs three
   evaluations an image. Smooth latents are a tame function of the picture, which exact ones,
   next to white noise, are not.
2. Then the loss of arXiv 2301.07485: mean |x - decode(network(x))| on the data, the diffusion
   model frozen. An error of the latent counts as much as it is seen. An update costs about 23
   evaluations, and begun with an untrained embedding it hardly moved in the first minutes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import avg_pool2d

from rotation.diffusion import ddim
from rotation.diffusion.devices import choose_device
from rotation.diffusion.latent_model import Denoising, load_denoising
from rotation.diffusion.model_folder import content_hash, find_model
from rotation.diffusion.schedule import timesteps
from rotation.errors import ModelError
from rotation.latents.encoder_network import SETTINGS, EmbeddingNetwork
from rotation.latents.encoders import SMOOTHED_TIME_SHARE
from rotation.training.config import TrainingConfig
from rotation.training.images import Split
from rotation.training.model_card import curve
from rotation.training.previews import save_pairs

TIME_SHARE = 0.127
"""Where in the schedule the network is asked. Untrained, at 10 steps on rendered heads, the
images came back with an error (MSE) of 0.069 at 0.02, 0.044 at 0.127, 0.050 at 0.233."""

FIRST_SHARE = 0.75
SCALES = (1, 2, 4, 8)
MEASURED = 64  # held-out images of the figures
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


class EmbeddingTask:
    """Trains an embedding network for the diffusion model in `folder` (None: the bundled one)."""

    name = "embedding"

    def __init__(self, folder: Path | None, steps: int = 10, device: str = "auto") -> None:
        path = find_model(folder)
        self._decoder = load_denoising(path, choose_device(device))
        self._times = timesteps(len(self._decoder.schedule), steps)
        self._steps, self._content = steps, content_hash(path)
        self._time = round(TIME_SHARE * len(self._decoder.schedule))
        self._known: dict[bytes, torch.Tensor] = {}

    def check_start(self, config: TrainingConfig) -> None:
        """Raises `ModelError` where the network begun with is of another size than the model."""
        wanted = self._decoder.image_size
        if config.image_size != wanted:
            raise ModelError(
                f"The network to start from takes images of {config.image_size} pixels, the model "
                f"of {wanted}: choose another --init."
            )

    def loss(
        self, live: Denoising, images: torch.Tensor, generator: torch.Generator, share: float
    ) -> torch.Tensor:
        """The loss of the stage that the run is in; images are mirrored with probability 1/2."""
        mirrored = (torch.rand(len(images), generator=generator) < 0.5)[:, None, None, None]
        x = images.float() / 127.5 - 1
        x = torch.where(mirrored, x.flip(-1), x).to(live.device)
        if share < FIRST_SHARE:
            z = self._smooth(images, live.bf16)
            z = torch.where(mirrored, z.flip(-1), z).to(live.device)
            return scaled_error(EmbeddingNetwork(live, self._time)(x) - z)
        return (self._again(live, x)[1] - x).abs().mean()

    @torch.no_grad()
    def _smooth(self, images: torch.Tensor, bf16: bool) -> torch.Tensor:
        """Smooth latents of images uint8 (N, 3, S, S); each is found once and kept in float16."""
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

    def _again(self, network: Denoising, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of x and the images they decode to, differentiable."""
        decoder = replace(self._decoder, bf16=network.bf16)
        z = EmbeddingNetwork(network, self._time)(x)
        return z, ddim.sample(decoder.eps, z, decoder.schedule, self._times)

    @torch.inference_mode()
    def preview(
        self, averaged: Denoising, held_out: torch.Tensor, folder: Path, step: int, count: int
    ) -> dict[str, Any]:
        """Held-out images over what the network makes of them; their error, size of latents."""
        if not len(held_out):
            return {}
        x = (held_out[:MEASURED].float() / 127.5 - 1).to(averaged.device)
        pairs = [self._again(averaged, part) for part in x.split(CHUNK)]
        z, again = (torch.cat(values).cpu() for values in zip(*pairs, strict=True))
        image, again = (x.cpu() + 1) / 2, ((again + 1) / 2).clamp(0, 1)
        shown = max(1, count // 4)
        save_pairs(image[:shown], again[:shown], folder / f"reconstructions-{step:07d}.png")
        size = z.square().mean(dim=(1, 2, 3)).sqrt().mean()
        return {
            "reconstruction_mse": round(float((again - image).square().mean()), 6),
            "latent_size": round(float(size), 4),
        }

    def card(
        self, config: TrainingConfig, data: str, split: Split, log: Sequence[Mapping[str, Any]]
    ) -> str:
        """The README.md of the embedding network."""
        last = log[-1]
        settings = config.to_dict() | {"device": "auto", "init": None}
        return CARD.format(
            model=self._content[:16],
            ddim_steps=self._steps,
            data=data,
            train=len(split.train),
            held_out=len(split.held_out),
            steps=last["step"],
            batch=config.batch_size,
            minutes=round(last["minutes"]),
            rate=config.learning_rate,
            decay=config.decay_from,
            ema=config.ema,
            mse=last.get("reconstruction_mse", "not measured"),
            size=last.get("latent_size", "not measured"),
            settings=json.dumps(settings, indent=2),
            curve=curve(log, ("reconstruction_mse", "latent_size")),
        )

    def extra_files(self) -> dict[str, dict[str, Any]]:
        """What `EmbeddingNetwork.load` must know besides the weights."""
        settings = {"model": self._content, "time": self._time, "steps": self._steps}
        return {SETTINGS: settings}


def scaled_error(error: torch.Tensor) -> torch.Tensor:
    """Mean square of an error (N, C, H, W), averaged over scales of it: k times its k x k means.

    White noise counts alike at each scale. Most directions of a latent are fine structure that
    hardly shows; the coarse ones, which make the picture, would drown in them.
    """
    means = [k * avg_pool2d(error, k) for k in SCALES]
    return torch.stack([mean.square().mean() for mean in means]).mean()
