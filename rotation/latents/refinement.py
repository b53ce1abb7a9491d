"""Latents bettered step by step: by gradient on the seed, or by sweeps of inversion."""

from __future__ import annotations

import torch

from rotation.diffusion import ddim
from rotation.diffusion.inversion import sweep
from rotation.diffusion.latent_model import LatentModel

RATE, PENALTY = 0.01, 0.005  # of arXiv 2301.07485: Adam's rate, weight of the seed's mean square


def refine_by_gradient(
    model: LatentModel,
    z: torch.Tensor,
    images: torch.Tensor,
    steps: int,
    rate: float = RATE,
    penalty: float = PENALTY,
) -> torch.Tensor:
    """Adam on the latents z (N, 3, S, S), whose start they are (arXiv 2301.07485, section 3).

    Minimises, each image for itself, the mean square error of the decoded image in [-1, 1] plus
    `penalty` times the mean square of z. Returns the latents after `steps` steps, on the CPU.
    """
    denoising, times = model.denoising, model.times
    # Clones: what inference mode has made takes no gradient.
    target = images.to(model.device, torch.float32).clone() * 2 - 1
    seed = z.to(model.device, torch.float32).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([seed], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        again = ddim.sample(denoising.eps, seed, denoising.schedule, times)
        errors = (again - target).square().mean(dim=(1, 2, 3))
        sizes = seed.square().mean(dim=(1, 2, 3))
        (errors + penalty * sizes).sum().backward()
        optimizer.step()
    return seed.detach().cpu()


@torch.inference_mode()
def refine_by_sweeps(
    model: LatentModel, z: torch.Tensor, images: torch.Tensor, steps: int, rate: float = RATE
) -> torch.Tensor:
    """`steps` sweeps (`inversion.sweep`) from latents z (N, 3, S, S); `rate` plays no part."""
    target = images.to(model.device, torch.float32) * 2 - 1
    seed = z.to(model.device, torch.float32)
    for _ in range(steps):
        seed = sweep(model.eps, seed, target, model.schedule, model.times)
    return seed.cpu()
