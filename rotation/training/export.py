"""Write a network as a model folder: diffusers' own layout, half precision, with checksums."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import __version__ as diffusers_version
from safetensors.torch import save_file

from rotation.unet import CHECKSUMS, SCHEDULER_CONFIG, UNET_CONFIG, UNET_WEIGHTS

CARD = "README.md"


def export_model(
    folder: Path, unet: torch.nn.Module, configs: tuple[dict[str, Any], dict[str, Any]], card: str
) -> Path:
    """Write `unet` with its (unet, scheduler) configs and model card as a model folder.

    Weights go out in half precision. A folder of three channels is also one that diffusers'
    `DDIMPipeline.from_pretrained` opens. The folder appears whole or not at all.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    unet_config, scheduler_config = configs
    _write_json(partial / UNET_CONFIG, unet_config)
    _write_json(partial / SCHEDULER_CONFIG, scheduler_config)
    if unet_config["in_channels"] == 3:
        _write_json(partial / "model_index.json", _pipeline_index())
    half = {key: value.cpu().half().contiguous() for key, value in unet.state_dict().items()}
    save_file(half, partial / UNET_WEIGHTS, metadata={"format": "pt"})
    (partial / CARD).write_text(card, "utf-8")
    (partial / CHECKSUMS).write_text(_checksums(partial), "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def _pipeline_index() -> dict[str, Any]:
    return {
        "_class_name": "DDIMPipeline",
        "_diffusers_version": diffusers_version,
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _checksums(folder: Path) -> str:
    """Lines as `sha256sum` writes and checks them; the card may be edited and is left out."""
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name.as_posix()}\n"
        for name in names
        if name.name != CARD
    )
