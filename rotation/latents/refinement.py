"""Improving given latents step by step: by gradient descent, or by sweeps of inversion."""

from __future__ import annotations

import torch

from rotation.diffusion import ddim
from rotation.diffusion.inversion import sweep
from rotation.diffusion.latent_model import LatentModel

RATE = 0.01
"""Adam's learning rate, as in arXiv 2301.07485."""
PENALTY = 0.005
"""Weight of the latent's mean square in the loss, as in arXiv 2301.07485."""


def refine_by_gradient(
    model: LatentModel,
    z: torch.Tensor,
    images: torch.Tensor,
    steps: int,
    rate: float = RATE,
    penalty: float = PENALTY,
) -> torch.Tensor:
    """Gradient descent on latents through the whole sampler (arXiv 2301.07485, section 3).

    Adam minimises, for each image separately,

        mean((G(z) - x)^2) + penalty mean(z^2)

    where G decodes and x is the image, both with values in [-1, 1].

    Parameters:
        z: the latents to start from, (N, 3, S, S).
        images: their images, (N, 3, S, S) in [0, 1].
        steps: how many updates.

    Returns:
        Latents (N, 3, S, S) after the last update, on the CPU.
    """
    denoising, times = model.denoising, model.times
    # Tensors made in inference mode take no gradient, hence the clones.
    target = images.to(model.device, torch.float32).clone() * 2 - 1
    latents = z.to(model.device, torch.float32).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([latents], lr=rate)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        decoded = ddim.sample(denoising.eps, latents, denoising.schedule, times)
        errors = (decoded - target).square().mean(dim=(1, 2, 3))
        sizes = latents.square().mean(dim=(1, 2, 3))
        (errors + penalty * sizes).sum().backward()
        optimizer.step()
    return latents.detach().cpu()


@torch.inference_mode()
def refine_by_sweeps(
    model: LatentModel, z: torch.Tensor, images: torch.Tensor, steps: int, rate: float = RATE
) -> torch.Tensor:
    """Latents after `steps` sweeps of inversion (`inversion.sweep`) from z (N, 3, S, S).

    `rate` is not used; it keeps the signature of `refine_by_gradient`.
    """
    target = images.to(model.device, torch.float32) * 2 - 1
    latents = z.to(model.device, torch.float32)
    for _ in range(steps):
        latents = sweep(model.eps, latents, target, model.schedule, model.times)
    return latents.cpu()
