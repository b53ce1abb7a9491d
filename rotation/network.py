"""The U-Net itself: built from a config, filled with weights. Besides `diffusers_pipeline`, this is
the only module that imports diffusers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rotation.errors import ModelError
from rotation.lean_import import import_unet

UNet2DModel: Any = import_unet().UNet2DModel  # diffusers leaves its classes half untyped
DIFFUSERS_VERSION: str = metadata.version("diffusers")


def build_unet(config: dict[str, Any]) -> Any:
    """A network with fresh weights from a diffusers config; `ModelError` where it has none.

    Attention is computed by plain matrix products: at 8x8 that is a tenth quicker to train on
    CPUs than the fused kernel, and on GPUs the difference cannot be seen.
    """
    from diffusers.models.attention_processor import Attention, AttnProcessor

    try:
        unet = UNet2DModel.from_config(config)
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise ModelError(f"The network's config cannot be built: {error}") from error
    block_side(unet.config)
    for module in unet.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())
    return unet


def block_side(config: Any) -> int:
    """r of a network with 3 r^2 channels in and out; `ModelError` for any other number."""
    channels = int(config["in_channels"])
    side = math.isqrt(channels // 3)
    if channels != int(config["out_channels"]) or side < 1 or 3 * side * side != channels:
        raise ModelError(
            f"The network has {channels} channels in and {config['out_channels']} out; "
            "both must be 3 (RGB) or 3 r^2 (r x r blocks: 12, 27, 48)."
        )
    return side


def load_weights(unet: torch.nn.Module, paths: Sequence[Path]) -> None:
    """Fill a network from its safetensors files; `ModelError` where they do not fit together."""
    weights: dict[str, torch.Tensor] = {}
    for path in paths:
        if not path.is_file():
            raise ModelError(f"{path} is missing. Only safetensors are read, never pickles (.bin).")
        try:
            weights |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is no readable safetensors file: {error}") from error
    try:
        unet.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{paths[0]} does not fit unet/config.json: {reason}") from error
