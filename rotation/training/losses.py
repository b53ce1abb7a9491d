"""Training loss and held-out loss of a diffusion model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import mse_loss

from rotation.diffusion.denoising import Denoising
from rotation.diffusion.schedule import NoiseSchedule

HELD_OUT_SEED = 20_230_806  # fixed, so that losses of different runs are comparable
HELD_OUT_CHUNK = 64


@dataclass(frozen=True)
class Batch:
    """Clean images `x` (N, 3, S, S) in [-1, 1], noise of that shape, times (N,) int64."""

    x: torch.Tensor
    noise: torch.Tensor
    times: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(self.x.to(device), self.noise.to(device), self.times.to(device))


def draw_batch(images: torch.Tensor, generator: torch.Generator, length: int) -> Batch:
    """Draw mirroring, noise and times for a batch of images (N, 3, S, S), uint8.

    Each image is mirrored with probability 1/2. Times are stratified: one in each of N equal parts
    of the schedule. This reduces the variance of a batch's loss.
    """
    count = len(images)
    x = images.float() / 127.5 - 1
    mirrored = torch.rand(count, generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    spread = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    times = (spread * length).long().clamp(max=length - 1)
    return Batch(x, torch.randn(x.shape, generator=generator), times)


def power_table(schedule: NoiseSchedule, device: torch.device) -> torch.Tensor:
    """Signal and noise levels of each time, as a float32 tensor (2, T)."""
    table = torch.from_numpy(schedule.alpha_bar)
    return torch.stack([table.sqrt(), (1 - table).sqrt()]).float().to(device)


def training_loss(model: Denoising, batch: Batch, powers: torch.Tensor) -> torch.Tensor:
    """Mean squared error of what the network predicts (epsilon, sample or v), a scalar."""
    signal, noise = powers[:, batch.times, None, None, None]
    output = model.predict(signal * batch.x + noise * batch.noise, batch.times)
    targets = {
        "epsilon": batch.noise,
        "sample": batch.x,
        "v_prediction": signal * batch.noise - noise * batch.x,
    }
    return mse_loss(output, targets[model.prediction])


@torch.inference_mode()
def held_out_loss(model: Denoising, images: torch.Tensor) -> float:
    """Mean squared error of v on images (N, 3, S, S), uint8, at fixed noise and times.

    Predictions are converted to v first (arXiv 2202.00512, appendix D). So runs with different
    kinds of prediction are comparable. NaN without images.
    """
    if not len(images):
        return float("nan")
    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    batch = draw_batch(images, generator, len(model.schedule)).to(model.device)
    powers = power_table(model.schedule, model.device)
    total = 0.0
    for rows in torch.arange(len(images)).split(HELD_OUT_CHUNK):
        part = Batch(batch.x[rows], batch.noise[rows], batch.times[rows])
        total += _v_loss(model, part, powers) * len(rows)
    return total / len(images)


def _v_loss(model: Denoising, batch: Batch, powers: torch.Tensor) -> float:
    """Loss in v. An error e in epsilon is e / signal in v; an error e in x_0 is e / noise."""
    signal, noise = powers[:, batch.times, None, None, None]
    output = model.predict(signal * batch.x + noise * batch.noise, batch.times)
    if model.prediction == "epsilon":
        error = (output - batch.noise) / signal
    elif model.prediction == "sample":
        error = (output - batch.x) / noise
    else:
        error = output - (signal * batch.noise - noise * batch.x)
    return float(error.square().mean())
