"""Pictures with the same contrast everywhere, so that networks find faces in hard light.

A lamp from the side leaves half of a face black, and networks trained on common photographs miss
it. Each pixel is divided by the geometric mean of the brightness around it, as in D. Jobson,
Z. Rahman, G. Woodell, *Properties and performance of a center/surround retinex*, 1997.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name

GREY = 0.45  # of a pixel that is as bright as its neighbourhood
_REACH = 1 / 3  # of the side: of the neighbourhood, from its middle to its edge
_FLOOR = 0.002  # half a grey level is added, so that grain in black stays faint
_CONTRAST = 0.35


def even_contrast(images: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Return images with even contrast, grey where nothing is known.

    Parameters:
        images: (N, 3, H, W) from 0 to 1.
        inside: (N, 1, H, W), 0 where a place lies outside of the photograph, else 1.
    """
    grey = (images.mean(dim=1, keepdim=True) + _FLOOR).log()
    reach = max(1, round(images.shape[3] * _REACH / 2))
    around, share = grey * inside, inside
    for _ in range(2):  # two box filters are nearly a Gaussian one
        around, share = _box_filter(around, reach), _box_filter(share, reach)
    log_level = around / share.clamp(min=1e-3)
    even = GREY * (((images + _FLOOR).log() - log_level) * _CONTRAST).exp()
    return torch.where(inside > 0, even, GREY).clamp(0, 1)


def _box_filter(values: torch.Tensor, reach: int) -> torch.Tensor:
    """The mean over windows of 2 * reach + 1 pixels, with zeros outside.

    By running sums, whose time does not depend on the window.
    """
    width = 2 * reach + 1
    for _ in range(2):  # along rows, then along columns
        sums = F.pad(values, (reach + 1, reach)).cumsum(dim=3)
        values = ((sums[..., width:] - sums[..., :-width]) / width).transpose(2, 3)
    return values
