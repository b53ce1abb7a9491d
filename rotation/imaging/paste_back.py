"""Frames back into the photograph the source was cropped from, at the photograph's full size.

The crop is undone by its inverse: each pixel of the photograph inside the crop's box reads the
frame where the crop would have put it. A mask that fades to nothing before the box's edge blends
the two, so outside of it the photograph keeps every pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rotation.data.crop import Pixels, crop_box

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Mask:
    """Where the frame shows: 1 inside, falling smoothly to 0 at the edge of the crop's box.

    The outline is |u|^p + |v|^p = 1 with u, v from -1 to 1 across the box: `power` 2 is the
    ellipse, larger is squarer. `feather` is the share of the half width over which it fades.
    """

    power: float = 4.0
    feather: float = 0.35

    def weights(self, box: Box, exact: tuple[float, float, float, float]) -> NDArray[np.float64]:
        """Shares (h, w) of the frame at the centres of the pixels of `box`.

        smoothstep((1 - r) / feather), with r the pixel's place between the centre (0) and the
        outline (1) of the `exact` box.
        """
        left, top, right, bottom = exact
        u = (np.arange(box[0], box[2]) + 0.5 - (left + right) / 2) / ((right - left) / 2)
        v = (np.arange(box[1], box[3]) + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)
        power = self.power
        radius = (np.abs(v[:, None]) ** power + np.abs(u[None]) ** power) ** (1 / power)
        share = np.clip((1 - radius) / max(self.feather, 1e-6), 0, 1)
        return share**2 * (3 - 2 * share)


def paste_back(
    photograph: Image.Image, frame: Pixels, mask: Mask | None = None, mirrored: bool = False
) -> Image.Image:
    """The RGB photograph with a frame (S, S, 3) of its standard crop in its place.

    `mirrored`: photograph and frame are both mirror images of what was cropped. CelebA's box is
    not in the middle of the image, so it has to be mirrored with them.

    The frame is brought to the photograph's scale by a bicubic filter, antialiased where it has
    more pixels than the box. Blended in float64, rounded once.
    """
    exact = crop_box(*photograph.size)
    if mirrored:
        width = photograph.width
        exact = (width - exact[2], exact[1], width - exact[0], exact[3])
    box = _whole_pixels(exact)
    share = (mask or Mask()).weights(box, exact)[..., None]
    whole = np.array(photograph.convert("RGB"))
    view = whole[box[1] : box[3], box[0] : box[2]]
    face = place(frame, box, exact)
    view[:] = np.rint(np.clip(share * face + (1 - share) * view, 0, 255)).astype(np.uint8)
    return Image.fromarray(whole)


def place(frame: Pixels, box: Box, exact: tuple[float, float, float, float]) -> NDArray[np.float64]:
    """The frame (S, S, 3) as it lies on the pixels of `box`, (h, w, 3), when it fills `exact`.

    Pixels of `box` that reach over the edge of `exact` see the frame's edge continued.
    """
    side, rim = len(frame), 4
    across, down = side / (exact[2] - exact[0]), side / (exact[3] - exact[1])
    rim = max(rim, math.ceil(across) + 1, math.ceil(down) + 1)
    rimmed = np.pad(frame, ((rim, rim), (rim, rim), (0, 0)), mode="edge").astype(np.float32)
    region = (
        (box[0] - exact[0]) * across + rim,
        (box[1] - exact[1]) * down + rim,
        (box[2] - exact[0]) * across + rim,
        (box[3] - exact[1]) * down + rim,
    )
    size = (box[2] - box[0], box[3] - box[1])
    planes = [
        Image.fromarray(np.ascontiguousarray(rimmed[..., c])).resize(
            size, Image.Resampling.BICUBIC, box=region
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(plane, dtype=np.float64) for plane in planes], axis=-1)


def _whole_pixels(exact: tuple[float, float, float, float]) -> Box:
    """The pixels that a box touches."""
    left, top, right, bottom = exact
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
