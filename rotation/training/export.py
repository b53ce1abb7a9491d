"""Write a network as a model folder: diffusers' own layout, half precision, with checksums."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file

from rotation.diffusion.denoising import Denoising
from rotation.diffusion.model_folder import (
    CARD,
    SCHEDULER_CONFIG,
    UNET_CONFIG,
    UNET_SHARDS,
    UNET_WEIGHTS,
    write_checksums,
)
from rotation.diffusion.unet import DIFFUSERS_VERSION

SHARD_BYTES = 15_000_000
"""The largest file of weights, so that a repository needs no large file storage."""

_NOT_EXPORTED = {"_use_default_values", "_name_or_path"}


def export_model(
    folder: Path, model: Denoising, card: str, extra: Mapping[str, dict[str, Any]] | None = None
) -> Path:
    """Write a network with its configs, model card and `extra` JSON files as a model folder.

    Weights are written in half precision, in several files if one would be too large. A model of
    three channels can also be opened by diffusers' `DDIMPipeline.from_pretrained`. The folder
    appears complete or not at all.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    unet = {k: v for k, v in model.unet.config.items() if k not in _NOT_EXPORTED}
    _write_json(partial / UNET_CONFIG, unet)
    _write_json(partial / SCHEDULER_CONFIG, dict(model.scheduler))
    for name, value in (extra or {}).items():
        _write_json(partial / name, value)
    if model.patch == 1:
        _write_json(partial / "model_index.json", _pipeline_index())
    _write_weights(partial, model)
    (partial / CARD).write_text(card, "utf-8")
    write_checksums(partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def _write_weights(folder: Path, model: Denoising) -> None:
    """Write one file, or shards of at most `SHARD_BYTES` with the index that diffusers reads."""
    half = {key: value.cpu().half().contiguous() for key, value in model.unet.state_dict().items()}
    name = f"{UNET_WEIGHTS.stem}{{suffix}}{UNET_WEIGHTS.suffix}"
    split = split_torch_state_dict_into_shards(
        half, filename_pattern=name, max_shard_size=SHARD_BYTES
    )
    for file, keys in split.filename_to_tensors.items():
        path = folder / UNET_WEIGHTS.parent / file
        save_file({key: half[key] for key in keys}, path, metadata={"format": "pt"})
        path.chmod(0o644)  # safetensors makes it readable by its owner only
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        _write_json(folder / UNET_SHARDS, index)


def _pipeline_index() -> dict[str, Any]:
    return {
        "_class_name": "DDIMPipeline",
        "_diffusers_version": DIFFUSERS_VERSION,
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
