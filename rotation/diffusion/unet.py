"""The U-Net of diffusers: imported quickly, built from a config.

This module and `rotation.diffusers_pipeline` are the only ones that import diffusers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module, metadata
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

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
    for module in unet.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor())
    return unet


def block_side(config: Any) -> int:
    """r of a network that gives 3 r^2 channels, which `config_check.check_network` has checked."""
    return math.isqrt(int(config["out_channels"]) // 3)
