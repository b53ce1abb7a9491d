"""Denoising diffusion implicit models: sampling and its inversion, over any noise predictor.

J. Song, C. Meng, S. Ermon, *Denoising Diffusion Implicit Models*, arXiv 2010.02502. The functions
know nothing of networks: a `Denoiser` is any callable that predicts the noise in x_t.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

from rotation.diffusion.schedule import CLEAN, NoiseSchedule
from rotation.errors import ModelError

Denoiser = Callable[[torch.Tensor, int], torch.Tensor]
"""Predicts eps (N, C, H, W) from the noisy x_t (N, C, H, W) and the integer time t."""

Callback = Callable[[dict[str, object]], None]
"""Called after each step with `index`, `time` (the level reached) and `x` (N, C, H, W)."""


def move(
    x: torch.Tensor, eps: torch.Tensor, schedule: NoiseSchedule, time: int, target: int
) -> torch.Tensor:
    """Carry x from level `time` to level `target`, either way, along a known noise `eps`.

        x_s = (a_s / a_t) x_t + (sigma_s - sigma_t a_s / a_t) eps

    is DDIM's step (arXiv 2010.02502, eq. 12 with sigma = 0) with the predicted x_0 put in; read
    with s and t exchanged it is the step solved for x_t, hence exact in both directions.
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
    """DDIM sampling: decode latents z at level times[0] down to level times[-1].

    `z` is (N, C, H, W); `times` falls strictly (see `schedule.timesteps`). One evaluation of
    `eps` a step, at the noisier end of it. Returns x at the last level, in z's type and place.
    """
    check_falling(times)
    x = z
    for index, (time, target) in enumerate(pairwise(times)):
        x = move(x, eps(x, time), schedule, time, target)
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
    """Find the latents z that `sample` turns into x: each step solved for its noisier end.

    A step t -> s is undone by solving, by fixed-point iteration,

        x_t = (a_t / a_s) x_s + (sigma_t - sigma_s a_t / a_s) eps(x_t, t)

    from the first guess eps(x_s, s), which is the usual inversion (arXiv 2010.02502, eq. 14) and
    all that is done with `iterations=0`. `iterations` is the number of corrections a step, each
    one evaluation more; it is a count and not a tolerance, so an image's latent does not depend
    on its neighbours in the batch.

    `x` is (N, C, H, W) at level times[-1]; `times` is the falling row given to `sample`.
    """
    check_falling(times)
    if iterations < 0:
        raise ModelError(f"iterations must be 0 or more, not {iterations}.")
    for index, (start, time) in enumerate(pairwise(reversed(times))):
        guess = eps(x, time if start == CLEAN else start)
        noisier = move(x, guess, schedule, start, time)
        for _ in range(iterations):
            noisier = move(x, eps(noisier, time), schedule, start, time)
        x = noisier
        _report(callback, index, time, x)
    return x


def invert_between(
    eps: Denoiser, x: torch.Tensor, schedule: NoiseSchedule, times: Sequence[int], share: float
) -> torch.Tensor:
    """Latents of x by one evaluation a step, asked `share` of the way between its two times.

    The usual guess eps(x_s, s) finds too much noise in the state, eps(x_s, t) too little: the first
    gives washed out pictures back, the second harsh ones. In between the error is a fifth of the
    first's, for as many evaluations, and the latents are smooth: they are about half as
    large as noise and lack what `invert` spends its corrections on, the fine grain that holds
    each detail at its place and resists a move.
    """
    check_falling(times)
    if not 0 <= share <= 1:
        raise ModelError(f"share must lie in 0 to 1, not {share}.")
    for start, time in pairwise(reversed(times)):
        first = max(start, CLEAN + 1)
        asked = round(first + share * (time - first))
        x = move(x, eps(x, asked), schedule, start, time)
    return x


def check_falling(times: Sequence[int]) -> None:
    """Raise `ModelError` for times that do not fall or are fewer than two."""
    if len(times) < 2 or any(later >= earlier for earlier, later in pairwise(times)):
        raise ModelError(f"Times must fall and be at least two, not {tuple(times)}.")


def _report(callback: Callback | None, index: int, time: int, x: torch.Tensor) -> None:
    if callback is not None:
        callback({"index": index, "time": time, "x": x})
