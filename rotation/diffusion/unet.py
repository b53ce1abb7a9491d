"""The U-Net of diffusers: imported quickly, built from a config, filled with weights.

This module and `rotation.diffusers_pipeline` are the only ones that import diffusers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rotation.errors import ModelError

UNET = "diffusers.models.unets.unet_2d"
PACKAGES = ("diffusers.models.unets", "diffusers.models.transformers")


def import_unet() -> ModuleType:
    """Import the module of diffusers' `UNet2DModel` without the rest of diffusers.

    This is a hack that shortens the import from 9 seconds to 1. `from diffusers import UNet2DModel`
    imports every network of diffusers, torch's compiler (`torch._dynamo`, sympy) and, if it is
    installed, transformers. The module of the U-Net needs none of them.

    During the import, `sys.modules` holds empty packages instead of the module's own ones, and the
    two libraries are marked as not installed, which diffusers allows for. Afterwards everything is
    as before, so that later imports get all of diffusers.
    """
    if UNET in sys.modules:
        return sys.modules[UNET]
    with _replaced({"torch._dynamo": None}):
        models = import_module("diffusers.models")  # checks what is installed, so hide no more yet
        bare = {name: _bare_package(name, Path(models.__path__[0])) for name in PACKAGES}
        with _replaced({"transformers": None, **bare}):
            return import_module(UNET)


@contextmanager
def _replaced(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """Replace these modules in `sys.modules` unless they are loaded; None refuses an import."""
    added = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(added)  # type: ignore[arg-type]  # None refuses an import
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


def _bare_package(name: str, parent: Path) -> ModuleType:
    """A package whose modules can be imported although its `__init__` is never run."""
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(parent / name.rpartition(".")[2])]
    return module_from_spec(spec)


UNet2DModel: Any = import_unet().UNet2DModel  # diffusers leaves its classes half untyped
_NAMED = 3
"""Tensors that a message names."""
DIFFUSERS_VERSION: str = metadata.version("diffusers")


def build_unet(config: dict[str, Any]) -> Any:
    """A network with random weights, built from a diffusers config.

    Attention uses plain matrix products. At 8 x 8 pixels a CPU trains 10 % faster with them than
    with the fused kernel; on GPUs there is no difference.

    Raises:
        ModelError: no network can be built from the config.
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
    """r of a network with 3 r^2 channels in and out; `ModelError` for another number."""
    channels = int(config["in_channels"])
    side = math.isqrt(channels // 3)
    if channels != int(config["out_channels"]) or side < 1 or 3 * side * side != channels:
        raise ModelError(
            f"The network has {channels} channels in and {config['out_channels']} out; "
            "both must be 3 (RGB) or 3 r^2 (r x r blocks: 12, 27, 48)."
        )
    return side


def load_weights(unet: torch.nn.Module, paths: Sequence[Path]) -> None:
    """Give a network the weights of safetensors files, as float32.

    Parameters:
        unet: may have been built on torch's device `meta`. Then it has no memory before.

    Raises:
        ModelError: a file is missing or damaged, holds numbers that are not finite, or does not
            fit the network.
    """
    weights: dict[str, torch.Tensor] = {}
    for path in paths:
        if not path.is_file():
            raise ModelError(f"{path} is missing. Only safetensors are read, never pickles (.bin).")
        try:
            found = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} is no readable safetensors file: {error}") from error
        # Copies, because a tensor of the file changes or vanishes with the file.
        copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in found.items()}
        _refuse_infinite(copies, path)
        weights |= copies
    try:
        unet.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{paths[0]} does not fit unet/config.json: {reason}") from error


def _refuse_infinite(weights: dict[str, torch.Tensor], path: Path) -> None:
    bad = [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise ModelError(
            f"{path}: {len(bad)} of {len(weights)} tensors hold numbers that are not finite (NaN "
            f"or infinity): {', '.join(bad[:_NAMED])}{more}. The training diverged or the file is "
            "damaged; use an earlier checkpoint or copy the file again."
        )
