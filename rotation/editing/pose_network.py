"""A differentiable pose estimator: a network trained on the poses of the image set itself.

A small convolutional network learns the poses that the clusters were selected by. Training crops
are augmented: moved, recoloured, blurred, made noisy and hidden in part. So the network also works
on generated frames, and uses the whole head. It averages an image and its mirror image, so a mirror
exactly negates yaw and keeps pitch. The closed loop uses two networks of different seeds. One gives
the gradient. The other measures, since no latent was optimised against it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import (
    affine_grid,
    avg_pool2d,
    grid_sample,
    interpolate,
    pad,
    smooth_l1_loss,
)

from rotation.data.crop import Pixels

SIDE = 64
WIDTH = 16
SCALES_DEG = (20.0, 10.0)
"""Degrees of yaw and of pitch per unit of the network's output."""

STEPS, BATCH, PEAK_RATE = 560, 64, 2e-3
"""With these and 1,200 rendered heads, the mean yaw error on unseen people is 1.5 to 1.7 degrees
(benchmarks/pose_estimators.py)."""

BETA = 0.1  # the loss is quadratic below this error, in units of the output


class PoseNetwork(nn.Module):
    """Images (N, 3, S, S) in [-1, 1] to yaw and pitch (N, 2) in degrees."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_block(3, WIDTH, 2),
            *_block(WIDTH, 2 * WIDTH, 2),
            *_block(2 * WIDTH, 2 * WIDTH, 1),
            *_block(2 * WIDTH, 4 * WIDTH, 2),
            *_block(4 * WIDTH, 4 * WIDTH, 1),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(64 * WIDTH, 128),
            nn.SiLU(),
            nn.Linear(128, 2),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Poses (N, 2): yaw positive towards the viewer's right, pitch positive upwards."""
        images = _at_its_size(images)
        plain, mirrored = self.layers(images), self.layers(images.flip(-1))
        both = torch.stack([plain[:, 0] - mirrored[:, 0], plain[:, 1] + mirrored[:, 1]], dim=1)
        return both / 2 * torch.tensor(SCALES_DEG, device=images.device)


def train_pose_network(
    crops: Pixels,
    yaws_deg: NDArray[np.floating],
    pitches_deg: NDArray[np.floating],
    seed: int = 0,
    steps: int = STEPS,
    progress: Callable[[int, int], None] | None = None,
) -> PoseNetwork:
    """Train a network on crops of known pose, each also mirrored.

    The same seed, images and number of threads give the same network.

    Parameters:
        crops: (n, S, S, 3), uint8.
        yaws_deg, pitches_deg: their poses (n,), in degrees.
        seed: of the initial weights, batches and augmentations.
        steps: the number of updates.
        progress: called with the updates done and their total.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PoseNetwork().train()
        wanted = np.stack([yaws_deg / SCALES_DEG[0], pitches_deg / SCALES_DEG[1]], axis=1)
        goals = torch.from_numpy(wanted.astype(np.float32))
        images = _as_images(crops)
        optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.05)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
        for step in range(steps):
            rows = torch.randint(len(images), (BATCH,), generator=generator)
            batch = images[rows]
            mirrored = torch.rand(BATCH, generator=generator) < 0.5
            batch = torch.where(mirrored[:, None, None, None], batch.flip(-1), batch)
            signs = torch.stack([1 - 2 * mirrored.float(), torch.ones(BATCH)], dim=1)
            loss = smooth_l1_loss(
                network.layers(augment(batch, generator)), goals[rows] * signs, beta=BETA
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            if progress is not None:
                progress(step + 1, steps)
    return network.eval().requires_grad_(False)


def augment(
    images: torch.Tensor, generator: torch.Generator, strength: float = 1.0
) -> torch.Tensor:
    """Augment images at random without changing their pose.

    Parameters:
        images: (N, 3, S, S) in [-1, 1].
        generator: the source of randomness.
        strength: scales all changes. At 1, images move by up to 4 % of their side, scale by 8 %
            and rotate in the plane by 4.6 degrees. They are also recoloured, blurred, made noisy
            and hidden in part.

    Returns:
        Augmented images (N, 3, S, S).
    """
    count = len(images)

    def chance(*shape: int) -> torch.Tensor:
        return strength * (2 * torch.rand(count, *shape, generator=generator) - 1)

    scale, rotation = 1 + 0.08 * chance(), 0.08 * chance()
    moves = torch.stack(
        [
            torch.stack([scale, rotation, 0.08 * chance()], dim=1),
            torch.stack([-rotation, scale, 0.08 * chance()], dim=1),
        ],
        dim=1,
    ).to(images)
    grid = affine_grid(moves, list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, padding_mode="border", align_corners=False)
    coloured = moved * (1 + 0.3 * chance(3, 1, 1)).to(images) + (0.15 * chance(3, 1, 1)).to(images)
    soft = avg_pool2d(pad(coloured, (1, 1, 1, 1), mode="replicate"), 3, 1)
    mixed = torch.lerp(coloured, soft, chance(1, 1, 1).clamp(min=0).to(images))
    noise = torch.randn(images.shape, generator=generator).to(images)
    noisy = mixed + 0.08 * chance(1, 1, 1).abs().to(images) * noise
    hidden = _rectangles(chance, images.shape[-1]).to(images)
    return torch.lerp(noisy, chance(3, 1, 1).to(images), hidden)


def _rectangles(chance: Callable[..., torch.Tensor], side: int) -> torch.Tensor:
    """Masks (N, 1, S, S): 1 within two rectangles of up to half the sides, else 0.

    Hidden parts force the network to use the whole head. An estimator that looks at noses alone
    would accept a frame in which only the nose has turned.
    """
    places = (torch.arange(side) + 0.5) / side * 2 - 1
    mask = torch.zeros(1)
    for _ in range(2):
        half, middle = chance(2, 1).abs() / 2, chance(2, 1)
        inside = (places - middle).abs() < half
        mask = torch.maximum(mask, (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None].float())
    return mask


def _as_images(crops: Pixels) -> torch.Tensor:
    """Images (n, 3, 64, 64) in [-1, 1] of crops (n, S, S, 3)."""
    planes = torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))
    return torch.cat([_at_its_size(part.float() / 127.5 - 1) for part in planes.split(256)])


def _at_its_size(images: torch.Tensor) -> torch.Tensor:
    if images.shape[-1] == SIDE:
        return images
    return interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)


def _block(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return convolution, nn.GroupNorm(8, outputs), nn.SiLU()
