"""Contact sheets of samples from noise, and of reconstructed held-out images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from rotation.diffusion.latent_model import LatentModel

SAMPLE_SEED = 7
GREY = 119  # the background of all sheets


def noise(count: int, size: int, seed: int = SAMPLE_SEED) -> torch.Tensor:
    """Latents (N, 3, S, S) from N(0, 1). Latent i depends on `seed` and i alone."""
    generators = (torch.Generator().manual_seed(seed * 1_000_003 + i) for i in range(count))
    return torch.stack([torch.randn(3, size, size, generator=g) for g in generators])


def save_samples(model: LatentModel, path: Path, count: int = 64, columns: int = 8) -> None:
    """Save a sheet of `count` samples from fixed noise."""
    save_sheet(model.decode(noise(count, model.image_size)), path, min(columns, count))


@dataclass(frozen=True)
class Reconstruction:
    """Quality of encoding and decoding.

    Attributes:
        mse: mean squared error over images, pixels and channels, for values in [0, 1].
        latent_size: the mean of |z| / sqrt(d); 1 for Gaussian noise.
    """

    mse: float
    latent_size: float


def save_reconstructions(
    model: LatentModel, images: torch.Tensor, path: Path, columns: int = 8
) -> Reconstruction:
    """Save a sheet of images (N, 3, S, S) in [0, 1], each above its reconstruction."""
    z = model.encode(images)
    decoded = model.decode(z)
    save_pairs(images, decoded, path, columns)
    size = z.square().mean(dim=(1, 2, 3)).sqrt().mean()
    return Reconstruction(float((decoded - images).square().mean()), float(size))


def save_pairs(images: torch.Tensor, decoded: torch.Tensor, path: Path, columns: int = 8) -> None:
    """Save a sheet of images (N, 3, S, S) in [0, 1], each above its partner in `decoded`."""
    columns = min(columns, len(images))
    blank = torch.full((-len(images) % columns, *images.shape[1:]), GREY / 255)
    above, below = torch.cat([images, blank]), torch.cat([decoded, blank])
    pairs = zip(above.split(columns), below.split(columns), strict=True)
    save_sheet(torch.cat([torch.cat(pair) for pair in pairs]), path, columns)


def unseen_heads(count: int, size: int) -> torch.Tensor:
    """Rendered heads (N, 3, S, S) in [0, 1] of people that no model was trained on."""
    from rotation.synthetic_heads.renderer import render
    from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads

    heads = sample_heads(count, seed=1, first_identity=BENCHMARK_IDENTITY)
    return torch.from_numpy(render(heads, size)).permute(0, 3, 1, 2).float() / 255


def save_sheet(images: torch.Tensor, path: Path, columns: int, gap: int = 2) -> None:
    """Lay images (N, 3, S, S) in [0, 1] out in rows of `columns` and save them as a PNG."""
    pixels = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_sheet(pixels, columns, gap)).save(path)


def _sheet(pixels: NDArray[np.uint8], columns: int, gap: int) -> NDArray[np.uint8]:
    count, height, width, _ = pixels.shape
    down, across = height + gap, width + gap
    rows = -(-count // columns)
    sheet = np.full((rows * down + gap, columns * across + gap, 3), GREY, np.uint8)
    for index, image in enumerate(pixels):
        top, left = gap + index // columns * down, gap + index % columns * across
        sheet[top : top + height, left : left + width] = image
    return sheet
