"""The flow of a turning head: a velocity field over yaw, fitted to the mean images of clusters.

Under weak perspective, a point of a turning head moves horizontally in proportion to its depth.
The alignment of CelebA adds a little shift, scale and shear. So image points p follow

    dp / ds = v(p, s),   v_x = sum_k s^k A_k(p),   v_y = sum_k s^k b_k (1, p),   s = yaw / 30

where each A_k is smooth: a coarse grid of coefficients, interpolated bicubically. The mean image of
each cluster, warped along v, must match the mean image of its neighbour. The fit assumes brightness
constancy and smoothness (B. Horn, B. Schunck, *Determining Optical Flow*, Artificial Intelligence
17, 1981). These assumptions hold between clusters of the same light only. A warp integrates v from
one yaw to another. So a warp there and back is the identity, and trajectories of points do not
depend on the yaw at which they start.

In blurred means, the fit underestimates the motion. So a flow has a yaw scale: v is integrated over
the turn times this factor. `rotation.editing.flow_editing.scale_yaw` fits the factor to the poses
measured on warped images.

Coordinates p are (x, y) in [-1, 1], from edge to edge of the crop at any resolution.
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

ORDERS = 3  # powers of yaw, from 0
GRID = 6  # coefficients per side of A_k; a finer grid follows shadows and hair
UNIT_DEG = 30.0
STEP_DEG = 5.0  # integration step of the midpoint rule
FARTHEST_DEG = 40.0
"""Clusters reach no farther (`clusters.selection.CLUSTER_REACH_DEG`). Beyond it, v is constant."""

SIDE = 64  # side of the images compared, in pixels
REACH_DEG = 15.0  # largest distance of neighbouring clusters
LEVELS = 4096  # grey levels; quantised, an image and its mirror image get equal values
ROUNDS = ((2.0, 40), (1.2, 40), (0.6, 40))  # blur in pixels, steps: coarse to fine
RATE = 0.01  # of Adam
SMOOTHNESS = 6e-3  # weight of roughness relative to the error
SOFT = 0.1  # the loss is quadratic below this error, linear above
CONTRAST_PIXELS, LEAST_CONTRAST = 4.0, 0.02


@dataclass(frozen=True)
class Flow:
    """A velocity field over yaw.

    Attributes:
        across: the horizontal grids A_k, (ORDERS, n, n), float32.
        along: the vertical coefficients b_k, (ORDERS, 3), float32.
        yaw_scale: a factor (1,). A turn from a to b integrates v from yaw_scale a to yaw_scale b.
    """

    across: torch.Tensor
    along: torch.Tensor
    yaw_scale: torch.Tensor = field(default_factory=lambda: torch.ones(1))

    def numbers(self) -> NDArray[np.float32]:
        """All parameters in one vector (3 n n + 10,), as `Direction.flow` keeps them."""
        return torch.cat([self.across.flatten(), self.along.flatten(), self.yaw_scale]).numpy()

    @classmethod
    def of(cls, numbers: NDArray[np.floating]) -> Flow:
        """The flow of such a vector. One without a yaw scale, (3 n n + 9,), gets the scale 1."""
        row = torch.from_numpy(np.asarray(numbers, dtype=np.float32))
        side = int(((len(row) - 3 * ORDERS) / ORDERS) ** 0.5)
        across, along, yaw_scale = row.tensor_split([ORDERS * side**2, ORDERS * (side**2 + 3)])
        parts = across.reshape(ORDERS, side, side), along.reshape(ORDERS, 3)
        return cls(*parts, yaw_scale) if len(yaw_scale) else cls(*parts)

    def mirrored(self) -> Flow:
        """The flow of mirrored images, whose yaws have the opposite sign."""
        odd = torch.tensor([1.0, -1.0, 1.0])[:ORDERS, None]
        across = self.across.flip(-1) * odd[..., None]  # x and yaw both change sign
        return Flow(across, self.along * -odd * torch.tensor([1.0, -1.0, 1.0]), self.yaw_scale)

    def origins(self, from_deg: torch.Tensor, to_deg: torch.Tensor, side: int) -> torch.Tensor:
        """Trace each pixel of the target image back to its place in the source image.

        Parameters:
            from_deg, to_deg: yaws (N,) of the source and of the target images.
            side: pixels per side of the images.

        Returns:
            Coordinates (x, y) in the source images, (N, side, side, 2), in [-1, 1].
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
        step = turn[:, None, None, None] / (steps * UNIT_DEG)
        for k in range(steps):
            here, between = to_deg + turn * k / steps, to_deg + turn * (k + 0.5) / steps
            halfway = points + self._velocity(field, points, here) * step / 2
            points = points + self._velocity(field, halfway, between) * step
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
        """Warp images from one yaw to another.

        Parts that turn into view are stretched from their neighbourhood. Beyond the border, the
        border is repeated.

        Parameters:
            images: (N, C, S, S).
            from_deg, to_deg: N yaws each, of the images and of the result.

        Returns:
            Warped images (N, C, S, S). Bicubic interpolation may leave the range of the input.
        """
        start, end = (torch.tensor(list(yaws), dtype=torch.float32) for yaws in (from_deg, to_deg))
        return _look_up(images, self.origins(start, end, images.shape[-1]), "bicubic")


