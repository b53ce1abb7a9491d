"""Exact DDIM inversion: each step is solved to a tolerance by accelerated fixed-point iteration.

`ddim.invert` makes the same few corrections at every step. This module solves the equation of a
step from t to s,

    f(y) = x,    f(y) = (a_s / a_t) y + (sigma_s - sigma_t a_s / a_t) eps(y, t)

for the noisier state y of each image, until the residual x - f(y) is small.

The plain iteration contracts by a factor of up to 1 - (sigma_s / a_s) / (sigma_t / a_t). This is
0.86 at the first and last of ten steps of a cosine schedule. Anderson acceleration converges much
faster, with a history of a few residuals.

Each image has its own history, its own step factor and its own end. The network evaluates only the
images that have not converged.

Sources: D. G. Anderson, *Iterative Procedures for Nonlinear Integral Equations*, J. ACM 12, 1965;
type II as in H. Walker, P. Ni, *Anderson Acceleration for Fixed-Point Iterations*, SIAM J. Numer.
Anal. 49, 2011, doi 10.1137/10078356X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from rotation.diffusion.ddim import Denoiser, check_falling, step
from rotation.diffusion.schedule import CLEAN, NoiseSchedule
from rotation.errors import ModelError

TOLERANCE = 2e-4
"""Largest root mean square of a step's residual, divided by a_s, for images in [-1, 1]. If ten
steps just meet it and their errors add up, the reconstruction's MSE in [0, 1] is 1e-6."""

HISTORY = 5
"""How many past differences Anderson acceleration uses."""
GROWTH = 3.0
"""A residual so many times the best one counts as divergence. The search then returns to the best
state and halves its step factor."""
PATIENCE = 8
"""The search ends after so many evaluations without a better residual: the precision of the
arithmetic is reached."""


