"""The embedding network: it predicts the latent of an image in one evaluation.

Source: A. Asperti, D. Evangelista, S. Marro, F. Merizzi, *Image Embedding for Denoising Generative
Models*, arXiv 2301.07485. There a U-Net without a time input is trained so that the sampler's ten
steps turn its output back into the image.

Here the network has the architecture of a diffusion network and is evaluated at one fixed timestep.
It starts as a copy of a diffusion network, the model's own or a smaller one. At that timestep
eps(x, t) is already the first guess of inversion, so training only has to correct it.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rotation.diffusion.denoising import Denoising, load_denoising
from rotation.diffusion.devices import choose_device
from rotation.diffusion.model_folder import content_hash, find_model, write_checksums
from rotation.errors import ModelError
from rotation.reading import read_json

FOLDER = "embedding"
SETTINGS = "embedding.json"


@dataclass(frozen=True)
class EmbeddingNetwork:
    """A network used as an encoder: z = eps(x, time), at one fixed time.

    Attributes:
        time: the timestep at which the network is always evaluated.
        steps: the sampler's steps that it was trained through.
        content: SHA-256 of its weights and configs.
    """

    denoising: Denoising
    time: int
    steps: int = 10
    content: str = ""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Latents (N, 3, S, S), float32, of images x (N, 3, S, S) in [-1, 1]."""
        return self.denoising.eps(x, self.time)

    @classmethod
    def load(
        cls, model: Path | str | None = None, device: str = "auto", bf16: bool = False
    ) -> EmbeddingNetwork:
        """Load the embedding network from the folder `embedding/` of a model folder.

        Parameters:
            model: the model folder; None is the bundled model of synthetic heads.

        Raises:
            ModelError: the model has no embedding network, or one trained for other weights.
        """
        model_folder = find_model(model)
        folder = model_folder / FOLDER
        if not (folder / SETTINGS).is_file():
            raise ModelError(
                f"{model_folder} has no embedding network ({FOLDER}/{SETTINGS}); train one with "
                "`rotation train-embedding`, or embed by inversion."
            )
        settings = _read_settings(folder / SETTINGS)
        wanted = content_hash(model_folder)
        if settings["model"] != wanted:
            raise ModelError(
                f"{folder} was trained for other weights than those of {model_folder}."
            )
        denoising = load_denoising(folder, choose_device(device), bf16)
        if not 0 <= settings["time"] < len(denoising.schedule):
            raise ModelError(f"{folder / SETTINGS}: there is no time {settings['time']}.")
        return cls(denoising, settings["time"], settings["steps"], content_hash(folder))


def has_network(model_folder: Path, steps: int) -> bool:
    """Whether a model folder has an embedding network for its weights and a number of steps."""
    path = model_folder / FOLDER / SETTINGS
    if not path.is_file():
        return False
    settings = _read_settings(path)
    return settings["steps"] == steps and settings["model"] == content_hash(model_folder)


def copy_network(model_folder: Path, copy: Path, variant: str | None = None) -> None:
    """Copy the embedding network of a model folder, if it has one, into a copy of the model.

    The copy may hold the same weights in another precision, so the network is told its content.

    Parameters:
        variant: of the weights of the copy.
    """
    settings = model_folder / FOLDER / SETTINGS
    if not settings.is_file():
        return
    values = _read_settings(settings)
    if values["model"] != content_hash(model_folder):
        return
    shutil.copytree(model_folder / FOLDER, copy / FOLDER)
    values["model"] = content_hash(copy, variant)
    (copy / FOLDER / SETTINGS).write_text(json.dumps(values, indent=2) + "\n", "utf-8")
    write_checksums(copy / FOLDER)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path)
        return {k: kind(values[k]) for k, kind in (("model", str), ("time", int), ("steps", int))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error!r}") from error
