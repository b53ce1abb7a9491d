"""A direction: how a latent changes per degree of yaw.

A direction has two sides that meet at yaw 0:

    path(yaw) = left * min(yaw, 0) + right * max(yaw, 0)

A source moves by path(target yaw) - path(source yaw).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Direction:
    """Slopes of a latent per degree of yaw.

    Attributes:
        left, right: slopes (D,) per degree, for yaws below 0 and above 0.
        r2_left, r2_right: the share of variance that each side's fit explains.
        flow: the parameters of a flow (`Flow.numbers`), or None. With a flow, the image is warped
            first, and the slopes describe the remainder (`rotation.editing.flow_editing`).
        encoder: the encoder of the latents, for a saved direction; empty if it is not known.
    """

    left: Floats
    right: Floats
    r2_left: float
    r2_right: float
    flow: Floats | None = None
    encoder: str = ""

    def path(self, yaw_deg: float) -> Floats:
        """The displacement (D,) from yaw 0 to `yaw_deg`."""
        return self.left * min(yaw_deg, 0.0) + self.right * max(yaw_deg, 0.0)

    def displacement(self, from_deg: float, to_deg: float) -> Floats:
        """The displacement (D,) from one yaw to another."""
        return self.path(to_deg) - self.path(from_deg)

    def move(
        self, latent: Floats, from_deg: float, to_deg: float, keep_norm: bool = True
    ) -> Floats:
        """Move the latent of a source along the path.

            z' = z + path(to) - path(from),   with keep_norm  z' <- z' |z| / |z'|

        Latents lie near a sphere (|z| = 110.9 +- 0.7 for D = 12288), and a sum leaves it. A latent
        of another norm decodes with wrong contrast, so `keep_norm` restores the source's norm.

        Parameters:
            latent: z, of any shape with D elements.
            from_deg, to_deg: the yaw of the source and the target yaw.
            keep_norm: whether z' gets the norm of z.

        Returns:
            z' in the shape of `latent`; for equal yaws a copy of it.
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

        The encoder commutes with mirroring, z(flip x) = flip z, and a mirror negates yaw. So the
        new right side is -flip(left), and the new left side -flip(right).
        """
        left, right = (-flip_latents(side[None], shape)[0] for side in (self.left, self.right))
        flow = self.flow
        if flow is not None:
            from rotation.directions.flow import Flow  # late: loads torch

            flow = Flow.of(flow).mirrored().numbers()
        return Direction(right, left, self.r2_right, self.r2_left, flow)


def flip_latents(latents: Floats, shape: tuple[int, int, int]) -> Floats:
    """Latents (n, D) of the mirrored images, for latents of `shape` (C, H, W)."""
    return latents.reshape(len(latents), *shape)[..., ::-1].reshape(len(latents), -1)


def tie_sides(direction: Direction, shape: tuple[int, int, int]) -> Direction:
    """The nearest direction whose sides mirror each other: left = -flip(right).

        right' = (right - flip(left)) / 2,    left' = -flip(right')

    The mean halves the noise variance. It is right for a source whose mirror image is equally
    likely. For a source lit from one side, it mixes in the light of the other side.

    Parameters:
        direction: the direction, without a flow.
        shape: (C, H, W) of the latents.
    """
    right = (direction.right - flip_latents(direction.left[None], shape)[0]) / 2
    left = -flip_latents(right[None], shape)[0]
    r2 = (direction.r2_left + direction.r2_right) / 2
    return Direction(left, right, r2, r2)


def cosine(first: Floats, second: Floats) -> float:
    """The cosine between two vectors (D,); 0 if one of them is zero."""
    norms = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norms if norms > 0 else 0.0
