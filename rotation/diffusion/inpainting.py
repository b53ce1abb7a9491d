"""Inpainting: sampling with the known pixels held.

At each step the predicted clean image takes the known pixels from the given image (Y. Wang, J. Yu,
J. Zhang, *Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model*, ICLR 2023, arXiv
2212.00490). Each step may be repeated after noise was added again, so that unknown pixels come to
fit the known ones (A. Lugmayr et al., *RePaint*, CVPR 2022, arXiv 2201.09865).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rotation.diffusion.ddim import Denoiser, check_falling
from rotation.diffusion.schedule import NoiseSchedule

ETA = 0.85
"""The share of fresh noise in each step, as in the paper; 0 is DDIM."""


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
