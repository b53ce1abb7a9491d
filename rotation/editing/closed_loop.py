"""Closed-loop editing: measure the frame's yaw, correct the latent until it is the one asked for.

A direction is a mean over people. In exact latents the way that turns one head has next to nothing
in common with the way that turns another (cosine 0.015 between the displacements of two people by
30 degrees, docs/experiments/closed-loop.md), so along a mean direction a head first resists and
then gives way to somebody else's. The line is the start; from there each head is turned along its
own gradient. With m(z) yaw and pitch measured on the decoded latent, r(z) as another pose
estimator sees them there, and a(z) the change of appearance,

    z <- z + J^T (J J^T)^-1 (target - m) - keep a h / |h|^2

where J = P grad r are two rows, P the projection onto the leading components of the images
(`principal_components`), h = P grad a less its part along them, and the norm of z is kept. The
first part is Newton's step, the shortest that reaches the yaw asked for at the pitch of the source:
its way comes from one estimator and its size from another, since what is pushed along its own
gradient soon reads what it is meant to read. The second takes back what has changed of colours and
light without undoing the turn.

Appearance is what of a picture stays when a head turns about its vertical axis. A turn moves points
along rows: which colours a row of pixels holds changes little, where they are changes much. So rows
are compared by their sorted values, band by band, which is the Wasserstein distance of their colour
distributions; that holds hair, skin, clothes and background. The side of the light, which sorting
cannot see, is held by the brightness of the face's left half less its right half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d

from rotation.directions.direction import Direction
from rotation.directions.principal_components import principal_components
from rotation.editing.method import EditingMethod, EditRequest, MovedLatents, TurnPath
from rotation.editing.pose_estimators import Measure, Read, by_landmarks
from rotation.errors import SelectionError

Latents = NDArray[np.float32]
Decode = Callable[[torch.Tensor], torch.Tensor]
"""Latents (N, 3, S, S) to images in [-1, 1], with a gradient."""

BANDS = 16  # of rows, whose colours are compared
LUMA = (0.299, 0.587, 0.114)
SIDE_WEIGHT = 0.5  # of the side of the light against the colours
_RIDGE = 1e-4  # of J J^T: an estimator that tells no pitch has a row of zeros there


@dataclass(frozen=True)
class Loop:
    """How hard to try.

    Attributes:
        tolerance_deg: a frame this near to the yaw asked for has reached it.
        settled_deg: a keyframe ends early, after the fewest corrections, once it is this near.
        keyframe_deg: the head turns in keyframes at most so far apart, each begun at the last.
        fewest, corrections: steps a keyframe, at least and at most.
        longest: the longest step of a correction, in the latent's norm.
        keep: the share of the change of appearance that a step takes back, by its gradient.
        components: of the images, within whose span latents are corrected.
    """

    tolerance_deg: float = 1.5
    settled_deg: float = 0.75
    keyframe_deg: float = 10.0
    fewest: int = 2
    corrections: int = 8
    longest: float = 2.0
    keep: float = 0.5
    components: int = 50


class ClosedLoopEditing(EditingMethod):
    """Corrects each frame along the source's own gradient until it shows the yaw asked for."""

    def move(self, request: EditRequest) -> MovedLatents:
        """See `EditingMethod`; `SelectionError` without images of the clusters."""
        if request.member_crops is None:
            raise SelectionError(
                "The closed loop needs images of the clusters; turn by line or flow without them."
            )
        loop, seed = Loop(), request.seed
        make = request.estimators
        estimators = (
            by_landmarks(seed, request.device)
            if make is None
            else make(request.model.image_size, seed, request.progress)
        )
        latent = request.source_latent()
        components = principal_components(request.member_crops, loop.components, seed)
        turner = ClosedLoop(
            request.model.decode_with_gradient,
            estimators.read,
            estimators.measure,
            latent,
            request.yaw_deg,
            request.direction,
            components,
            loop,
        )
        found = turner.turn(request.yaws_deg)
        wanted = np.array(request.yaws_deg)
        reached = np.abs(found.measured_deg - wanted) <= loop.tolerance_deg
        path = TurnPath(
            path_deg=tuple(request.yaws_deg),
            reached=tuple(reached.tolist()),
            measured_deg=tuple(found.measured_deg.tolist()),
            readers=estimators.about,
        )
        return MovedLatents(latent, found.latents, path)


