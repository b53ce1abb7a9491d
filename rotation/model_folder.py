"""A model folder as diffusers writes it: where its files are, and whether they are whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from rotation.errors import ModelError

UNET_CONFIG = Path("unet/config.json")
UNET_WEIGHTS = Path("unet/diffusion_pytorch_model.safetensors")
SCHEDULER_CONFIG = Path("scheduler/scheduler_config.json")
CHECKSUMS = Path("SHA256SUMS")


def read_configs(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network's and the scheduler's config of a model folder; `ModelError` without them."""
    config = _read_config(folder, UNET_CONFIG)
    kind = config.get("_class_name")
    if kind != "UNet2DModel":
        raise ModelError(f"{folder}: the network is a {kind}, not a UNet2DModel.")
    return config, _read_config(folder, SCHEDULER_CONFIG)


def verify_checksums(folder: Path) -> None:
    """Compare the files with the folder's SHA256SUMS, where there is one.

    Raises `ModelError` naming the file that differs or is missing.
    """
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return
    for line in listing.read_text("utf-8").splitlines():
        wanted, _, name = line.partition("  ")
        file = folder / name
        if not file.is_file():
            raise ModelError(f"{folder}: {name} is missing; copy the model anew.")
        if hashlib.sha256(file.read_bytes()).hexdigest() != wanted:
            raise ModelError(f"{folder}: {name} is damaged (its checksum differs); copy it anew.")


def content_hash(folder: Path) -> str:
    """SHA-256 over the configs and weights of a model folder, whatever the folder's name."""
    digest = hashlib.sha256()
    for name in (UNET_CONFIG, SCHEDULER_CONFIG, UNET_WEIGHTS):
        digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return digest.hexdigest()


def _read_config(folder: Path, name: Path) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise ModelError(f"{folder} is no model folder: it has no {name.as_posix()}.")
    try:
        config = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no object.")
    return config
