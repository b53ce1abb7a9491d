"""diffusers' U-Net without the rest of diffusers: 1 second of imports on a CPU instead of 9.

`from diffusers import UNet2DModel` runs the `__init__` of its networks' packages, which load every
network there is, and with them torch's compiler (`torch._dynamo`, sympy) and, where it happens to
be installed, transformers. The one file that is wanted needs none of them. While it is imported,
the two packages stand there as bare folders and the two libraries as absent, which diffusers allows
for; afterwards all is as before, so that whoever imports more of diffusers gets the whole of it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType

UNET = "diffusers.models.unets.unet_2d"
PACKAGES = ("diffusers.models.unets", "diffusers.models.transformers")


def import_unet() -> ModuleType:
    """The module of diffusers' `UNet2DModel`."""
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
