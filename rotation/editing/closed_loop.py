"""Closed-loop editing: measure the yaw of the decoded frame and correct the latent.

A direction is a mean over people. In exact latents, the displacements that turn two heads by 30
degrees are nearly orthogonal (cosine 0.015, docs/experiments/closed-loop.md). Far along a mean
direction, a head changes into another person's. So the mean direction gives the start only. From
there, each head is turned along its own gradient.

Let m(z) be yaw and pitch measured on the decoded latent z. Let r(z) be the same by another,
differentiable pose estimator, and a(z) the change of appearance. One correction is

    z <- z + J^T (J J^T)^-1 (target - m) - keep a h / |h|^2

The two rows of J are P grad r. P projects onto the leading components of the images
(`principal_components`). h is P grad a without its part along the rows of J. The norm of z is kept.

The first term is a Newton step: the shortest step to the target yaw at the pitch of the source. Its
direction comes from one estimator and its size from another. A latent that follows the gradient of
an estimator soon satisfies this estimator, whether or not the head has turned. The second term
reverts changes of colour and light without undoing the turn.

Appearance is what stays when a head turns about its vertical axis. A turn moves points along rows:
the colours of a row change little, their places change much. So rows are compared, band by band, by
their sorted values. This is the Wasserstein distance between their colour distributions. It covers
hair, skin, clothes and background. Sorting ignores the side of the light. So the brightness of the
face's left half minus that of its right half is compared as well.
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

BANDS = 16  # bands of rows whose colours are compared
LUMA = (0.299, 0.587, 0.114)
SIDE_WEIGHT = 0.5  # weight of the side of the light relative to the colours
_RIDGE = 1e-4  # of J J^T, since an estimator without pitch has a row of zeros


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the closed loop.

    Attributes:
        tolerance_deg: a frame within this distance of the target yaw has reached it.
        settled_deg: a keyframe within this distance ends early, after `min_corrections`.
        keyframe_deg: the largest distance of keyframes; each starts from the one before.
        min_corrections, max_corrections: corrections per keyframe.
        max_step: the largest norm of each term of a correction.
        keep: the share of the change of appearance that one correction reverts.
        components: the number of image components that span the corrections.
    """

    tolerance_deg: float = 1.5
    settled_deg: float = 0.75
    keyframe_deg: float = 10.0
    min_corrections: int = 2
    max_corrections: int = 8
    max_step: float = 2.0
    keep: float = 0.5
    components: int = 50


class ClosedLoopEditing(EditingMethod):
    """Corrects each frame along the gradient of its own latent until it shows the target yaw."""

    needs_members = True

    def move(self, request: EditRequest) -> MovedLatents:
        """See `EditingMethod`. Raises `SelectionError` without images of the clusters."""
        if request.member_crops is None:
            raise SelectionError(
                "The closed loop needs images of the clusters; turn by line or flow without them."
            )
        settings, seed = LoopSettings(), request.seed
        make = request.estimators
        estimators = (
            by_landmarks(seed, request.device)
            if make is None
            else make(request.model.image_size, seed, request.progress)
        )
        latent = request.source_latent()
        components = principal_components(request.member_crops, settings.components, seed)
        loop = ClosedLoop(
            request.model.decode_with_gradient,
            estimators.read,
            estimators.measure,
            latent,
            request.yaw_deg,
            request.direction,
            components,
            settings,
        )
        found = loop.turn(request.yaws_deg)
        wanted = np.array(request.yaws_deg)
        reached = np.abs(found.measured_deg - wanted) <= settings.tolerance_deg
        path = TurnPath(
            path_deg=tuple(request.yaws_deg),
            reached=tuple(reached.tolist()),
            measured_deg=tuple(found.measured_deg.tolist()),
            readers=estimators.about,
        )
        return MovedLatents(latent, found.latents, path)


@dataclass(frozen=True)
class ClosedLoopResult:
    """Latents (K, 3, S, S) at the target yaws, and the measured yaws (K,)."""

    latents: Latents
    measured_deg: NDArray[np.float64]


