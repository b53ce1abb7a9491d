"""The model card: training data, settings, results and limits of a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rotation.training.config import TrainingConfig
from rotation.training.images import Split

CARD = """# {title}

A denoising diffusion model (`UNet2DModel`, diffusers format, half precision) of {size}x{size}
images, trained with Sidelight's `manage.py rotation train`.

- **Data**: {data}; {train} images to train on, {held_out} held out (no person on both sides),
  each also mirrored.
- **Start**: {start}.
- **Network**: {prediction}, images as {patch}x{patch} blocks stacked as channels, widths {width}.
- **Training**: {steps} updates of {batch} images in {minutes} minutes; AdamW, peak learning rate
  {rate}, falling to zero from {decay:.0%} of the budget on; weights averaged with decay {ema}.
- **Held out** (fixed noise and times): v-loss {loss}. Image -> latent -> image in 10 steps with 5
  corrections each, mean squared error in [0, 1]: {mse}; |z| / sqrt(d): {size_of_z}.
- **Limits**: {size}x{size} pixels; only what the data shows. It is no judge of a face's light,
  pose or person, and images far from its data come back changed.

## Settings

```json
{settings}
```

## Curve

| step | minutes | training loss | held-out v-loss | reconstruction MSE |
|---|---|---|---|---|
{curve}
"""


def model_card(
    config: TrainingConfig, data: str, split: Split, log: Sequence[Mapping[str, Any]]
) -> str:
    """The README.md of a model folder; `log` holds the lines of log.jsonl, at least one."""
    last = log[-1]
    return CARD.format(
        title=f"Diffusion model of {data}",
        size=config.image_size,
        data=data,
        loss=last.get("held_out_v_loss") or "not measured",
        mse=last.get("reconstruction_mse", "not measured"),
        size_of_z=last.get("latent_size", "not measured"),
        curve=curve(log, ("held_out_v_loss", "reconstruction_mse")),
        **run_facts(config, split, last),
    )


def run_facts(config: TrainingConfig, split: Split, last: Mapping[str, Any]) -> dict[str, Any]:
    """What the card of every training run tells; `last` is the last line of log.jsonl."""
    return {
        "train": len(split.train),
        "held_out": len(split.held_out),
        "prediction": config.prediction,
        "start": f"the weights of {Path(config.init).name}" if config.init else "random weights",
        "patch": config.patch,
        "width": ", ".join(map(str, config.width)),
        "steps": last["step"],
        "batch": config.batch_size,
        "minutes": round(last["minutes"]),
        "rate": config.learning_rate,
        "decay": config.decay_from,
        "ema": config.ema,
        "settings": json.dumps(config.to_dict() | {"device": "auto", "init": None}, indent=2),
    }


def curve(log: Sequence[Mapping[str, Any]], measures: Sequence[str]) -> str:
    """Rows of a table: step, minutes, loss and `measures` of the last line of each step."""
    keys = ("step", "minutes", "loss", *measures)
    last = {line["step"]: line for line in log}.values()
    return "\n".join(
        "| " + " | ".join(str(line.get(key) or "") for key in keys) + " |" for line in last
    )
