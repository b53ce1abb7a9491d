"""How pictures of a head flow as it turns: a velocity field of yaw, read off the clusters' means.

Under weak perspective a point of a turning head moves across the picture in proportion to its
depth, and CelebA's alignment adds a little shift, scale and slant. So a picture's points follow

    dp / dyaw = v(p, yaw),   v_x = sum_k (yaw / 30)^k A_k(p),   v_y = sum_k (yaw / 30)^k b_k (1, p)

with A_k smooth (a coarse grid of numbers, bicubic between them). v is fitted so that the mean
picture of each cluster, warped along it, becomes its neighbour's: brightness constancy and
smoothness (B. Horn, B. Schunck, *Determining Optical Flow*, Artificial Intelligence 17, 1981),
which hold between clusters of the same light and fail between those of different ones. Warping
is integrating v from one yaw to another, so there and back is where it began, and a point's way
does not depend on where the picture was taken up.

Brightness constancy and smoothness find less movement in blurred means than there is. So a flow has
a yaw scale: v is followed for so many times the turn. It is fitted to what a pose estimator says of
images that were warped (`rotation.editing.flow_editing.scale_yaw`).

Coordinates p are (x, y) in [-1, 1] from edge to edge of the crop, whatever its pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rotation.data.crop import Pixels
from rotation.errors import SelectionError
from rotation.imaging.metrics import LUMA

ORDERS = 3  # powers of yaw, the zeroth included
GRID = 6  # numbers a side of A_k: finer ones follow shadows and hair
UNIT_DEG = 30.0
STEP_DEG = 5.0  # of integration, by the midpoint rule
FARTHEST_DEG = 40.0
"""Clusters reach no farther (`clusters.CLUSTER_REACH_DEG`): beyond, v stays as it is there."""

SIDE = 64  # pixels of the pictures that are compared
REACH_DEG = 15.0  # neighbours are so near
LEVELS = 4096  # of grey, so that rounding tells no picture from its mirror image
ROUNDS = ((2.0, 40), (1.2, 40), (0.6, 40))  # blur in pixels, steps: coarse to fine
RATE = 0.01  # of Adam
SMOOTHNESS = 6e-3  # what roughness weighs against the error
SOFT = 0.1  # errors count as their squares below, as they are above
CONTRAST_PIXELS, LEAST_CONTRAST = 4.0, 0.02


@dataclass(frozen=True)
class Flow:
    """A velocity field: `across` (ORDERS, n, n), the A_k; `along` (ORDERS, 3), the b_k. float32.

    A turn from a to b follows v from `yaw_scale` a to `yaw_scale` b, a factor (1,).
    """

    across: torch.Tensor
    along: torch.Tensor
    yaw_scale: torch.Tensor = field(default_factory=lambda: torch.ones(1))

    def numbers(self) -> NDArray[np.float32]:
        """All numbers in a row (3 n n + 10,), as `Direction.flow` keeps them."""
        return torch.cat([self.across.flatten(), self.along.flatten(), self.yaw_scale]).numpy()

    @classmethod
    def of(cls, numbers: NDArray[np.floating]) -> Flow:
        """The flow of such a row of numbers; of one without a yaw scale (3 n n + 9,) too."""
        row = torch.from_numpy(np.asarray(numbers, dtype=np.float32))
        side = int(((len(row) - 3 * ORDERS) / ORDERS) ** 0.5)
        across, along, yaw_scale = row.tensor_split([ORDERS * side**2, ORDERS * (side**2 + 3)])
        parts = across.reshape(ORDERS, side, side), along.reshape(ORDERS, 3)
        return cls(*parts, yaw_scale) if len(yaw_scale) else cls(*parts)

    def mirrored(self) -> Flow:
        """The flow of mirrored pictures, whose yaws have the other sign."""
        odd = torch.tensor([1.0, -1.0, 1.0])[:ORDERS, None]
        across = self.across.flip(-1) * odd[..., None]  # x and yaw both change their signs
        return Flow(across, self.along * -odd * torch.tensor([1.0, -1.0, 1.0]), self.yaw_scale)

    def origins(self, from_deg: torch.Tensor, to_deg: torch.Tensor, side: int) -> torch.Tensor:
        """Where the points of pictures at yaws `to_deg` (N,) were at `from_deg` (N,).

        Returns (N, side, side, 2), the x and y of each pixel's centre.
        """
        centres = _centres(side)
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        points = torch.stack([x, y], -1).expand(len(to_deg), -1, -1, -1)
        field = functional.interpolate(
            self.across[None], (SIDE, SIDE), mode="bicubic", align_corners=True
        )
        from_deg, to_deg = from_deg * self.yaw_scale, to_deg * self.yaw_scale
        turn = from_deg - to_deg
        steps = max(1, int(np.ceil(float(turn.abs().max()) / STEP_DEG)))
        pace = turn[:, None, None, None] / (steps * UNIT_DEG)
        for k in range(steps):
            here, between = to_deg + turn * k / steps, to_deg + turn * (k + 0.5) / steps
            halfway = points + self._velocity(field, points, here) * pace / 2
            points = points + self._velocity(field, halfway, between) * pace
        return points

    def _velocity(
        self, field: torch.Tensor, points: torch.Tensor, yaw_deg: torch.Tensor
    ) -> torch.Tensor:
        """v (N, S, S, 2) at points (N, S, S, 2) and yaws (N,), for `UNIT_DEG` degrees."""
        yaw = yaw_deg.clamp(-FARTHEST_DEG, FARTHEST_DEG) / UNIT_DEG
        powers = torch.stack([yaw**k for k in range(ORDERS)], 1)  # (N, ORDERS)
        at = _look_up(field.expand(len(points), -1, -1, -1), points, "bilinear")
        across = torch.einsum("nk,nkij->nij", powers, at)
        whole = torch.cat([torch.ones_like(points[..., :1]), points], -1)
        along = torch.einsum("nk,kc,nijc->nij", powers, self.along, whole)
        return torch.stack([across, along], -1)

    def warp(
        self, images: torch.Tensor, from_deg: Sequence[float], to_deg: Sequence[float]
    ) -> torch.Tensor:
        """Images (N, C, S, S) at yaws `from_deg` (N,), warped to `to_deg` (N,); not clamped.

        What turns into view is stretched from what is beside it; beyond the edge, the edge goes on.
        """
        start, end = (torch.tensor(list(yaws), dtype=torch.float32) for yaws in (from_deg, to_deg))
        return _look_up(images, self.origins(start, end, images.shape[-1]), "bicubic")


def fit_flow(means: Pixels, yaws_deg: Sequence[float], counts: Sequence[float]) -> Flow:
    """The flow between mean pictures (K, S, S, 3) of clusters at K yaws, of so many images each.

    Fitted to the pictures and to their mirror images, and averaged, so that mirrored clusters have
    the mirrored flow to the last digit: what rounding makes of either fit grows from step to step.

    Raises `SelectionError` where no two clusters are neighbours.
    """
    yaws = torch.tensor(list(yaws_deg), dtype=torch.float32)
    if not _are_neighbours(yaws).any():
        raise SelectionError(
            f"A flow needs two clusters at most {REACH_DEG:g} degrees apart; there are clusters "
            f"at {', '.join(f'{yaw:g}' for yaw in yaws.tolist())}. Leave it out with --no-carry."
        )
    sizes = torch.tensor(list(counts), dtype=torch.float32)
    luma = torch.from_numpy((means @ LUMA / 255).astype(np.float32))[:, None]
    luma = functional.interpolate(luma, (SIDE, SIDE), mode="bilinear", antialias=True)
    luma = (luma * LEVELS).round() / LEVELS  # a picture and its mirror image alike to the bit
    plain = _fit(luma, yaws, sizes)
    mirrored = _fit(luma.flip(0, -1), -yaws.flip(0), sizes.flip(0)).mirrored()
    return Flow((plain.across + mirrored.across) / 2, (plain.along + mirrored.along) / 2)


@torch.enable_grad()
def _fit(luma: torch.Tensor, yaws: torch.Tensor, sizes: torch.Tensor) -> Flow:
    """The flow between pictures (K, 1, SIDE, SIDE) of clusters of so many images (K,)."""
    here, there = torch.nonzero(_are_neighbours(yaws)).T
    weights = sizes[here] * sizes[there] / (sizes[here] + sizes[there])
    weights = (weights / weights.mean()).clamp(max=2)[:, None, None, None] * _window()
    flow = Flow(
        torch.zeros(ORDERS, GRID, GRID, requires_grad=True),
        torch.zeros(ORDERS, 3, requires_grad=True),
    )
    optimiser = torch.optim.Adam([flow.across, flow.along], lr=RATE)
    for blur, steps in ROUNDS:
        pictures = _even_contrast(_blurred(luma, blur))
        for _ in range(steps):
            origins = flow.origins(yaws[here], yaws[there], SIDE)
            error = _look_up(pictures[here], origins, "bilinear") - pictures[there]
            loss = (weights * (torch.sqrt(error**2 + SOFT**2) - SOFT)).mean()
            optimiser.zero_grad()
            (loss + SMOOTHNESS * _roughness(flow.across)).backward()
            optimiser.step()
    return Flow(flow.across.detach(), flow.along.detach())


def _are_neighbours(yaws: torch.Tensor) -> torch.Tensor:
    apart = (yaws[:, None] - yaws[None]).abs()
    return (apart > 0) & (apart <= REACH_DEG)


def _look_up(images: torch.Tensor, points: torch.Tensor, mode: str) -> torch.Tensor:
    return functional.grid_sample(
        images, points, mode=mode, padding_mode="border", align_corners=False
    )


def _centres(side: int) -> torch.Tensor:
    return (torch.arange(side) + 0.5) / side * 2 - 1


def _window() -> torch.Tensor:
    """How much each pixel of a crop counts: the face, not its surroundings."""
    centres = _centres(SIDE)
    return torch.exp(-((centres / 0.75) ** 4) - (((centres - 0.1) / 0.9) ** 4)[:, None])


def _roughness(across: torch.Tensor) -> torch.Tensor:
    """Mean square slope of the fields between pixels of 1 / SIDE^2, bicubic in between."""
    field = functional.interpolate(across[None], (SIDE, SIDE), mode="bicubic", align_corners=True)
    return SIDE**2 * (field.diff(dim=-1).square().mean() + field.diff(dim=-2).square().mean())


def _even_contrast(luma: torch.Tensor) -> torch.Tensor:
    """Deviations from the neighbourhood in units of its own: dark and bright sides count alike."""
    deviation = luma - _blurred(luma, CONTRAST_PIXELS)
    return deviation / (_blurred(deviation**2, CONTRAST_PIXELS).sqrt() + LEAST_CONTRAST)


def _blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of pictures (N, 1, S, S)."""
    from scipy.ndimage import gaussian_filter  # late: turns without a flow need no scipy

    sigmas, reach = (0, 0, sigma, sigma), int(3 * sigma) + 1
    blurred = gaussian_filter(images.numpy(), sigmas, mode="nearest", radius=(0, 0, reach, reach))
    return torch.from_numpy(blurred)