class ClosedLoop:
    """Turns one source. Angles are in degrees, positive towards the viewer's right.

    Parameters:
        decode: latents (N, 3, S, S) to images in [-1, 1], differentiable.
        read: the pose estimator whose gradient is followed.
        measure: the pose estimator that measures.
        latent: the latent of the source, (3, S, S).
        yaw_deg: the yaw of the source.
        direction: gives the start of each keyframe from the one before.
        components: orthonormal rows (P, D). Corrections lie within their span.
        settings: see `LoopSettings`.
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
        settings: LoopSettings = LoopSettings(),
    ) -> None:
        self._decode, self._read, self._measure = decode, read, measure
        self._source = torch.from_numpy(np.asarray(latent, dtype=np.float32))
        self._yaw, self._direction, self._settings = yaw_deg, direction, settings
        self._components = torch.from_numpy(np.asarray(components, dtype=np.float32))
        with torch.no_grad():
            images = decode(self._source[None])
            seen = torch.stack([read(images)[0] for _ in range(4)]).mean(dim=0)
        # The yaw of the source is known, so each estimator's constant error on this face is too.
        # Pitch is taken relative to the source.
        true_pose = torch.tensor([yaw_deg, 0.0])
        self._read_error = seen - true_pose
        self._measure_error = torch.from_numpy(np.float32(measure(images)[0])) - true_pose
        self._appearance = Appearance(images)

    def turn(self, yaws_deg: Sequence[float]) -> ClosedLoopResult:
        """Turn the source to each yaw, in their order. Both sides are computed in one batch."""
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
        return ClosedLoopResult(stack, np.array([found[yaw][1] for yaw in yaws_deg]))

    def _sides(self, yaws_deg: Sequence[float]) -> list[list[float]]:
        """The yaws of the keyframes to the left and to the right, from the source outwards."""
        sides = []
        for sign in (-1.0, 1.0):
            asked = sorted(
                {y for y in yaws_deg if sign * (y - self._yaw) > 0}, key=abs_from(self._yaw)
            )
            keyframes, at = [], self._yaw
            for goal in asked:
                between = int(np.ceil(abs(goal - at) / self._settings.keyframe_deg - 1e-9))
                keyframes += [at + (goal - at) * k / between for k in range(1, between)]
                keyframes.append(goal)
                at = goal
            sides.append(keyframes)
        return sides

    def _keyframe(
        self, latents: torch.Tensor, from_deg: Sequence[float], goals_deg: Sequence[float]
    ) -> tuple[torch.Tensor, list[float]]:
        """Turn latents (B, 3, S, S) from one keyframe to the next; also returns measured yaws."""
        steps = np.stack(
            [self._direction.displacement(*pair) for pair in zip(from_deg, goals_deg, strict=True)]
        )
        moves = self._project(torch.from_numpy(steps.astype(np.float32)))
        z = self._on_shell(latents + moves.view_as(latents))
        goals = torch.tensor(goals_deg, dtype=torch.float32)
        best, nearest = z.clone(), torch.full_like(goals, torch.inf)
        shown = torch.full_like(goals, torch.nan)
        for correction in range(self._settings.max_corrections + 1):
            seed = z.detach().clone().requires_grad_(True)
            images = self._decode(seed)
            measured = self._measured(images.detach())
            missing = (goals - measured[:, 0]).abs()
            better = ~(missing >= nearest)  # also true for NaN while nothing better is known
            best[better], shown[better] = z[better], measured[better, 0]
            nearest = torch.where(better, missing.nan_to_num(torch.inf), nearest)
            near = bool((nearest <= self._settings.settled_deg).all())
            settled = correction >= self._settings.min_corrections and near
            if settled or correction == self._settings.max_corrections:
                break
            z = self._correct(z, seed, images, goals, measured)
        return best, shown.tolist()

    def _measured(self, images: torch.Tensor) -> torch.Tensor:
        """Measured yaw, and pitch relative to the source, (B, 2)."""
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
        """Correct each latent once towards its target yaw.

        Parameters:
            z: latents (B, 3, S, S).
            seed: z with a gradient.
            images: the images decoded from `seed`.
            goals: target yaws (B,).
            measured: measured poses (B, 2). NaN is replaced by the differentiable estimator's.
        """
        poses, changes = self._read(images) - self._read_error, self._appearance(images)
        rows = torch.stack([self._gradient(poses[:, k], seed) for k in range(2)], dim=1)
        keeping = self._gradient(changes, seed)
        known = torch.where(measured.isnan(), poses.detach(), measured)
        step = shortest(rows, torch.stack([goals - known[:, 0], -known[:, 1]], dim=1))
        keeping = keeping - shortest(rows, (rows @ keeping[:, :, None])[:, :, 0])
        back = self._settings.keep * changes.detach()[:, None] * keeping
        back = back / keeping.square().sum(dim=1, keepdim=True).clamp(min=1e-12)
        return self._on_shell(z + (self._capped(step) - self._capped(back)).view_as(z))

    def _gradient(self, values: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
        """The projected gradient (B, D) of values (B,), each a function of its own latent alone."""
        (gradient,) = torch.autograd.grad(values.sum(), seed, retain_graph=True)
        return self._project(gradient.flatten(1))

    def _project(self, vectors: torch.Tensor) -> torch.Tensor:
        return (vectors @ self._components.T) @ self._components

    def _capped(self, steps: torch.Tensor) -> torch.Tensor:
        most = self._settings.max_step
        return steps * (most / steps.norm(dim=1, keepdim=True).clamp(min=most))

    def _on_shell(self, z: torch.Tensor) -> torch.Tensor:
        norms = z.flatten(1).norm(dim=1)
        return z * (self._source.norm() / norms)[:, None, None, None]


def shortest(rows: torch.Tensor, products: torch.Tensor) -> torch.Tensor:
    """The shortest vectors x (B, D) with rows @ x = products.

    `rows` are (B, R, D), `products` (B, R). A row of zeros is ignored.
    """
    inner = rows @ rows.transpose(1, 2)
    largest = inner.diagonal(dim1=1, dim2=2).amax(dim=1).clamp(min=1e-9)
    ridge = _RIDGE * largest[:, None, None] * torch.eye(rows.shape[1])
    weights = torch.linalg.solve(inner + ridge, products[:, :, None])
    return (weights * rows).sum(dim=1)


def abs_from(origin: float) -> Callable[[float], float]:
    """A sort key: the distance from `origin`."""
    return lambda yaw: abs(yaw - origin)


class Appearance:
    """Compares images with their sources.

    Both are (N, 3, S, S) in [-1, 1]; S is 16 or a multiple of 32.
    """

    def __init__(self, sources: torch.Tensor) -> None:
        self._bands = colour_bands(sources)
        self._side = side_light(sources)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """The difference in colours and light of each image from its source, (N,)."""
        colours = (colour_bands(images) - self._bands).square().mean(dim=(1, 2, 3))
        light = (side_light(images) - self._side).square()
        return colours + SIDE_WEIGHT * light


def colour_bands(images: torch.Tensor) -> torch.Tensor:
    """Sorted red, green, blue and grey values of each band of rows, (N, 4, BANDS, n)."""
    small = avg_pool2d(images, max(1, images.shape[-1] // 32))
    rows = small.reshape(len(images), 3, BANDS, -1)
    return torch.cat([rows, rows.mean(dim=1, keepdim=True)], dim=1).sort(dim=-1).values


def side_light(images: torch.Tensor) -> torch.Tensor:
    """Brightness of the face's left half minus its right half, (N,); a mirror negates it."""
    side = images.shape[-1]
    weights = torch.tensor(LUMA, device=images.device)[:, None, None]
    face = (images * weights).sum(dim=1)[:, side // 4 : side - side // 8, side // 4 : -side // 4]
    half = face.shape[-1] // 2
    return face[..., :half].mean(dim=(1, 2)) - face[..., half:].mean(dim=(1, 2))
