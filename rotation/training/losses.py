"""What the network is taught, and how far it is: noised images, targets, held-out loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import mse_loss

from rotation.diffusion.latent_model import Denoising
from rotation.diffusion.schedule import NoiseSchedule

HELD_OUT_SEED = 20_230_806  # one fixed draw for all runs, so that their losses compare
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
    """Mirror, noise and time for a batch of images uint8 (N, 3, S, S).

    Each image is mirrored with probability one half. Times are stratified: one in each of N
    equal parts of the schedule, which makes the loss of a batch far steadier than N free draws.
    """
    count = len(images)
    x = images.float() / 127.5 - 1
    mirrored = torch.rand(count, generator=generator) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
    spread = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    times = (spread * length).long().clamp(max=length - 1)
    return Batch(x, torch.randn(x.shape, generator=generator), times)


def power_table(schedule: NoiseSchedule, device: torch.device) -> torch.Tensor:
    """signal and noise by time as a float32 tensor (2, T)."""
    table = torch.from_numpy(schedule.alpha_bar)
    return torch.stack([table.sqrt(), (1 - table).sqrt()]).float().to(device)


def training_loss(model: Denoising, batch: Batch, powers: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the network's own kind of prediction, a scalar."""
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
    """Mean squared error of v on images uint8 (N, 3, S, S), at fixed noise and times.

    Whatever the network predicts is turned into v first (arXiv 2202.00512, appendix D), so
    the figure compares runs of different kinds. nan for no images.
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
    """An error e in eps is one of e / a in v, an error in x_0 one of e / sigma."""
    signal, noise = powers[:, batch.times, None, None, None]
    output = model.predict(signal * batch.x + noise * batch.noise, batch.times)
    if model.prediction == "epsilon":
        error = (output - batch.noise) / signal
    elif model.prediction == "sample":
        error = (output - batch.x) / noise
    else:
        error = output - (signal * batch.noise - noise * batch.x)
    return float(error.square().mean())
