"""Autoguidance: samples guided away from the errors of a weaker model.

T. Karras, M. Aittala, T. Kynkäänniemi, J. Lehtinen, T. Aila, S. Laine, *Guiding a Diffusion Model
with a Bad Version of Itself*, arXiv 2406.02507. Both networks make similar errors, the weaker one
larger ones. So the difference of their predictions points towards the data. Guidance is applied in
the middle of the schedule only (T. Kynkäänniemi et al., arXiv 2404.07724).
"""

from __future__ import annotations

import torch

from rotation.diffusion.ddim import Denoiser


def autoguided(
    better: Denoiser, weaker: Denoiser, weight: float, between: tuple[int, int]
) -> Denoiser:
    """A denoiser: eps = weaker + weight (better - weaker), at times within `between`, ends
    included; elsewhere `better` alone, without asking the weaker one.

    `weight` 1 is `better`, 0 is `weaker`; above 1 guides.
    """

    def predict(x: torch.Tensor, time: int) -> torch.Tensor:
        found = better(x, time)
        if weight == 1 or not between[0] <= time <= between[1]:
            return found
        return torch.lerp(weaker(x, time), found, weight)

    return predict