@dataclass(frozen=True)
class InversionResult:
    """Latents of N images and how well the search for them converged.

    Attributes:
        z: the latents (N, C, H, W).
        residual: (N,), the largest residual of all steps, in the unit of `TOLERANCE`.
        evaluations: (N,), how often the network was evaluated.
    """

    z: torch.Tensor
    residual: torch.Tensor
    evaluations: torch.Tensor

    @classmethod
    def concatenate(cls, parts: Sequence[InversionResult]) -> InversionResult:
        """The results of one or more batches as one result on the CPU."""
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
) -> InversionResult:
    """The latents that `ddim.sample` turns into x, to `tolerance` at every step.

    An image that does not converge keeps its best state; its `residual` is then above `tolerance`.

    Parameters:
        x: images (N, C, H, W) at timestep `times[-1]`.
        times: the falling timesteps of `ddim.sample`.
        tolerance: see `TOLERANCE`.
        limit: the most evaluations a step.

    Raises:
        ModelError: `times` does not fall, or `tolerance` or `limit` is not above 0.
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
    return InversionResult(x, residual, evaluations)


def sweep(
    eps: Denoiser,
    z: torch.Tensor,
    x: torch.Tensor,
    schedule: NoiseSchedule,
    times: Sequence[int],
) -> torch.Tensor:
    """One sweep that improves latents: decode them, then invert from the image with that noise.

    Decoding z gives the noise at each step. The inversion of x then uses that noise as its first
    guess at each step and corrects it once. A sweep costs two evaluations a step and no gradient.

    Parameters:
        z: latents (N, C, H, W) at timestep `times[0]`.
        x: the images (N, C, H, W) they should decode to, at timestep `times[-1]`.

    Returns:
        Improved latents (N, C, H, W).
    """
    check_falling(times)
    noises = []
    state = z
    for time, target in pairwise(times):
        noises.append(eps(state, time))
        state = step(state, noises[-1], schedule, time, target)
    for start, time in pairwise(reversed(times)):
        noisier = step(x, noises.pop(), schedule, start, time)
        x = step(x, eps(noisier, time), schedule, start, time)
    return x


@dataclass(frozen=True)
class _Step:
    """The step from timestep `time` down to `start`, to be solved for its noisier end."""

    eps: Denoiser
    schedule: NoiseSchedule
    start: int
    time: int

    def solve(
        self, x: torch.Tensor, noise: torch.Tensor | None, tolerance: float, limit: int
    ) -> _Search:
        """Run the search. `noise` is eps(x, start) if the step before has evaluated it."""
        if noise is None:
            noise = self.eps(x, self.time if self.start == CLEAN else self.start)
        y = step(x, noise, self.schedule, self.start, self.time)
        # With this factor a step without history equals the plain iteration of `ddim.invert`.
        search = _Search(y, self.schedule.signal(self.time) / self.schedule.signal(self.start))
        for _ in range(limit):
            noise = self.eps(search.y, self.time)
            reached = step(search.y, noise, self.schedule, self.time, self.start)
            search.record(x[search.open_rows] - reached, noise)
            search.close_finished(tolerance)
            if not len(search.open_rows):
                break
            search.advance()
        return search


class _Search:
    """Anderson acceleration of N independent equations r(y) = 0 at once.

    Attributes:
        open_rows: (n,), the equations that are still open; y, r and the history belong to them.
        solution, noise, residual: the best state of each of the N equations, the noise there and
            the residual's root mean square.
        evaluations: (N,), how often r was evaluated.
    """

    def __init__(self, y: torch.Tensor, factor: float) -> None:
        count, size = len(y), y[0].numel()
        self.open_rows = torch.arange(count, device=y.device)
        self.y, self.r = y, torch.zeros_like(y)
        self.solution, self.noise = y.clone(), torch.zeros_like(y)
        self.residual = y.new_full((count,), torch.inf)
        self.evaluations = torch.zeros(count, device=y.device, dtype=torch.int64)
        self._factor = y.new_full((count,), factor)
        self._since_best = torch.zeros(count, device=y.device, dtype=torch.int64)
        self._best_r = torch.zeros_like(y)
        self._before: tuple[torch.Tensor, torch.Tensor] | None = None
        # An unused slot of the history is zero and gets no weight.
        self._d_y = y.new_zeros(count, HISTORY, size)
        self._d_r = y.new_zeros(count, HISTORY, size)
        self._slot = 0

    def record(self, r: torch.Tensor, noise: torch.Tensor) -> None:
        """Record residuals and noise (n, C, H, W) at y; return to the best state on divergence."""
        self.r, rows = r, self.open_rows
        size = r.square().mean(dim=(1, 2, 3)).sqrt()
        self.evaluations[rows] += 1
        if self._before is not None:
            self._d_y[:, self._slot] = (self.y - self._before[0]).flatten(1)
            self._d_r[:, self._slot] = (r - self._before[1]).flatten(1)
            self._slot = (self._slot + 1) % HISTORY
        best = self.residual[rows]
        better, diverged = size < best, ~(size <= GROWTH * best)
        self._since_best[rows] = torch.where(better, 0, self._since_best[rows] + 1)
        kept = rows[better]
        self.solution[kept], self._best_r[kept] = self.y[better], r[better]
        self.noise[kept] = noise[better]
        self.residual[kept] = size[better]
        if diverged.any():
            self._retreat(diverged)

    def _retreat(self, diverged: torch.Tensor) -> None:
        back = diverged[:, None, None, None]
        self.y = torch.where(back, self.solution[self.open_rows], self.y)
        self.r = torch.where(back, self._best_r[self.open_rows], self.r)
        self._d_y[diverged] = 0
        self._d_r[diverged] = 0
        self._factor[self.open_rows[diverged]] *= 0.5

    def close_finished(self, tolerance: float) -> None:
        """Close the equations that are solved or no longer improve."""
        size, since_best = self.residual[self.open_rows], self._since_best[self.open_rows]
        open_ = (size > tolerance) & (since_best < PATIENCE)
        if open_.all():
            return
        self.open_rows, self.y, self.r = self.open_rows[open_], self.y[open_], self.r[open_]
        self._d_y, self._d_r = self._d_y[open_], self._d_r[open_]

    def advance(self) -> None:
        """Go to the next states by a step of Anderson acceleration (type II).

            y <- y + b r - (dY + b dR) g,    g = argmin |r - dR g|^2

        dY and dR hold the past differences of y and r, and b is the step factor. The normal
        equations are solved in double precision. A trace of regularisation gives empty slots of
        the history the weight zero.
        """
        flat = self.r.flatten(1)
        gram = (self._d_r @ self._d_r.transpose(1, 2)).double()
        diagonal = torch.diagonal(gram, dim1=1, dim2=2)
        scale = diagonal.amax(dim=1, keepdim=True).clamp(min=1e-30)
        gram = gram + torch.diag_embed(1e-10 * diagonal + 1e-12 * scale)
        right_side = (self._d_r @ flat[:, :, None]).double()
        weights = torch.linalg.solve(gram, right_side).to(flat.dtype)
        factor = self._factor[self.open_rows][:, None]
        past = self._d_y + factor[:, :, None] * self._d_r
        step = factor * flat - (past.transpose(1, 2) @ weights)[:, :, 0]
        self._before = (self.y, self.r)
        self.y = self.y + step.view_as(self.y)
