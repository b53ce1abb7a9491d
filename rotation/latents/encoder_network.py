"""The embedding network: an image to its latent by one evaluation of a network.

A. Asperti, D. Evangelista, S. Marro, F. Merizzi, *Image embedding for denoising generative models*,
arXiv 2301.07485: a U-Net that takes no time, trained so that the sampler's ten steps from its
output give the image back. Ours has the make of a diffusion network and begins as a copy of one,
the model's own or a smaller, that is always asked at one time: eps(x, t) there is already the
first guess of inversion, so training only has to mend it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rotation.diffusion.devices import choose_device
from rotation.diffusion.latent_model import Denoising, load_denoising
from rotation.diffusion.model_folder import content_hash, find_model
from rotation.errors import ModelError

FOLDER = "embedding"
SETTINGS = "embedding.json"


@dataclass(frozen=True)
class EmbeddingNetwork:
    """A network read as an embedding: z = eps(x, time), the time fixed for good.

    `content` is the SHA-256 of its weights and configs, `steps` the sampler's steps it was
    trained through.
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
        """The embedding network of a model folder (its `embedding/`); None: of the bundled model.

        Raises `ModelError` where the model has none, or one trained for other weights.
        """
        home = find_model(model)
        folder = home / FOLDER
        if not (folder / SETTINGS).is_file():
            raise ModelError(
                f"{home} has no embedding network ({FOLDER}/{SETTINGS}); train one with "
                "`rotation train-embedding`, or embed by inversion."
            )
        settings = _settings(folder / SETTINGS)
        wanted = content_hash(home)
        if settings["model"] != wanted:
            raise ModelError(f"{folder} was trained for other weights than those of {home}.")
        denoising = load_denoising(folder, choose_device(device), bf16)
        if not 0 <= settings["time"] < len(denoising.schedule):
            raise ModelError(f"{folder / SETTINGS}: there is no time {settings['time']}.")
        return cls(denoising, settings["time"], settings["steps"], content_hash(folder))


def _settings(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
        return {k: kind(values[k]) for k, kind in (("model", str), ("time", int), ("steps", int))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error!r}") from error