@dataclass(frozen=True)
class LoopResult:
    """Latents (K, 3, S, S) at the yaws asked for, and the yaw measured of each, (K,)."""

    latents: Latents
    measured_deg: NDArray[np.float64]


class ClosedLoop:
    """Turns one source. Angles in degrees, positive towards the viewer's right.

    Parameters:
        decode, read, measure: see their types.
        latent: the source's, (3, S, S). yaw_deg: the source's own yaw.
        direction: where each keyframe begins from the one before.
        components: orthonormal rows (P, D); the latent is corrected within their span.
    """

    def __init__(
        self,
        decode: Decode,
        read: Read,
        measure: Measure,
        latent: Latents,
        yaw_deg: float,
        direction: Direction,
        components: NDArray[np.floating],
        loop: Loop = Loop(),
    ) -> None:
        self._decode, self._read, self._measure = decode, read, measure
        self._source = torch.from_numpy(np.asarray(latent, dtype=np.float32))
        self._yaw, self._direction, self._loop = yaw_deg, direction, loop
        self._components = torch.from_numpy(np.asarray(components, dtype=np.float32))
        with torch.no_grad():
            images = decode(self._source[None])
            seen = torch.stack([read(images)[0] for _ in range(4)]).mean(dim=0)
        # The estimators' constant errors on this face, which is known to look where it looks; of
        # its pitch only the change counts.
        looks = torch.tensor([yaw_deg, 0.0])
        self._read_error = seen - looks
        self._measure_error = torch.from_numpy(np.float32(measure(images)[0])) - looks
        self._appearance = Appearance(images)

    def turn(self, yaws_deg: Sequence[float]) -> LoopResult:
        """The source at each of the yaws, in their order. Both sides are turned side by side."""
        found: dict[float, tuple[torch.Tensor, float]] = {self._yaw: (self._source, self._yaw)}
        sides = self._sides(yaws_deg)
        latents = [self._source for _ in sides]
        at = [self._yaw for _ in sides]
        for goals in zip_longest(*sides):
            going = [k for k, goal in enumerate(goals) if goal is not None]
            moved, measured = self._keyframe(
                torch.stack([latents[k] for k in going]),
                [at[k] for k in going],
                [float(goals[k]) for k in going],
            )
            for k, latent, yaw in zip(going, moved, measured, strict=True):
                found[goals[k]] = (latent, yaw)
                latents[k], at[k] = latent, goals[k]
        stack = np.stack([found[yaw][0].numpy() for yaw in yaws_deg])
        return LoopResult(stack, np.array([found[yaw][1] for yaw in yaws_deg]))

    def _sides(self, yaws_deg: Sequence[float]) -> list[list[float]]:
        """The keyframes to the left and to the right of the source, from it outwards."""
        sides = []
        for sign in (-1.0, 1.0):
            asked = sorted(
                {y for y in yaws_deg if sign * (y - self._yaw) > 0}, key=abs_from(self._yaw)
            )
            keyframes, at = [], self._yaw
            for goal in asked:
                between = int(np.ceil(abs(goal - at) / self._loop.keyframe_deg - 1e-9))
                keyframes += [at + (goal - at) * k / between for k in range(1, between)]
                keyframes.append(goal)
                at = goal
            sides.append(keyframes)
        return sides

    def _keyframe(
        self, latents: torch.Tensor, from_deg: Sequence[float], goals_deg: Sequence[float]
    ) -> tuple[torch.Tensor, list[float]]:
        """Latents (B, 3, S, S) turned from one keyframe to the next, and the yaws measured."""
        steps = np.stack(
            [self._direction.displacement(*pair) for pair in zip(from_deg, goals_deg, strict=True)]
        )
        moves = self._project(torch.from_numpy(steps.astype(np.float32)))
        z = self._on_shell(latents + moves.view_as(latents))
        goals = torch.tensor(goals_deg, dtype=torch.float32)
        best, nearest = z.clone(), torch.full_like(goals, torch.inf)
        shown = torch.full_like(goals, torch.nan)
        for correction in range(self._loop.corrections + 1):
            seed = z.detach().clone().requires_grad_(True)
            images = self._decode(seed)
            measured = self._measured(images.detach())
            missing = (goals - measured[:, 0]).abs()
            better = ~(missing >= nearest)  # so is a NaN, where nothing better is known
            best[better], shown[better] = z[better], measured[better, 0]
            nearest = torch.where(better, missing.nan_to_num(torch.inf), nearest)
            settled = correction >= self._loop.fewest and (nearest <= self._loop.settled_deg).all()
            if settled or correction == self._loop.corrections:
                break
            z = self._correct(z, seed, images, goals, measured)
        return best, shown.tolist()

    def _measured(self, images: torch.Tensor) -> torch.Tensor:
        """Yaw and change of pitch (B, 2)."""
        poses = np.asarray(self._measure(images), dtype=np.float32)
        return torch.from_numpy(poses) - self._measure_error

    def _correct(
        self,
        z: torch.Tensor,
        seed: torch.Tensor,
        images: torch.Tensor,
        goals: torch.Tensor,
        measured: torch.Tensor,
    ) -> torch.Tensor:
        """One step of each latent z (B, 3, S, S) towards its goal (B,).

        `seed` is z with a gradient, `images` what it decodes to, `measured` (B, 2) their poses;
        where nothing could be measured, the estimator's own pose says how far it still is.
        """
        poses, changes = self._read(images) - self._read_error, self._appearance(images)
        rows = torch.stack([self._gradient(poses[:, k], seed) for k in range(2)], dim=1)
        keeping = self._gradient(changes, seed)
        known = torch.where(measured.isnan(), poses.detach(), measured)
        step = shortest(rows, torch.stack([goals - known[:, 0], -known[:, 1]], dim=1))
        keeping = keeping - shortest(rows, (rows @ keeping[:, :, None])[:, :, 0])
        back = self._loop.keep * changes.detach()[:, None] * keeping
        back = back / keeping.square().sum(dim=1, keepdim=True).clamp(min=1e-12)
        return self._on_shell(z + (self._capped(step) - self._capped(back)).view_as(z))

    def _gradient(self, values: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
        """The projected gradient (B, D) of each value (B,), which depends on its own row alone."""
        (gradient,) = torch.autograd.grad(values.sum(), seed, retain_graph=True)
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


def shortest(rows: torch.Tensor, products: torch.Tensor) -> torch.Tensor:
    """The shortest vectors (B, D) with given inner products (B, R) with given rows (B, R, D).

    A row of zeros asks for nothing.
    """
    inner = rows @ rows.transpose(1, 2)
    largest = inner.diagonal(dim1=1, dim2=2).amax(dim=1).clamp(min=1e-9)
    ridge = _RIDGE * largest[:, None, None] * torch.eye(rows.shape[1])
    weights = torch.linalg.solve(inner + ridge, products[:, :, None])
    return (weights * rows).sum(dim=1)


def abs_from(origin: float) -> Callable[[float], float]:
    """The distance from an origin, as a key to sort by."""
    return lambda yaw: abs(yaw - origin)


class Appearance:
    """Compares pictures with sources. Both (N, 3, S, S) in [-1, 1]; S is 16 or a multiple of 32."""

    def __init__(self, sources: torch.Tensor) -> None:
        self._bands = colour_bands(sources)
        self._side = side_light(sources)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """How much each picture's colours and light differ from its source's, (N,)."""
        colours = (colour_bands(images) - self._bands).square().mean(dim=(1, 2, 3))
        light = (side_light(images) - self._side).square()
        return colours + SIDE_WEIGHT * light


def colour_bands(images: torch.Tensor) -> torch.Tensor:
    """Sorted red, green, blue and grey values of each band of rows, (N, 4, 16, n)."""
    small = avg_pool2d(images, max(1, images.shape[-1] // 32))
    rows = small.reshape(len(images), 3, BANDS, -1)
    return torch.cat([rows, rows.mean(dim=1, keepdim=True)], dim=1).sort(dim=-1).values


def side_light(images: torch.Tensor) -> torch.Tensor:
    """Brightness of the face's left half less its right half, (N,); negated by a mirror."""
    side = images.shape[-1]
    weights = torch.tensor(LUMA, device=images.device)[:, None, None]
    face = (images * weights).sum(dim=1)[:, side // 4 : side - side // 8, side // 4 : -side // 4]
    half = face.shape[-1] // 2
    return face[..., :half].mean(dim=(1, 2)) - face[..., half:].mean(dim=(1, 2))
