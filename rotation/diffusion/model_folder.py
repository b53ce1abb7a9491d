"""A model folder in the format of diffusers: its files, its checksums and its content hash.

This is the one door to a model folder: `--model`, `HeadRotationPipeline` and training all come
through `open_folder`. It looks at names, configs and sizes, and reads no weights.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotation.diffusion.config_check import check_network, check_pipeline
from rotation.diffusion.config_kinds import show, show_name
from rotation.diffusion.families import explain, is_latent
from rotation.diffusion.schedule import NoiseSchedule
from rotation.diffusion.scheduler_check import check_times
from rotation.diffusion.weight_files import find_weights, refuse_pointer
from rotation.errors import ModelError
from rotation.reading import open_regular, read_bytes, read_json

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
CARD = "README.md"

MAX_CONFIG_BYTES = 16 << 20
"""A config has some kilobytes, with trained betas some megabytes."""


@dataclass(frozen=True)
class ModelFiles:
    """What a model folder holds, checked.

    Attributes:
        folder: the model folder.
        network_config, scheduler_config: the files of the configs.
        weights: the files of weights: one, or shards sorted by name.
        network, scheduler: the configs as the engine reads them.
    """

    folder: Path
    network_config: Path
    scheduler_config: Path
    weights: tuple[Path, ...]
    network: dict[str, Any]
    scheduler: dict[str, Any]

    def content_hash(self) -> str:
        """SHA-256 over the configs and weights; the folder's name does not matter.

        Raises:
            ModelError: a file cannot be read.
        """
        digest = hashlib.sha256()
        for path in (self.network_config, self.scheduler_config, *self.weights):
            digest.update(_sha256(path).digest())
        return digest.hexdigest()

    def verify_checksums(self) -> None:
        """Compare the folder's files with its SHA256SUMS, if it has one.

        Raises:
            ModelError: a file differs or is missing; the message names it.
        """
        for wanted, name in _listed_checksums(self.folder / CHECKSUMS):
            file = self.folder / name
            if not os.path.isfile(file):
                raise ModelError(f"{self.folder}: {name} is missing; copy the model again.")
            if _sha256(file).hexdigest() != wanted:
                raise ModelError(
                    f"{self.folder}: {name} is damaged (its checksum differs); copy it again."
                )


def find_model(model: Path | str | None = None) -> Path:
    """The folder of a model, given as a folder or the name of a bundled model; None is `DEFAULT`.

    Raises:
        ModelError: there is no such model; the message lists the bundled ones.
    """
    if model is None:
        return MODELS / DEFAULT
    if os.path.isdir(model):
        return Path(model)
    bundled = sorted(path.name for path in MODELS.iterdir() if path.is_dir())
    if str(model) in bundled:
        return MODELS / model
    raise ModelError(
        f"{model} is no model folder, nor a bundled model ({', '.join(bundled)}). There is no such "
        "folder; a model of a web site is downloaded into one first."
    )


def write_checksums(folder: Path) -> None:
    """Write the checksums of a folder's files, without the card, which may be edited.

    Their lines are in the format of `sha256sum`.
    """
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{_sha256(folder / name).hexdigest()}  {name.as_posix()}\n"
        for name in names
        if name.name != CARD and name != CHECKSUMS
    ]
    (folder / CHECKSUMS).write_text("".join(lines), "utf-8")


def open_folder(folder: Path, variant: str | None = None, planes: int = 3) -> ModelFiles:
    """Find and check the configs and weights of a model folder, before anything is built.

    Parts lie in `unet/` and `scheduler/`, or in the folder itself, as in the first models of
    diffusers.

    Parameters:
        variant: of the weights, such as `fp16`; None: see `find_weights`.
        planes: how many planes the network takes: 3, or those of a refiner.

    Raises:
        ModelError: a file is missing, a config has a value that the engine cannot use, or the
            model is of another family. The message names file, key and value.
    """
    if os.path.isfile(folder / PIPELINE_INDEX):
        check_pipeline(folder / PIPELINE_INDEX, _read_config(folder / PIPELINE_INDEX))
    network_path = _find_config(folder, UNET_CONFIG)
    network = check_network(network_path, _read_config(network_path), planes)
    _refuse_latent(folder)
    scheduler_path = _find_config(folder, SCHEDULER_CONFIG)
    scheduler = _read_config(scheduler_path)
    NoiseSchedule.from_config(scheduler, scheduler_path)
    check_times(network_path, network, scheduler)
    weights = find_weights(network_path.parent, variant)
    return ModelFiles(folder, network_path, scheduler_path, weights, network, scheduler)


def count_planes(folder: Path) -> int:
    """How many planes the network of a model folder takes: 3, or those of a refiner.

    Raises:
        ModelError: the folder has no network, or its config has no such numbers.
    """
    path = _find_config(folder, UNET_CONFIG)
    network = _read_config(path)
    taken, given = network.get("in_channels"), network.get("out_channels")
    if not (isinstance(taken, int) and isinstance(given, int) and given > 0):
        raise ModelError(f"{path} needs in_channels and out_channels, whole numbers above 0.")
    return 3 * taken // given


def content_hash(folder: Path, variant: str | None = None) -> str:
    """See `ModelFiles.content_hash`; raises as `open_folder`."""
    return open_folder(folder, variant).content_hash()


def _find_config(folder: Path, name: Path) -> Path:
    """The config of a part: in its own folder, or in the model folder itself."""
    for path in (folder / name, folder / name.name):
        if os.path.isfile(path):
            return path
    hint = "".join(_hints(folder, name))
    raise ModelError(
        f"{folder} is no model folder: it has no {name.as_posix()}, nor {name.name} beside it."
        f"{hint}"
    )


def _hints(folder: Path, missing: Path) -> Iterator[str]:
    """What lies in a folder where a config is missing, and what to do; sentences."""
    if missing == SCHEDULER_CONFIG and os.path.isfile(folder.parent / SCHEDULER_CONFIG):
        yield f" It is a part of a model: give {folder.parent}."
    for path in _subfolders(folder):
        if missing == UNET_CONFIG and path.name == "snapshots":
            yield " It is a download cache: give a folder in snapshots/."
        elif missing == UNET_CONFIG and os.path.isfile(path / UNET_CONFIG):
            yield f" {show_name(path.name)}/ is one."
        elif missing == UNET_CONFIG and os.path.isfile(path / "config.json"):
            kind = _class_of(path / "config.json")
            if kind == "UNet2DModel":
                yield f" {show_name(path.name)}/ has averaged or other weights: rename it to unet."
            else:
                yield f" {show_name(path.name)}/ is a {show_name(kind)}: {explain(kind)}"


def _refuse_latent(folder: Path) -> None:
    """Refuse a network beside which lies a decoder: what it draws are codes, not pixels."""
    for path in _subfolders(folder):
        kind = _class_of(path / "config.json")
        if is_latent(kind):
            raise ModelError(
                f"{folder}: {show_name(path.name)}/ is a {show_name(kind)}; {explain(kind)}"
            )


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if os.path.isdir(path))[:_MOST_FOLDERS]
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {error.strerror}.") from None


def _class_of(path: Path) -> object:
    """The class that a config names; None if it names none or cannot be read."""
    try:
        return _read_config(path).get("_class_name") if os.path.isfile(path) else None
    except ModelError:
        return None


def _listed_checksums(listing: Path) -> Iterator[tuple[str, str]]:
    """The checksums and names of a SHA256SUMS; nothing if there is none."""
    if not os.path.isfile(listing):
        return
    try:
        lines = read_bytes(listing, MAX_CONFIG_BYTES).decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ModelError(f"{listing} cannot be read: {error}") from None
    for line in filter(None, lines):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if match is None or Path(match[2]).is_absolute() or ".." in Path(match[2]).parts:
            raise ModelError(
                f"{listing} has the line {show(line)}; each line is a checksum and the name of a "
                "file of this folder, as sha256sum writes them."
            )
        yield match[1], match[2]


def _sha256(path: Path) -> Any:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from None


def _read_config(path: Path) -> dict[str, Any]:
    refuse_pointer(path)
    try:
        config = read_json(path, MAX_CONFIG_BYTES)
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no object.")
    return config


_MOST_FOLDERS = 100
