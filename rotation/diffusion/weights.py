"""Fill a network with the weights of safetensors files, as float32.

Names, shapes and types are compared with the network before any number is read. So a file that does
not fit costs neither time nor memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from rotation.diffusion.config_kinds import listed
from rotation.diffusion.weight_files import refuse_pointer
from rotation.errors import ModelError

_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
# The names of attention before diffusers joined its classes for it.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def load_weights(unet: torch.nn.Module, paths: Sequence[Path], config: Path) -> None:
    """Give a network the weights of safetensors files, as float32.

    Parameters:
        unet: may have been built on torch's device `meta`. Then it has no memory before.
        paths: one file, or shards.
        config: the network's config, for messages.

    Raises:
        ModelError: a file is missing or damaged, holds numbers that are not finite, or does not
            fit the network.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(_open(path)) for path in paths]
        places = _places(files, paths)
        _check_fit(unet, files, places, paths, config)
        weights = {}
        for name, (number, stored) in places.items():
            # A copy, because a tensor of the file changes or vanishes with the file.
            weights[name] = files[number].get_tensor(stored).to(torch.float32, copy=True)
    _refuse_infinite(weights, {name: paths[number] for name, (number, _) in places.items()})
    unet.load_state_dict(weights, assign=True)


def _open(path: Path) -> Any:
    refuse_pointer(path)
    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is no readable safetensors file: {error}. It is damaged or not complete; copy "
            "it again."
        ) from None


def _places(files: Sequence[Any], paths: Sequence[Path]) -> dict[str, tuple[int, str]]:
    """Where each weight lies, by its present name: the number of the file, and its name there."""
    places: dict[str, tuple[int, str]] = {}
    for number, file in enumerate(files):
        for stored in file.keys():  # noqa: SIM118 - no dictionary
            name = ".".join(_OLD_NAMES.get(part, part) for part in stored.split("."))
            if name in places:
                raise ModelError(f"{paths[number]} has {listed([name])} a second time.")
            places[name] = (number, stored)
    return places


def _check_fit(
    unet: torch.nn.Module,
    files: Sequence[Any],
    places: dict[str, tuple[int, str]],
    paths: Sequence[Path],
    config: Path,
) -> None:
    wanted = {name: list(tensor.shape) for name, tensor in unet.state_dict().items()}
    found = {name: files[number].get_slice(stored) for name, (number, stored) in places.items()}
    faults = []
    for fault, names in (
        ("missing", [name for name in wanted if name not in found]),
        ("of another network", [name for name in found if name not in wanted]),
    ):
        if names:
            faults.append(f"{len(names)} of {len(wanted)} tensors are {fault}: {listed(names)}")
    for name in sorted(wanted.keys() & found.keys()):
        given = found[name].get_shape()
        if given != wanted[name]:
            faults.append(f"{listed([name])} has the shape {given}, not {wanted[name]}")
            break
    if faults:
        raise ModelError(
            f"{paths[0]} does not fit {config.parent.name}/{config.name}: {'; '.join(faults)}. "
            "Take weights and config of the same model."
        )
    types = {tensor.get_dtype() for tensor in found.values()}
    if types - _FLOATS:
        raise ModelError(
            f"{paths[0]} holds numbers of the type {listed(sorted(types - _FLOATS))}; allowed: "
            f"{', '.join(sorted(_FLOATS))}. Quantised weights are not read; take the full ones."
        )


def _refuse_infinite(weights: dict[str, torch.Tensor], paths: dict[str, Path]) -> None:
    bad = [name for name, tensor in weights.items() if not bool(torch.isfinite(tensor).all())]
    if bad:
        raise ModelError(
            f"{paths[bad[0]]}: {len(bad)} of {len(weights)} tensors hold numbers that are not "
            f"finite (NaN or infinity): {listed(sorted(bad))}. The training diverged or the file "
            "is damaged; use an earlier checkpoint or copy the file again."
        )
