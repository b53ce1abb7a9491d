"""Inpainting: sampling with the known pixels held.

At each step the predicted clean image takes the known pixels from the given image (Y. Wang, J. Yu,
J. Zhang, *Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model*, ICLR 2023, arXiv
2212.00490). Each step may be repeated after noise was added again, so that unknown pixels come to
fit the known ones (A. Lugmayr et al., *RePaint*, CVPR 2022, arXiv 2201.09865).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from rotation.diffusion.ddim import Denoiser, check_falling
from rotation.diffusion.schedule import NoiseSchedule, timesteps

ETA = 0.85
"""The share of fresh noise in each step, as in the paper; 0 is DDIM."""
_BATCH = 8  # images that are drawn together


@dataclass(frozen=True)
class InpaintingPlan:
    """How much of a first guess is forgotten, and how much work is spent.

    Attributes:
        start: the share of the schedule to start at. The less, the more of the guess is kept.
        steps: of the sampler over the whole schedule; those up to `start` are done.
        repeats: how often each step is done.
    """

    start: float
    steps: int
    repeats: int = 1


def inpaint_images(
    denoiser: Callable[[slice], Denoiser],
    images: torch.Tensor,
    known: torch.Tensor,
    schedule: NoiseSchedule,
    plan: InpaintingPlan,
    device: torch.device,
    seed: int = 0,
) -> torch.Tensor:
    """Images (N, 3, S, S) with their unknown pixels drawn, 0 to 1, on the CPU, in batches.

    Parameters:
        denoiser: gives the predictor of noise for some of the images.
        images: (N, 3, S, S), 0 to 1; unknown pixels hold a first guess.
        known: (N, 1, S, S), see `inpaint`.
        seed: of the noise, which is the same for all images.
    """
    length = len(schedule)
    times = [time for time in timesteps(length, plan.steps) if time <= plan.start * length]
    drawn = []
    for begin in range(0, len(images), _BATCH):
        rows = slice(begin, begin + _BATCH)
        some = inpaint(
            denoiser(rows),
            (images[rows] * 2 - 1).to(device),
            known[rows].to(device),
            schedule,
            sorted(times, reverse=True),
            torch.Generator().manual_seed(seed),
            plan.repeats,
        )
        drawn.append(some.cpu())
    return (torch.cat(drawn) + 1) / 2


def inpaint(
    eps: Denoiser,
    images: torch.Tensor,
    known: torch.Tensor,
    schedule: NoiseSchedule,
    times: Sequence[int],
    generator: torch.Generator,
    repeats: int = 1,
) -> torch.Tensor:
    """Draw the unknown pixels of images.

    Parameters:
        eps: predicts the noise.
        images: (N, C, H, W), -1 to 1; unknown pixels hold a first guess.
        known: (N, 1, H, W), 1 where pixels are known, 0 where not, and between at seams.
        schedule: the noise schedule.
        times: falling timesteps. The first says how much of the guess survives; at the last, the
            clean image is predicted and returned.
        generator: of the noise. It is the same for all images, so that a video does not flicker.
        repeats: how often each step is done.

    Returns:
        (N, C, H, W). Known pixels are those of `images`.
    """
    check_falling(times)

    def noise() -> torch.Tensor:
        one = torch.randn(images.shape[1:], generator=generator, dtype=images.dtype)
        return one.to(images.device).expand_as(images)

    x = schedule.signal(times[0]) * images + schedule.noise(times[0]) * noise()
    clean = images
    for k, time in enumerate(times):
        target = times[k + 1] if k + 1 < len(times) else None
        for repeat in range(repeats if target is not None else 1):
            signal, sigma = schedule.signal(time), schedule.noise(time)
            clean = ((x - sigma * eps(x, time)) / signal).clamp(-1, 1)
            clean = known * images + (1 - known) * clean
            if target is None:
                break
            lower = schedule.noise(target)
            implied = (x - signal * clean) / sigma
            x = schedule.signal(target) * clean + lower * (
                (1 - ETA**2) ** 0.5 * implied + ETA * noise()
            )
            if repeat + 1 < repeats:
                ratio = signal / schedule.signal(target)
                added = max(sigma**2 - (ratio * lower) ** 2, 0.0) ** 0.5
                x = ratio * x + added * noise()
    return clean
