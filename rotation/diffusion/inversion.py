"""Exact inversion of DDIM: each step solved to a tolerance by accelerated fixed-point iteration.

`ddim.invert` spends the same few corrections on every step. Here the step's equation

    f(y) = x,    f(y) = (a_s / a_t) y + (sigma_s - sigma_t a_s / a_t) eps(y, t)

is solved for the noisier state y of each image until its residual is small, with Anderson
acceleration (D. G. Anderson, *Iterative procedures for nonlinear integral equations*, J. ACM 12,
1965; type II as in H. Walker, P. Ni, SIAM J. Numer. Anal. 49, 2011, doi 10.1137/10078356X). The
plain iteration contracts by up to 1 - (sigma_s / a_s) / (sigma_t / a_t), 0.86 at the first and last
of ten steps of a cosine schedule; a handful of past residuals is enough to do far better.

Every image has its own history, its own damping and its own end: none is mixed with others of
the batch, and the network sees only those that are not done yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from rotation.diffusion.ddim import Denoiser, check_falling, move
from rotation.diffusion.schedule import CLEAN, NoiseSchedule
from rotation.errors import ModelError

TOLERANCE = 2e-4
"""Root mean square of a step's residual, relative to the signal at its cleaner end, on images in
[-1, 1]. Ten steps that all just meet it and add up leave an error (MSE in [0, 1]) of 1e-6."""

HISTORY = 5
GROWTH = 3.0  # a residual so many times the best one is a divergence: back, with half the step
PATIENCE = 8  # evaluations without a better residual: as far as the arithmetic goes


@dataclass(frozen=True)
class Inversion:
    """Latents z (N, C, H, W), and what finding them took, for each image.

    `residual` (N,) is the worst step's relative residual; `evaluations` (N,) the network's.
    """

    z: torch.Tensor
    residual: torch.Tensor
    evaluations: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[Inversion]) -> Inversion:
        """Parts of a set, one at least, one after the other, on the CPU."""
        z = torch.cat([part.z for part in parts]).cpu()
        residual = torch.cat([part.residual for part in parts]).cpu()
        return cls(z, residual, torch.cat([part.evaluations for part in parts]).cpu())


def invert_exactly(
    eps: Denoiser,
    x: torch.Tensor,
    schedule: NoiseSchedule,
    times: Sequence[int],
    tolerance: float = TOLERANCE,
    limit: int = 60,
) -> Inversion:
    """The latents that `ddim.sample` turns into x (N, C, H, W), to `tolerance` at every step.

    `limit` bounds the evaluations a step. An image that does not get there keeps the best state
    found, and its `residual` tells. `times` is the falling row given to `ddim.sample`.
    """
    check_falling(times)
    if tolerance <= 0 or limit < 1:
        raise ModelError(f"tolerance and limit must be above 0, not {tolerance} and {limit}.")
    residual = torch.zeros(len(x), device=x.device)
    evaluations = torch.zeros(len(x), device=x.device, dtype=torch.int64)
    noise = None
    for start, time in pairwise(reversed(times)) if len(x) else ():
        search = _Step(eps, schedule, start, time).solve(
            x, noise, tolerance * schedule.signal(start), limit
        )
        evaluations += search.evaluations + (noise is None)
        x, noise = search.solution, search.noise
        residual = torch.maximum(residual, search.residual / schedule.signal(start))
    return Inversion(x, residual, evaluations)


def sweep(
    eps: Denoiser,
    z: torch.Tensor,
    x: torch.Tensor,
    schedule: NoiseSchedule,
    times: Sequence[int],
) -> torch.Tensor:
    """Latents nearer than z to those of x, all (N, C, H, W): decode, then walk back to x.

    The decoding of z tells the noise at each of its states; from x upwards each step is undone
    with that noise and corrected once. Two evaluations a step and no gradient.
    """
    check_falling(times)
    noises = []
    state = z
    for time, target in pairwise(times):
        noises.append(eps(state, time))
        state = move(state, noises[-1], schedule, time, target)
    for start, time in pairwise(reversed(times)):
        noisier = move(x, noises.pop(), schedule, start, time)
        x = move(x, eps(noisier, time), schedule, start, time)
    return x


@dataclass(frozen=True)
class _Step:
    """The step from level `time` down to `start`, to be solved for its noisier end."""

    eps: Denoiser
    schedule: NoiseSchedule
    start: int
    time: int

    def solve(
        self, x: torch.Tensor, noise: torch.Tensor | None, tolerance: float, limit: int
    ) -> _Search:
        """The search at its end. `noise` is eps(x, start), as the step before has found it."""
        if noise is None:
            noise = self.eps(x, self.time if self.start == CLEAN else self.start)
        y = move(x, noise, self.schedule, self.start, self.time)
        # With this factor the step without history is the plain iteration of `ddim.invert`.
        search = _Search(y, self.schedule.signal(self.time) / self.schedule.signal(self.start))
        for _ in range(limit):
            noise = self.eps(search.y, self.time)
            reached = move(search.y, noise, self.schedule, self.time, self.start)
            search.take(x[search.rows] - reached, noise)
            search.drop(tolerance)
            if not len(search.rows):
                break
            search.advance()
        return search


class _Search:
    """Anderson acceleration of many independent equations r(y) = 0 at once.

    `rows` (n,) are the equations still open; y, r, d_y, d_r belong to them. The other tensors
    keep the best of all N: `noise` is the network's answer at `solution`. An unused place of the
    history is zero and has no weight.
    """

    def __init__(self, y: torch.Tensor, factor: float) -> None:
        count, size = len(y), y[0].numel()
        self.rows = torch.arange(count, device=y.device)
        self.y, self.r = y, torch.zeros_like(y)
        self.solution, self.noise = y.clone(), torch.zeros_like(y)
        self.residual = y.new_full((count,), torch.inf)
        self.evaluations = torch.zeros(count, device=y.device, dtype=torch.int64)
        self._factor = y.new_full((count,), factor)
        self._stale = torch.zeros(count, device=y.device, dtype=torch.int64)
        self._best_r = torch.zeros_like(y)
        self._before: tuple[torch.Tensor, torch.Tensor] | None = None
        self._d_y = y.new_zeros(count, HISTORY, size)
        self._d_r = y.new_zeros(count, HISTORY, size)
        self._turn = 0

    def take(self, r: torch.Tensor, noise: torch.Tensor) -> None:
        """Note residuals and noises (n, C, H, W) at y; go back to the best where r exploded."""
        self.r, rows = r, self.rows
        size = r.square().mean(dim=(1, 2, 3)).sqrt()
        self.evaluations[rows] += 1
        if self._before is not None:
            self._d_y[:, self._turn] = (self.y - self._before[0]).flatten(1)
            self._d_r[:, self._turn] = (r - self._before[1]).flatten(1)
            self._turn = (self._turn + 1) % HISTORY
        best = self.residual[rows]
        better, exploded = size < best, ~(size <= GROWTH * best)
        self._stale[rows] = torch.where(better, 0, self._stale[rows] + 1)
        kept = rows[better]
        self.solution[kept], self._best_r[kept] = self.y[better], r[better]
        self.noise[kept] = noise[better]
        self.residual[kept] = size[better]
        if exploded.any():
            self._retreat(exploded)

    def _retreat(self, exploded: torch.Tensor) -> None:
        back = exploded[:, None, None, None]
        self.y = torch.where(back, self.solution[self.rows], self.y)
        self.r = torch.where(back, self._best_r[self.rows], self.r)
        self._d_y[exploded] = 0
        self._d_r[exploded] = 0
        self._factor[self.rows[exploded]] *= 0.5

    def drop(self, tolerance: float) -> None:
        """Close the equations that are solved, or that no longer get better."""
        size, stale = self.residual[self.rows], self._stale[self.rows]
        left = (size > tolerance) & (stale < PATIENCE)
        if left.all():
            return
        self.rows, self.y, self.r = self.rows[left], self.y[left], self.r[left]
        self._d_y, self._d_r = self._d_y[left], self._d_r[left]

    def advance(self) -> None:
        """The next states: y + b r - (dY + b dR) g, with g the least squares of |r - dR g|.

        The normal equations are solved in double precision with a trace of regularisation, so
        that an empty place of the history (zeros) gets weight zero.
        """
        flat = self.r.flatten(1)
        gram = (self._d_r @ self._d_r.transpose(1, 2)).double()
        diagonal = torch.diagonal(gram, dim1=1, dim2=2)
        scale = diagonal.amax(dim=1, keepdim=True).clamp(min=1e-30)
        gram = gram + torch.diag_embed(1e-10 * diagonal + 1e-12 * scale)
        aim = (self._d_r @ flat[:, :, None]).double()
        weights = torch.linalg.solve(gram, aim).to(flat.dtype)
        factor = self._factor[self.rows][:, None]
        past = self._d_y + factor[:, :, None] * self._d_r
        step = factor * flat - (past.transpose(1, 2) @ weights)[:, :, 0]
        self._before = (self.y, self.r)
        self.y = self.y + step.view_as(self.y)
