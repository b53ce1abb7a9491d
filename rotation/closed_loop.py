"""Closing the loop: read the yaw of the frame, correct the latent until it is the one asked for.

A direction is a mean over people. In exact latents the way that turns one head has next to nothing
in common with the way that turns another (cosine 0.015 between the displacements of two people by
30 degrees, docs/rotation.md), so along a mean direction a head first resists and then gives way to
somebody else's. The line is the start; from there each head is turned along its own gradient.
With r(z) the yaw read off the decoded latent and a(z) the change of appearance,

    z <- z + (target - r) g / |g|^2 - keep a h / |h|^2,      g = P grad r,  h = P grad a less its g

in turns, P the projection onto the leading components of the images (`subspace`), the norm of z
kept. The first part is Newton's step for the yaw, the shortest that reaches it; the second takes
back what has changed of colours and light without undoing the turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray

from rotation.appearance import Appearance
from rotation.directions import Direction

Latents = NDArray[np.float32]
Decode = Callable[[torch.Tensor], torch.Tensor]
"""Latents (N, 3, S, S) to images in [-1, 1], with a gradient."""
Read = Callable[[torch.Tensor], torch.Tensor]
"""Images in [-1, 1] to yaws (N,) in degrees, with a gradient."""
Measure = Callable[[torch.Tensor], NDArray[np.float64]]
"""Images in [-1, 1] to yaws (N,) in degrees, by another way than `Read`; NaN where it fails."""


@dataclass(frozen=True)
class Loop:
    """How hard to try.

    Attributes:
        tolerance_deg: a frame this near to the yaw asked for has reached it.
        station_deg: the head turns in stations at most so far apart, each begun at the last.
        corrections, rounds: steps a round, and rounds a station: after each the yaw is measured
            the other way, and what is missing is added to the goal.
        longest: the longest step of a correction, in the latent's norm.
        components: of the images, within whose span latents are corrected.
        keep: the share of the change of appearance that a step takes back, by its gradient.
    """

    tolerance_deg: float = 1.5
    station_deg: float = 10.0
    corrections: int = 4
    rounds: int = 2
    longest: float = 2.0
    keep: float = 0.5
    components: int = 50


@dataclass(frozen=True)
class Turned:
    """Latents (K, 3, S, S) at the yaws asked for, and the yaw measured of each, (K,)."""

    latents: Latents
    measured_deg: NDArray[np.float64]


class ClosedLoop:
    """Turns one source. Angles in degrees, positive towards the viewer's right.

    Parameters:
        decode, read, measure: see their types.
        latent: the source's, (3, S, S). yaw_deg: the source's own yaw.
        direction: where each station begins from the one before.
        components: orthonormal rows (P, D); the latent is corrected within their span.
    """

    def __init__(
        self, decode: Decode, read: Read, measure: Measure, latent: Latents, yaw_deg: float,
        direction: Direction, components: NDArray[np.floating], loop: Loop = Loop(),
    ) -> None:  # fmt: skip
        self._decode, self._read, self._measure = decode, read, measure
        self._source = torch.from_numpy(np.asarray(latent, dtype=np.float32))
        self._yaw, self._direction, self._loop = yaw_deg, direction, loop
        self._components = torch.from_numpy(np.asarray(components, dtype=np.float32))
        with torch.no_grad():
            images = decode(self._source[None])
            # The readers' constant errors on this face, which is known to look where it looks.
            self._read_error = float(torch.stack([read(images) for _ in range(4)]).mean()) - yaw_deg
        self._measure_error = float(measure(images)[0]) - yaw_deg
        self._appearance = Appearance(images)

    @property
    def can_measure(self) -> bool:
        """Whether a face was found in the source's own decoded picture."""
        return bool(np.isfinite(self._measure_error))

    def turn(self, yaws_deg: Sequence[float]) -> Turned:
        """The source at each of the yaws, in their order. Both sides are turned side by side."""
        found: dict[float, tuple[torch.Tensor, float]] = {self._yaw: (self._source, self._yaw)}
        sides = self._sides(yaws_deg)
        latents = [self._source for _ in sides]
        at = [self._yaw for _ in sides]
        for goals in zip_longest(*sides):
            going = [k for k, goal in enumerate(goals) if goal is not None]
            moved, measured = self._station(
                torch.stack([latents[k] for k in going]),
                [at[k] for k in going],
                [float(goals[k]) for k in going],
            )
            for k, latent, yaw in zip(going, moved, measured, strict=True):
                found[goals[k]] = (latent, yaw)
                latents[k], at[k] = latent, goals[k]
        stack = np.stack([found[yaw][0].numpy() for yaw in yaws_deg])
        return Turned(stack, np.array([found[yaw][1] for yaw in yaws_deg]))

    def _sides(self, yaws_deg: Sequence[float]) -> list[list[float]]:
        """The stations to the left and to the right of the source, from it outwards."""
        sides = []
        for sign in (-1.0, 1.0):
            asked = sorted(
                {y for y in yaws_deg if sign * (y - self._yaw) > 0}, key=abs_from(self._yaw)
            )
            stations, at = [], self._yaw
            for goal in asked:
                between = int(np.ceil(abs(goal - at) / self._loop.station_deg - 1e-9))
                stations += [at + (goal - at) * k / between for k in range(1, between)]
                stations.append(goal)
                at = goal
            sides.append(stations)
        return sides

    def _station(
        self, latents: torch.Tensor, from_deg: Sequence[float], goals_deg: Sequence[float]
    ) -> tuple[torch.Tensor, list[float]]:
        """Latents (B, 3, S, S) turned from one station to the next, and the yaws measured."""
        steps = np.stack(
            [self._direction.displacement(*pair) for pair in zip(from_deg, goals_deg, strict=True)]
        )
        moves = self._project(torch.from_numpy(steps.astype(np.float32)))
        z = self._on_shell(latents + moves.view_as(latents))
        goals = torch.tensor(goals_deg, dtype=torch.float32)
        aims, best, nearest = goals.clone(), z.clone(), torch.full_like(goals, torch.inf)
        shown = torch.full_like(goals, torch.nan)
        for _ in range(self._loop.rounds):
            for _ in range(self._loop.corrections):
                z = self._correct(z, aims)
            missing = goals - self._measured(z)
            better = ~(missing.abs() >= nearest)  # so is a NaN, where nothing better is known
            best[better], shown[better] = z[better], (goals - missing)[better]
            nearest = torch.where(better, missing.abs().nan_to_num(torch.inf), nearest)
            if bool((nearest <= self._loop.tolerance_deg).all()):
                break
            aims = aims + missing.nan_to_num(0.0)
        return best, shown.tolist()

    def _measured(self, z: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            yaws = self._measure(self._decode(z))
        return torch.from_numpy(np.asarray(yaws, dtype=np.float32)) - self._measure_error

    def _correct(self, z: torch.Tensor, aims_deg: torch.Tensor) -> torch.Tensor:
        """One step of each latent (B, 3, S, S) towards its aim (B,)."""
        seed = z.detach().clone().requires_grad_(True)
        images = self._decode(seed)
        yaws, changes = self._read(images) - self._read_error, self._appearance(images)
        turning = self._gradient(yaws, seed, retain=True)
        keeping = self._gradient(changes, seed)
        unit = turning / turning.norm(dim=1, keepdim=True).clamp(min=1e-9)
        keeping = keeping - (keeping * unit).sum(dim=1, keepdim=True) * unit
        missing = (aims_deg - yaws.detach())[:, None]
        step = missing * turning / turning.square().sum(dim=1, keepdim=True).clamp(min=1e-9)
        back = self._loop.keep * changes.detach()[:, None] * keeping
        back = back / keeping.square().sum(dim=1, keepdim=True).clamp(min=1e-12)
        return self._on_shell(z + (self._capped(step) - self._capped(back)).view_as(z))

    def _gradient(
        self, values: torch.Tensor, seed: torch.Tensor, retain: bool = False
    ) -> torch.Tensor:
        """The projected gradient (B, D) of each value (B,), which depends on its own row alone."""
        (gradient,) = torch.autograd.grad(values.sum(), seed, retain_graph=retain)
        return self._project(gradient.flatten(1))

    def _project(self, vectors: torch.Tensor) -> torch.Tensor:
        return (vectors @ self._components.T) @ self._components

    def _capped(self, steps: torch.Tensor) -> torch.Tensor:
        return steps * (
            self._loop.longest / steps.norm(dim=1, keepdim=True).clamp(min=self._loop.longest)
        )

    def _on_shell(self, z: torch.Tensor) -> torch.Tensor:
        norms = z.flatten(1).norm(dim=1)
        return z * (self._source.norm() / norms)[:, None, None, None]


def abs_from(origin: float) -> Callable[[float], float]:
    """The distance from an origin, as a key to sort by."""
    return lambda yaw: abs(yaw - origin)
