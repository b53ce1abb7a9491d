"""The yaw of generated faces as a function that can be differentiated, from MTCNN's last network.

A landmark network asked once is easily fooled by a latent that follows its gradient, so each
picture is read several times, in crops moved and scaled at random, as it is and mirrored. That
makes the reading of a mirrored picture the negated one in expectation, exactly with the same
crops.
"""

from __future__ import annotations

import torch
from facenet_pytorch.models.mtcnn import ONet
from torch.nn.functional import grid_sample

SIDE = 48  # pixels of the network's input
CENTRE, HALF = (0.5, 0.539), 0.445
"""Middle and half side of the face in a standard crop, as shares of its side."""

SHIFT, SCALE = 0.04, 0.1  # how far crops move, as a share of the side, and are scaled
DEGREES = 91.0
"""Degrees for each unit of (nose - middle of eyes and mouth) / distance of the eyes, fitted to
true renders within +-30 degrees; mean error 2.3 degrees there."""


class YawReader:
    """Reads yaw in degrees, positive towards the viewer's right, off standard crops."""

    def __init__(self, device: torch.device | str = "cpu", crops: int = 8, seed: int = 0) -> None:
        self._network = ONet().eval().requires_grad_(False).to(device)
        self._crops = crops
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Yaw and pitch (N, 2) of images (N, 3, S, S) in [-1, 1]; new random crops at each call.

        Pitch is not read: it is 0.
        """
        readings = []
        for grid in self._grids(images):
            plain, mirrored = (self._offset(picture, grid) for picture in (images, images.flip(-1)))
            readings.append((plain - mirrored) / 2)
        yaws = DEGREES * torch.stack(readings).mean(dim=0)
        return torch.stack([yaws, torch.zeros_like(yaws)], dim=1)

    def _grids(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Where in the picture, in [-1, 1], each input pixel of each crop lies, (1, 48, 48, 2)."""
        steps = (torch.arange(SIDE) + 0.5) / SIDE * 2 - 1
        rows, columns = torch.meshgrid(steps, steps, indexing="ij")
        square = torch.stack([columns, rows], dim=-1)[None] * HALF * 2
        centre = torch.tensor(CENTRE) * 2 - 1
        chance = torch.rand(self._crops, 3, generator=self._generator) * 2 - 1
        places = square * (1 + SCALE * chance[:, :1, None, None]) + centre
        moved = places + 2 * SHIFT * chance[:, None, None, 1:]
        return list(moved.to(images).split(1))

    def _offset(self, images: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """The nose's offset (N,) from the middle of eyes and mouth, by the distance of the eyes."""
        patch = grid_sample(
            images, grid.expand(len(images), -1, -1, -1), padding_mode="border", align_corners=False
        )
        _, points, _ = self._network(patch * (127.5 / 128))
        x = points[:, :5]
        middle = (x[:, 0] + x[:, 1] + x[:, 3] + x[:, 4]) / 4
        return (x[:, 2] - middle) / (x[:, 1] - x[:, 0]).clamp(min=0.1)
