"""Pasting frames back into the photograph that the source was cropped from.

Each pixel of the photograph inside the crop's box is read from the frame, where the crop would have
put it. A mask blends both images. It falls to zero at the edge of the box, so the photograph is
unchanged outside of it.
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
    """The blending weight of the frame: 1 inside, falling smoothly to 0 at its outline.

    The outline is |u|^p + |v|^p = 1, with u and v from -1 to 1 across the box.

    Attributes:
        power: p; 2 is an ellipse, larger values approach the box.
        feather: over which share of the half width the weight falls.
    """

    power: float = 4.0
    feather: float = 0.35

    def weights(self, box: Box, exact: tuple[float, float, float, float]) -> NDArray[np.float64]:
        """The weight (h, w) of the frame at each pixel of `box`.

            smoothstep((1 - r) / feather),    r = (|u|^p + |v|^p)^(1/p)

        Parameters:
            box: left, top, right, bottom in whole pixels.
            exact: the crop's box, with fractions of pixels.
        """
        left, top, right, bottom = exact
        u = (np.arange(box[0], box[2]) + 0.5 - (left + right) / 2) / ((right - left) / 2)
        v = (np.arange(box[1], box[3]) + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)
        power = self.power
        radius = (np.abs(v[:, None]) ** power + np.abs(u[None]) ** power) ** (1 / power)
        share = np.clip((1 - radius) / max(self.feather, 1e-6), 0, 1)
        return share**2 * (3 - 2 * share)


def paste_back(
    photograph: Image.Image,
    frame: Pixels,
    mask: Mask | None = None,
    mirrored: bool = False,
    exact: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """The RGB photograph with a frame (S, S, 3) in the place of its standard crop.

    The frame is resized by a bicubic filter, with antialiasing if it is reduced.

    Parameters:
        mirrored: photograph and frame are both mirror images of what was cropped. CelebA's crop is
            not in the middle of the image, so its box is then mirrored too.
        exact: left, top, right and bottom of the crop in pixels; None: `crop_box`.
    """
    exact = exact or crop_box(*photograph.size)
    if mirrored:
        width = photograph.width
        exact = (width - exact[2], exact[1], width - exact[0], exact[3])
    box = _whole_pixels(exact)
    share = (mask or Mask()).weights(box, exact)[..., None]
    whole = np.array(photograph.convert("RGB"))
    view = whole[box[1] : box[3], box[0] : box[2]]
    face = resample_frame(frame, box, exact)
    view[:] = np.rint(np.clip(share * face + (1 - share) * view, 0, 255)).astype(np.uint8)
    return Image.fromarray(whole)


def resample_frame(
    frame: Pixels, box: Box, exact: tuple[float, float, float, float]
) -> NDArray[np.float64]:
    """The frame (S, S, 3), which fills `exact`, at the pixels of `box`: (h, w, 3).

    Pixels of `box` beyond the edge of `exact` get the value of the frame's edge.
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
    """The smallest box of whole pixels that contains a box."""
    left, top, right, bottom = exact
    return math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
