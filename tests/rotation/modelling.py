"""Tiny untrained models for the tests: real networks and real folders, quick to make."""

from pathlib import Path

import numpy as np
import torch

from rotation.diffusion.denoising import Denoising, build_denoising, load_denoising
from rotation.diffusion.model_folder import content_hash, open_folder
from rotation.diffusion.refiner import PLANES, begin_refiner
from rotation.latents.encoder_network import FOLDER, SETTINGS
from rotation.training.config import TrainingConfig
from rotation.training.export import export_model
from rotation.training.images import Images

SIZE = 16


def tiny_config(**settings) -> TrainingConfig:
    """Settings of a run of two small levels on 16x16 images."""
    chosen = {
        "steps": 6,
        "image_size": SIZE,
        "width": (16, 32),
        "batch_size": 4,
        "holdout": 4,
        "warmup": 2,
        "device": "cpu",
        "sheet": 4,
        **settings,
    }
    return TrainingConfig(**chosen)


def tiny_denoising(seed: int = 0, **settings) -> Denoising:
    """An untrained model; the same weights for the same seed."""
    config = tiny_config(**settings)
    torch.manual_seed(seed)
    model = build_denoising(config.unet_config(), config.scheduler_config())
    model.unet.eval().requires_grad_(False)
    return model


def tiny_folder(folder: Path, **settings) -> Path:
    """The model folder of an untrained model."""
    return export_model(folder, tiny_denoising(**settings), "A model for tests.")


def tiny_refiner(model: Path) -> Denoising:
    """An untrained refiner of twice the side of a model of two levels."""
    start, network = load_denoising(model), open_folder(model).network
    channels = {
        "in_channels": PLANES * (2 * start.patch) ** 2,
        "out_channels": 3 * (2 * start.patch) ** 2,
    }
    scheduler = {**start.scheduler, "prediction_type": "sample"}
    refiner = begin_refiner(start, {**network, **channels}, scheduler)
    refiner.unet.eval().requires_grad_(False)
    return refiner


def add_refiner(model: Path) -> Path:
    """Give a model folder an untrained refiner."""
    return export_model(model / "refiner", tiny_refiner(model), "A refiner for tests.")


def add_network(model: Path, steps: int) -> Path:
    """Give a model folder an embedding network, which is the model itself asked at time 127."""
    settings = {"model": content_hash(model), "time": 127, "steps": steps}
    return export_model(model / FOLDER, load_denoising(model), "Embeds.", {SETTINGS: settings})


def gradients(count: int, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    """Images (N, 3, S, S) in [0, 1]: smooth, each another."""
    rng = np.random.default_rng(seed)
    across = np.linspace(-1, 1, size)
    slopes = rng.uniform(-0.4, 0.4, (2, count, 3, 1, 1))
    values = 0.5 + slopes[0] * across[None, :] + slopes[1] * across[:, None]
    return torch.from_numpy(np.clip(values, 0, 1).astype(np.float32))


def training_images(count: int, size: int = SIZE) -> Images:
    """Images to train on, of as many people."""
    pixels = (gradients(count, size) * 255).round().byte()
    return Images(pixels, np.arange(count, dtype=np.int64))
