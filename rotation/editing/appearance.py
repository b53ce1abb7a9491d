"""What of a picture stays when a head turns about its vertical axis, as a loss with a gradient.

A turn moves points along rows: which colours a row of pixels holds changes little, where they are
changes much. So rows are compared by their sorted values, band by band, which is the Wasserstein
distance of their colour distributions; that holds hair, skin, clothes and background. The side of
the light, which sorting cannot see, is held by the brightness of the face's left half less its
right half.
"""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d

BANDS = 16
LUMA = (0.299, 0.587, 0.114)
SIDE_WEIGHT = 0.5


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
