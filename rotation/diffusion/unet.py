"""The U-Net: built from a config of diffusers, filled with weights."""

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
    """The module of diffusers' `UNet2DModel`, without the rest of diffusers.

    This is a hack that brings the imports from 9 seconds to 1. `from diffusers import UNet2DModel`
    loads every network there is, and with them torch's compiler (`torch._dynamo`, sympy) and
    transformers where it is installed. The file that is wanted needs none of them. While it is
    imported, its packages stand in `sys.modules` as bare folders and the two libraries as absent,
    which diffusers allows for. Afterwards all is as before, so later imports get all of diffusers.
    """
    if UNET in sys.modules:
        return sys.modules[UNET]
    with _replaced({"torch._dynamo": None}):
        models = import_module("diffusers.models")  # asks what is installed, so hide no more yet
        bare = {name: _bare_package(name, Path(models.__path__[0])) for name in PACKAGES}
        with _replaced({"transformers": None, **bare}):
            return import_module(UNET)


@contextmanager
def _replaced(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """Let other modules stand under these names (None: nothing) unless theirs are loaded."""
    added = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(added)  # type: ignore[arg-type]  # None is how an import is refused
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


def _bare_package(name: str, parent: Path) -> ModuleType:
    """A package whose files can be imported, without its `__init__` being run."""
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(parent / name.rpartition(".")[2])]
    return module_from_spec(spec)


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
