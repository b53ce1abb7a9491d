"""Denoising diffusion implicit models (DDIM): deterministic sampling and its inversion.

Source: J. Song, C. Meng, S. Ermon, *Denoising Diffusion Implicit Models*, ICLR 2021,
arXiv 2010.02502. The functions take any callable that predicts the noise in x_t (`Denoiser`).

Notation: a_t = `schedule.signal(t)` and sigma_t = `schedule.noise(t)`, so that
x_t = a_t x_0 + sigma_t eps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

from rotation.diffusion.schedule import CLEAN, NoiseSchedule
from rotation.errors import ModelError

Denoiser = Callable[[torch.Tensor, int], torch.Tensor]
"""Predicts eps (N, C, H, W) from the noisy x_t (N, C, H, W) and the integer timestep t."""

Callback = Callable[[dict[str, object]], None]
"""Called after each step with `index`, `time` (the timestep reached) and `x` (N, C, H, W)."""


def step(
    x: torch.Tensor, eps: torch.Tensor, schedule: NoiseSchedule, time: int, target: int
) -> torch.Tensor:
    """One DDIM step from timestep t = `time` to s = `target`, for a known noise.

        x_s = (a_s / a_t) x_t + (sigma_s - sigma_t a_s / a_t) eps

    This is eq. 12 of arXiv 2010.02502 with sigma = 0 and the predicted x_0 inserted. The formula
    with s and t exchanged is the same step solved for x_t. So the step is exact in both directions.

    Parameters:
        x: x_t, (N, C, H, W).
        eps: the noise in x_t, (N, C, H, W).

    Returns:
        x_s, (N, C, H, W).
    """
    ratio = schedule.signal(target) / schedule.signal(time)
    weight = schedule.noise(target) - schedule.noise(time) * ratio
    return ratio * x + weight * eps


def sample(
    eps: Denoiser,
    z: torch.Tensor,
    schedule: NoiseSchedule,
    times: Sequence[int],
    callback: Callback | None = None,
) -> torch.Tensor:
    """DDIM sampling: decode latents from timestep `times[0]` down to `times[-1]`.

    Each step evaluates `eps` once, at its noisier end.

    Parameters:
        z: latents (N, C, H, W).
        times: strictly falling timesteps (see `schedule.timesteps`).

    Returns:
        x at the last timestep, (N, C, H, W), with z's type and device.

    Raises:
        ModelError: `times` does not fall.
    """
    check_falling(times)
    x = z
    for index, (time, target) in enumerate(pairwise(times)):
        x = step(x, eps(x, time), schedule, time, target)
        _report(callback, index, target, x)
    return x


def invert(
    eps: Denoiser,
    x: torch.Tensor,
    schedule: NoiseSchedule,
    times: Sequence[int],
    iterations: int = 5,
    callback: Callback | None = None,
) -> torch.Tensor:
    """DDIM inversion: the latents that `sample` turns into x, by fixed-point iteration.

    A step from t to s is undone by solving

        x_t = (a_t / a_s) x_s + (sigma_t - sigma_s a_t / a_s) eps(x_t, t)

    for x_t. The first guess of the noise is eps(x_s, s), which is the usual inversion
    (arXiv 2010.02502, eq. 14). Each correction inserts the last x_t on the right-hand side.

    Parameters:
        x: images (N, C, H, W) at timestep `times[-1]`.
        times: the falling timesteps of `sample`.
        iterations: corrections a step; each costs one evaluation. With a fixed count instead of
            a tolerance, a latent does not depend on the other images of its batch.

    Returns:
        Latents (N, C, H, W) at timestep `times[0]`.

    Raises:
        ModelError: `times` does not fall, or `iterations` is negative.
    """
    check_falling(times)
    if iterations < 0:
        raise ModelError(f"iterations must be 0 or more, not {iterations}.")
    for index, (start, time) in enumerate(pairwise(reversed(times))):
        guess = eps(x, time if start == CLEAN else start)
        noisier = step(x, guess, schedule, start, time)
        for _ in range(iterations):
            noisier = step(x, eps(noisier, time), schedule, start, time)
        x = noisier
        _report(callback, index, time, x)
    return x


def invert_smoothed(
    eps: Denoiser, x: torch.Tensor, schedule: NoiseSchedule, times: Sequence[int], share: float
) -> torch.Tensor:
    """Smoothed DDIM inversion: one evaluation a step, at a timestep between the step's two.

        x_t = (a_t / a_s) x_s + (sigma_t - sigma_s a_t / a_s) eps(x_s, r),    r = s + share (t - s)

    The usual guess eps(x_s, s) overestimates the noise and gives washed-out reconstructions. The
    guess eps(x_s, t) underestimates it and gives harsh ones. In between, the error is a fifth of
    the usual inversion's, at the same cost. The latents are about half as large as noise. They
    lack the fine structure that exact inversion adds, which ties details to their places and makes
    a latent hard to edit.

    Parameters:
        x: images (N, C, H, W) at timestep `times[-1]`.
        times: the falling timesteps of `sample`.
        share: 0 evaluates at a step's cleaner timestep, 1 at its noisier one.

    Returns:
        Latents (N, C, H, W) at timestep `times[0]`.

    Raises:
        ModelError: `times` does not fall, or `share` is outside 0 to 1.
    """
    check_falling(times)
    if not 0 <= share <= 1:
        raise ModelError(f"share must lie in 0 to 1, not {share}.")
    for start, time in pairwise(reversed(times)):
        first = max(start, CLEAN + 1)
        between = round(first + share * (time - first))
        x = step(x, eps(x, between), schedule, start, time)
    return x


def check_falling(times: Sequence[int]) -> None:
    """Raise `ModelError` unless there are at least two timesteps and they fall strictly."""
    if len(times) < 2 or any(later >= earlier for earlier, later in pairwise(times)):
        raise ModelError(f"Times must fall and be at least two, not {tuple(times)}.")


def _report(callback: Callback | None, index: int, time: int, x: torch.Tensor) -> None:
    if callback is not None:
        callback({"index": index, "time": time, "x": x})