def fit_flow(means: Pixels, yaws_deg: Sequence[float], counts: Sequence[float]) -> Flow:
    """Fit the flow between the mean images of clusters.

    The fit to the images and the fit to their mirror images are averaged. So mirrored clusters
    give exactly the mirrored flow, although rounding errors grow from step to step in each fit.

    Parameters:
        means: mean images (K, S, S, 3), uint8.
        yaws_deg: the mean yaw of each cluster.
        counts: the effective number of images in each cluster.

    Raises:
        SelectionError: no two clusters are neighbours.
    """
    yaws = torch.tensor(list(yaws_deg), dtype=torch.float32)
    if not _are_neighbours(yaws).any():
        raise SelectionError(
            f"A flow needs two clusters at most {REACH_DEG:g} degrees apart; there are clusters "
            f"at {', '.join(f'{yaw:g}' for yaw in yaws.tolist())}. "
            "Turn by line instead (--editing line)."
        )
    sizes = torch.tensor(list(counts), dtype=torch.float32)
    luma = torch.from_numpy((means @ LUMA / 255).astype(np.float32))[:, None]
    luma = functional.interpolate(luma, (SIDE, SIDE), mode="bilinear", antialias=True)
    luma = (luma * LEVELS).round() / LEVELS  # see `LEVELS`
    plain = _fit(luma, yaws, sizes)
    mirrored = _fit(luma.flip(0, -1), -yaws.flip(0), sizes.flip(0)).mirrored()
    return Flow((plain.across + mirrored.across) / 2, (plain.along + mirrored.along) / 2)


@torch.enable_grad()
def _fit(luma: torch.Tensor, yaws: torch.Tensor, sizes: torch.Tensor) -> Flow:
    """Fit the flow between mean images (K, 1, SIDE, SIDE) of clusters of `sizes` (K,) images."""
    here, there = torch.nonzero(_are_neighbours(yaws)).T
    weights = sizes[here] * sizes[there] / (sizes[here] + sizes[there])
    weights = (weights / weights.mean()).clamp(max=2)[:, None, None, None] * _window()
    flow = Flow(
        torch.zeros(ORDERS, GRID, GRID, requires_grad=True),
        torch.zeros(ORDERS, 3, requires_grad=True),
    )
    optimiser = torch.optim.Adam([flow.across, flow.along], lr=RATE)
    for blur, steps in ROUNDS:
        images = _even_contrast(_blurred(luma, blur))
        for _ in range(steps):
            origins = flow.origins(yaws[here], yaws[there], SIDE)
            error = _look_up(images[here], origins, "bilinear") - images[there]
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
    """The weight of each pixel: high on the face, low around it."""
    centres = _centres(SIDE)
    return torch.exp(-((centres / 0.75) ** 4) - (((centres - 0.1) / 0.9) ** 4)[:, None])


def _roughness(across: torch.Tensor) -> torch.Tensor:
    """The mean squared gradient of the fields, interpolated bicubically to SIDE x SIDE."""
    field = functional.interpolate(across[None], (SIDE, SIDE), mode="bicubic", align_corners=True)
    return SIDE**2 * (field.diff(dim=-1).square().mean() + field.diff(dim=-2).square().mean())


def _even_contrast(luma: torch.Tensor) -> torch.Tensor:
    """Normalise the local contrast, so that dark and bright sides of a face count equally."""
    deviation = luma - _blurred(luma, CONTRAST_PIXELS)
    return deviation / (_blurred(deviation**2, CONTRAST_PIXELS).sqrt() + LEAST_CONTRAST)


def _blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of images (N, 1, S, S)."""
    from scipy.ndimage import gaussian_filter  # late: only flows need scipy

    sigmas, reach = (0, 0, sigma, sigma), int(3 * sigma) + 1
    blurred = gaussian_filter(images.numpy(), sigmas, mode="nearest", radius=(0, 0, reach, reach))
    return torch.from_numpy(blurred)
