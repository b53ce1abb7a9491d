"""A direction: how a latent changes per degree of yaw.

It has two sides that meet at yaw 0,

    path(yaw) = left * min(yaw, 0) + right * max(yaw, 0)

so that a source at any yaw moves by path(target) - path(source).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Direction:
    """Slopes per degree for yaws below 0 (`left`) and above 0 (`right`), (D,), with their R2.

    `flow`: the numbers of the flow along which the image is warped first. The slopes are then
    those of what the flow leaves (`rotation.editing.flow_editing`).
    """

    left: Floats
    right: Floats
    r2_left: float
    r2_right: float
    flow: Floats | None = None

    def path(self, yaw_deg: float) -> Floats:
        """The displacement (D,) from yaw 0 to `yaw_deg`."""
        return self.left * min(yaw_deg, 0.0) + self.right * max(yaw_deg, 0.0)

    def displacement(self, from_deg: float, to_deg: float) -> Floats:
        """The displacement (D,) from one yaw to another."""
        return self.path(to_deg) - self.path(from_deg)

    def move(
        self, latent: Floats, from_deg: float, to_deg: float, keep_norm: bool = True
    ) -> Floats:
        """The latent of a source at yaw `from_deg` turned to `to_deg`, any shape of D numbers.

            z' = z + path(to) - path(from),   with keep_norm  z' <- z' |z| / |z'|

        Latents lie near a sphere (|z| = 110.9 +- 0.7 for D = 12288) that a sum leaves: an
        off-shell latent decodes with too much or too little contrast, so the source's own norm is
        kept. No degrees give the source's latent itself, to the bit.
        """
        if from_deg == to_deg:
            return latent.copy()
        row = latent.reshape(-1)
        moved = row + self.displacement(from_deg, to_deg)
        if keep_norm:
            moved = moved * (np.linalg.norm(row) / max(float(np.linalg.norm(moved)), 1e-12))
        return moved.astype(latent.dtype).reshape(latent.shape)

    def mirrored(self, shape: tuple[int, int, int]) -> Direction:
        """The direction of mirrored sources, for latents of `shape` (C, H, W).

        z(flip x) = flip z and a mirror negates yaw, so right = -flip(left) and vice versa.
        """
        left, right = (-flip_latents(side[None], shape)[0] for side in (self.left, self.right))
        flow = self.flow
        if flow is not None:
            from rotation.directions.flow import Flow  # late: torch, which few directions need

            flow = Flow.of(flow).mirrored().numbers()
        return Direction(right, left, self.r2_right, self.r2_left, flow)


def flip_latents(latents: Floats, shape: tuple[int, int, int]) -> Floats:
    """Latents (n, D) of the mirrored images, for latents of `shape` (C, H, W)."""
    return latents.reshape(len(latents), *shape)[..., ::-1].reshape(len(latents), -1)


def tie_sides(direction: Direction, shape: tuple[int, int, int]) -> Direction:
    """The nearest direction whose right side is exactly the mirrored left one, negated.

        right' = (right - flip(left)) / 2,    left' = -flip(right')

    That is what a source has whose own mirror image is as likely as it, and it halves the noise;
    for a source lit from a side it mixes in the other side's light.
    """
    right = (direction.right - flip_latents(direction.left[None], shape)[0]) / 2
    left = -flip_latents(right[None], shape)[0]
    r2 = (direction.r2_left + direction.r2_right) / 2
    return Direction(left, right, r2, r2)


def cosine(first: Floats, second: Floats) -> float:
    """The cosine between two vectors (D,); 0 where one vanishes."""
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms > 0 else 0.0
