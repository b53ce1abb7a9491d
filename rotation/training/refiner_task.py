"""Training task of the refiner: from a returned photograph to the photograph itself.

The network learns to tell the photograph from a noisy one and its guides. Pixels that the turn hid
count `HIDDEN_WEIGHT` times as much as others. Noise beyond `MOST_NOISE` of the schedule is not
trained, since sampling starts from a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rotation.diffusion.denoising import Denoising, build_denoising, load_files
from rotation.diffusion.model_folder import ModelFiles, count_planes, open_folder
from rotation.diffusion.refiner import MOST_NOISE, PLANES, Refiner, begin_refiner, stack_guides
from rotation.diffusion.scheduler_check import prediction_type
from rotation.diffusion.unet import block_side
from rotation.errors import ModelError
from rotation.geometry.return_trip import MAX_SOURCE_YAW_DEG
from rotation.training.config import TrainingConfig
from rotation.training.images import Split
from rotation.training.losses import power_table
from rotation.training.model_card import curve, run_facts
from rotation.training.previews import save_sheet
from rotation.training.return_pairs import MOST_DEG
from rotation.training.tasks import rounded

HIDDEN_WEIGHT = 10.0
MEASURED = 32  # held-out pairs that are refined for the metrics
HELD_OUT_SEED = 20_231_007

CARD = """# Refiner: draws what a turn of the head could not show

A diffusion network (`UNet2DModel`, diffusers format, half precision) of {size}x{size} images that
takes {planes} planes: a noisy image, the damaged image, which of its pixels are known, and the yaw.
Trained with Sidelight's `manage.py rotation train-refiner`.

- **Data**: {data}; {train} pairs to train on, {held_out} held out (no person on both sides), each
  also mirrored. A pair is a photograph, and the same after its head was turned forth and back.
- **Start**: {start}.
- **Network**: predicts {prediction}, images as {patch}x{patch} blocks stacked as channels,
  widths {width}.
- **Training**: {steps} updates of {batch} pairs in {minutes} minutes; AdamW, peak learning rate
  {rate}, falling to zero from {decay:.0%} of the budget on; weights averaged with decay {ema}.
- **Held out**: mean squared error of what a turn hid, in [0, 1]: {returned} as geometry returns it,
  {refined} as drawn by the refiner; loss {loss} (fixed noise and times).
- **Limits**: heads turned by up to {yaw:.0f} degrees, hidden parts of turns by up to {turn:.0f}.
  It draws what is likely, not what was there.

## Settings

```json
{settings}
```

## Curve

