"""The settings of a training run: every number that decides its result, in one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rotation.diffusion.model_folder import open_folder
from rotation.diffusion.scheduler_check import PREDICTIONS, prediction_type
from rotation.diffusion.unet import block_side
from rotation.errors import ModelError

NORM_GROUPS = 16
"""Groups of each group normalisation."""
HEAD_CHANNELS = 32
"""Channels of an attention head; attention is at the last level."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a run. Two runs with equal settings, images and step budget give equal weights.

    Attributes:
        minutes, steps: the budget. The one used up first ends the run, and the learning rate
            reaches zero there. Only a budget of steps is exactly reproducible.
        image_size: side of the images in pixels.
        patch: side of the pixel blocks that are stacked as channels.
        width: channels per level. Each level has half the size of the one before, and the last
            level has attention.
        layers: blocks per level.
        prediction: what the network predicts: epsilon, sample or v_prediction.
        batch_size: images per update.
        learning_rate: the peak, reached after `warmup` steps. It is kept until `decay_from` (a
            share of the budget), and then falls to zero along a half cosine.
        weight_decay: of AdamW.
        ema: decay of the averaged weights, which are exported.
        seed: the seed of all random draws.
        holdout: the number of images never trained on (about, if identities are known).
        holdout_last: whether the last images are held out, instead of people drawn at random.
        device: auto, cpu, cuda, cuda:N.
        preview_minutes, checkpoint_minutes: time between previews, and between checkpoints.
        init: model folder whose weights to start from.
        sheet: samples on each sheet; a quarter as many held-out images are reconstructed.
    """

    minutes: float | None = None
    steps: int | None = None
    image_size: int = 64
    patch: int = 2
    width: tuple[int, ...] = (64, 96, 128)
    layers: int = 1
    prediction: str = "v_prediction"
    batch_size: int = 32
    learning_rate: float = 5e-4
    warmup: int = 200
    decay_from: float = 0.5
    weight_decay: float = 0.01
    ema: float = 0.998
    seed: int = 0
    holdout: int = 500
    holdout_last: bool = False
    device: str = "auto"
    preview_minutes: float = 5.0
    checkpoint_minutes: float = 2.0
    init: str | None = None
    sheet: int = 64

    def __post_init__(self) -> None:
        if self.minutes is None and self.steps is None:
            raise ModelError("A run needs a budget: minutes, steps or both.")
        if self.prediction not in PREDICTIONS:
            raise ModelError(f"prediction must be one of {', '.join(PREDICTIONS)}.")
        for name in (
            "image_size",
            "patch",
            "layers",
            "sheet",
            "batch_size",
            "learning_rate",
            "preview_minutes",
            "checkpoint_minutes",
        ):
            if getattr(self, name) <= 0:
                raise ModelError(f"{name} must be more than 0, not {getattr(self, name)}.")
        if self.init is None:  # else the network is that of a model folder
            self._check_widths()
        smallest = self.patch * 2 ** (len(self.width) - 1)
        if self.image_size % smallest:
            raise ModelError(f"image_size must be a multiple of {smallest} for this network.")

    def _check_widths(self) -> None:
        """Raise `ModelError` for widths that normalisation or attention cannot divide."""
        are_groups = all(channels > 0 and channels % NORM_GROUPS == 0 for channels in self.width)
        if not self.width or not are_groups or self.width[-1] < HEAD_CHANNELS:
            given = ",".join(map(str, self.width)) or "none"
            raise ModelError(
                f"Each width must be a multiple of {NORM_GROUPS}, and the last of them at least "
                f"{HEAD_CHANNELS}; not {given}. The default is 64,96,128."
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings in JSON types."""
        return asdict(self) | {"width": list(self.width)}

    def unet_config(self) -> dict[str, Any]:
        """The diffusers config of the network."""
        last = len(self.width) - 1
        down = ["AttnDownBlock2D" if i == last else "DownBlock2D" for i in range(last + 1)]
        return {
            "_class_name": "UNet2DModel",
            "sample_size": self.image_size // self.patch,
            "in_channels": 3 * self.patch**2,
            "out_channels": 3 * self.patch**2,
            "layers_per_block": self.layers,
            "block_out_channels": list(self.width),
            "down_block_types": down,
            "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
            "norm_num_groups": NORM_GROUPS,
            "attention_head_dim": HEAD_CHANNELS,
        }

    def scheduler_config(self) -> dict[str, Any]:
        """The diffusers config of the schedule: cosine, 1000 timesteps, no clipping."""
        return {
            "_class_name": "DDIMScheduler",
            "beta_schedule": "squaredcos_cap_v2",
            "num_train_timesteps": 1000,
            "prediction_type": self.prediction,
            "clip_sample": False,
            "set_alpha_to_one": True,
            "timestep_spacing": "trailing",
        }


def adopt_architecture(config: TrainingConfig) -> TrainingConfig:
    """The settings with the architecture of the model `init`; unchanged without `init`."""
    if config.init is None:
        return config
    files = open_folder(Path(config.init))
    unet, patch = files.network, block_side(files.network)
    return replace(
        config,
        image_size=int(unet["sample_size"]) * patch,
        patch=patch,
        width=tuple(unet["block_out_channels"]),
        layers=int(unet["layers_per_block"]),
        prediction=prediction_type(files.scheduler_config, files.scheduler),
    )


RESUMABLE = frozenset(
    {"minutes", "steps", "device", "preview_minutes", "checkpoint_minutes", "init", "sheet"}
)
"""Settings that may change when a run is resumed. Any other change makes it another run."""


def refuse_other_settings(now: Mapping[str, Any], saved: Mapping[str, Any], out: Path) -> None:
    """Raise `ModelError` if a checkpoint was made with other settings than `now`.

    The budget may change: the learning rate follows the new budget.
    """
    names = [name for name in now if name in saved and name not in RESUMABLE]
    other = [name for name in names if now[name] != saved[name]]
    if other:
        changed = ", ".join(f"{name} was {saved.get(name)}, is {now[name]}" for name in other)
        raise ModelError(
            f"{out} holds a run with other settings ({changed}). "
            "Give the same settings, another --out, or --no-resume to begin anew."
        )
