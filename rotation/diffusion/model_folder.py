"""A model folder in the format of diffusers: its files, its checksums and its content hash."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from rotation.diffusion.config_check import check_network, check_pipeline, check_scheduler
from rotation.errors import ModelError
from rotation.reading import read_bytes, read_json, read_text

MODELS = Path(__file__).parents[1] / "models"
"""The bundled models, each in a folder of its name."""

DEFAULT = "synthetic-heads-64"
"""The bundled model of synthetic heads."""

UNET_CONFIG = Path("unet/config.json")
UNET_WEIGHTS = Path("unet/diffusion_pytorch_model.safetensors")
UNET_SHARDS = Path("unet/diffusion_pytorch_model.safetensors.index.json")
"""Maps weights to files, if a model has several."""

SCHEDULER_CONFIG = Path("scheduler/scheduler_config.json")
PIPELINE_INDEX = Path("model_index.json")
"""Names the parts of a pipeline. Folders of the engine have none."""

CHECKSUMS = Path("SHA256SUMS")


def find_model(model: Path | str | None = None) -> Path:
    """The folder of a model, given as a folder or the name of a bundled model; None is `DEFAULT`.

    Raises:
        ModelError: there is no such model; the message lists the bundled ones.
    """
    if model is None:
        return MODELS / DEFAULT
    if Path(model).is_dir():
        return Path(model)
    bundled = sorted(path.name for path in MODELS.iterdir() if path.is_dir())
    if str(model) in bundled:
        return MODELS / model
    raise ModelError(f"{model} is no model folder, nor a bundled model ({', '.join(bundled)}).")


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files with the weights of a model folder: one, or several shards sorted by name.

    Raises:
        ModelError: the index of shards cannot be read, or names a file in another folder.
    """
    if not (folder / UNET_SHARDS).is_file():
        return (folder / UNET_WEIGHTS,)
    try:
        listed = read_json(folder / UNET_SHARDS)["weight_map"].values()
        names = sorted({str(name) for name in listed})
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{folder / UNET_SHARDS} cannot be read: {error!r}") from error
    outside = [name for name in names if Path(name).name != name or "\\" in name]
    if outside or not names:
        named = repr(outside[0]) if outside else "no file"
        raise ModelError(f"{folder / UNET_SHARDS} names {named}; shards lie beside it.")
    return tuple((folder / UNET_SHARDS).with_name(name) for name in names)


def read_configs(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configs of network and scheduler, checked by `config_check`.

    Raises:
        ModelError: a config is missing, or has a value that the engine cannot use. The message
            names file, key and value. Models of another family are refused by their name.
    """
    if (folder / PIPELINE_INDEX).is_file():
        check_pipeline(folder / PIPELINE_INDEX, _read_config(folder, PIPELINE_INDEX))
    network = _read_config(folder, UNET_CONFIG)
    check_network(folder / UNET_CONFIG, network)
    scheduler = _read_config(folder, SCHEDULER_CONFIG)
    check_scheduler(folder / SCHEDULER_CONFIG, scheduler)
    return network, scheduler


def verify_checksums(folder: Path) -> None:
    """Compare a folder's files with its SHA256SUMS, if it has one.

    Raises:
        ModelError: a file differs or is missing; the message names it.
    """
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return
    for line in read_text(listing).splitlines():
        wanted, _, name = line.partition("  ")
        file = folder / name
        if not file.is_file():
            raise ModelError(f"{folder}: {name} is missing; copy the model again.")
        if hashlib.sha256(read_bytes(file)).hexdigest() != wanted:
            raise ModelError(f"{folder}: {name} is damaged (its checksum differs); copy it again.")


def content_hash(folder: Path) -> str:
    """SHA-256 over the configs and weights of a model folder; its name does not matter.

    Raises:
        ModelError: a file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for path in (folder / UNET_CONFIG, folder / SCHEDULER_CONFIG, *weight_files(folder)):
        try:
            digest.update(hashlib.sha256(read_bytes(path)).digest())
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}.") from None
    return digest.hexdigest()


def _read_config(folder: Path, name: Path) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise ModelError(f"{folder} is no model folder: it has no {name.as_posix()}.")
    try:
        config = read_json(path)
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no object.")
    return config
