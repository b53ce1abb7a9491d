"""Checkpoints: one safetensors file with weights, averaged weights, optimiser and progress.

The file is replaced by one rename, so it is always complete. No random state is stored: every
random draw of a run is a function of the seed and the step number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from rotation.errors import ModelError
from rotation.reading import parse_json

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class Progress:
    """Progress of a run: steps done and seconds spent training, over all sessions."""

    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class TrainingState:
    """The state that training changes: network, averaged network, optimiser."""

    unet: torch.nn.Module
    average: torch.nn.Module
    optimizer: torch.optim.Optimizer


def save_checkpoint(
    out: Path, state: TrainingState, progress: Progress, config: Mapping[str, Any]
) -> Path:
    """Write the checkpoint of a run into `out`; it replaces the previous one atomically."""
    tensors = {f"unet.{key}": value for key, value in state.unet.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in state.average.state_dict().items()}
    for index, values in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    header = {"progress": json.dumps(asdict(progress)), "config": json.dumps(dict(config))}
    path, partial = out / CHECKPOINT, out / f"{CHECKPOINT}.partial"
    save_file(plain, partial, metadata=header)
    _flush(partial)
    os.replace(partial, path)
    return path


def read_config(out: Path) -> dict[str, Any]:
    """The settings of the run whose checkpoint is in `out`."""
    _, header = _read(out / CHECKPOINT, tensors=False)
    config: dict[str, Any] = _parse(header["config"], out)
    return config


def load_checkpoint(out: Path, state: TrainingState) -> Progress:
    """Load the checkpoint in `out` into the training state; returns its progress.

    Raises:
        ModelError: the file is damaged, or belongs to another network.
    """
    tensors, header = _read(out / CHECKPOINT)
    try:
        state.unet.load_state_dict(_under(tensors, "unet."))
        state.average.load_state_dict(_under(tensors, "average."))
    except RuntimeError as error:
        raise ModelError(f"{out / CHECKPOINT} is of another network: {error}") from error
    _load_optimizer(state.optimizer, _under(tensors, "optimizer."))
    try:
        return Progress(**_parse(header["progress"], out))
    except TypeError as error:
        raise ModelError(f"{out / CHECKPOINT}: {error}; --no-resume begins anew.") from None


def _parse(text: str, out: Path) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise ModelError(
            f"{out / CHECKPOINT}: its header is damaged ({error}); --no-resume begins anew."
        ) from None


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _read(path: Path, tensors: bool = True) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            keys = file.keys() if tensors else []
            values = {key: file.get_tensor(key) for key in keys}
            header = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read ({error}); --no-resume begins anew.") from error
    if not {"progress", "config"} <= header.keys():
        raise ModelError(f"{path} is no checkpoint of a training run.")
    return values, header


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