| step | minutes | training loss | held-out loss | error of hidden parts |
|---|---|---|---|---|
{curve}
"""


class RefinerTask:
    """Trains a refiner; images are pairs of `rotation.training.return_pairs`."""

    name = "refiner"
    planes = PLANES

    def adopt(self, config: TrainingConfig) -> TrainingConfig:
        """The settings with the layers of `init`, a diffusion model or a refiner.

        Raises:
            ModelError: blocks of the refiner are no multiple of those of the diffusion model, or
                the refiner to start from has images of another size.
        """
        if config.init is None:
            return config
        files = _open_start(config.init)
        network, old = files.network, block_side(files.network)
        side, size = int(network["sample_size"]), config.image_size
        patch = size // side
        if _is_refiner(files) and patch * side != old * side:
            raise ModelError(
                f"The refiner to start from has images of {side * old} pixels, not {size}. Leave "
                f"--size at {side * old}, or start from a diffusion model."
            )
        if patch % old or patch * side != size:
            raise ModelError(
                f"A refiner that starts from a model of {side * old} pixels has a multiple of "
                f"them, not {size}."
            )
        predicts = prediction_type(files.scheduler_config, files.scheduler)
        return replace(
            config,
            patch=patch,
            width=tuple(network["block_out_channels"]),
            layers=int(network["layers_per_block"]),
            prediction=predicts if _is_refiner(files) else config.prediction,
        )

    def start(self, config: TrainingConfig) -> Denoising:
        """The network at the start: random, that of a refiner, or as `begin_refiner` makes it."""
        network, scheduler = config.unet_config(), config.scheduler_config()
        network["in_channels"] = PLANES * config.patch**2
        if config.init is None:
            return build_denoising(network, scheduler)
        files = _open_start(config.init)
        if _is_refiner(files):
            return load_files(files)
        network = {**files.network, **{k: network[k] for k in ("in_channels", "out_channels")}}
        return begin_refiner(load_files(files), network, scheduler)

    def loss(
        self, live: Denoising, images: torch.Tensor, generator: torch.Generator, share: float
    ) -> torch.Tensor:
        """The weighted squared error of a prediction; half of the pairs are mirrored."""
        mirrored = torch.rand(len(images), generator=generator) < 0.5
        return self._loss(live, _mirror(images, mirrored), generator)

    def _loss(
        self, live: Denoising, images: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        truth, guides, known = (part.to(live.device) for part in split_pairs(images))
        count = len(images)
        spread = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        times = (spread * MOST_NOISE * len(live.schedule)).long()
        noise = torch.randn(truth.shape, generator=generator).to(live.device)
        powers = power_table(live.schedule, live.device)
        signal, sigma = powers[:, times, None, None, None]
        noisy = signal * truth + sigma * noise
        output = live.predict(torch.cat([noisy, guides], dim=1), times.to(live.device))
        weight = 1 + (HIDDEN_WEIGHT - 1) * (1 - known)
        targets = {
            "epsilon": noise,
            "sample": truth,
            "v_prediction": signal * noise - sigma * truth,
        }
        error = (output - targets[live.prediction]).square()
        return (weight * error).mean() / weight.mean()

    @torch.inference_mode()
    def preview(
        self, averaged: Denoising, held_out: torch.Tensor, folder: Path, step: int, count: int
    ) -> dict[str, Any]:
        """Save photographs, returned and refined, one below the other; return the errors."""
        if not len(held_out):
            return {}
        pairs = held_out[:MEASURED]
        planes = pairs.float() / 255
        truth, returned, known = planes[:, :3], planes[:, 3:6], planes[:, 6:7]
        refined = Refiner(averaged).draw(returned, known, read_yaws(pairs))
        shown = [x[: max(4, count // 4)] for x in (truth, returned, refined)]
        columns = min(8, len(shown[0]))
        rows = zip(*(x.split(columns) for x in shown), strict=True)
        whole = [torch.cat(row) for row in rows if len(row[0]) == columns]
        save_sheet(torch.cat(whole), folder / f"refined-{step:07d}.png", columns)
        before, after = (
            float(((1 - known) * (x - truth).square()).mean() / (1 - known).mean())
            for x in (returned, refined)
        )
        generator = torch.Generator().manual_seed(HELD_OUT_SEED)
        losses = [float(self._loss(averaged, part, generator)) for part in pairs.split(16)]
        return {
            "held_out_loss": rounded(sum(losses) / len(losses)),
            "returned_mse": rounded(before),
            "hidden_mse": rounded(after),
        }

    def card(
        self, config: TrainingConfig, data: str, split: Split, log: Sequence[Mapping[str, Any]]
    ) -> str:
        """The README.md of the refiner."""
        last = log[-1]
        return CARD.format(
            size=config.image_size,
            planes=PLANES,
            yaw=MAX_SOURCE_YAW_DEG,
            turn=MOST_DEG,
            data=data,
            returned=last.get("returned_mse", "not measured"),
            refined=last.get("hidden_mse", "not measured"),
            loss=last.get("held_out_loss", "not measured"),
            curve=curve(log, ("held_out_loss", "hidden_mse")),
            **run_facts(config, split, last),
        )

    def extra_files(self) -> dict[str, dict[str, Any]]:
        """No further files."""
        return {}


def _open_start(init: str) -> ModelFiles:
    """The files of the model to start from: a diffusion model or a refiner."""
    folder = Path(init)
    return open_folder(folder, planes=PLANES if count_planes(folder) == PLANES else 3)


def _is_refiner(files: ModelFiles) -> bool:
    return int(files.network["in_channels"]) != int(files.network["out_channels"])


def split_pairs(pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Photographs (N, 3, S, S) in [-1, 1], guides (N, 5, S, S), and what is known (N, 1, S, S).

    Parameters:
        pairs: (N, 8, S, S), uint8, of `rotation.training.return_pairs`.
    """
    planes = pairs.float() / 255
    known = planes[:, 6:7]
    guides = stack_guides(planes[:, 3:6], known, read_yaws(pairs))
    return planes[:, :3] * 2 - 1, guides, known


def read_yaws(pairs: torch.Tensor) -> torch.Tensor:
    """The yaws (N,) of the heads in pairs (N, 8, S, S), in degrees."""
    return (pairs[:, 7, 0, 0].float() / 255 - 0.5) * 180


def _mirror(pairs: torch.Tensor, mirrored: torch.Tensor) -> torch.Tensor:
    """Pairs (N, 8, S, S), uint8, of which some are mirrored: the pictures and the yaw."""
    other = pairs.flip(-1)
    other[:, 7] = 255 - other[:, 7]
    return torch.where(mirrored[:, None, None, None], other, pairs)
