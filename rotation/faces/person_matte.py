"""The matte of a person: which share of each pixel shows people rather than background.

The weights are those of MediaPipe's selfie segmentation and are bundled (`networks/person-matte`).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name
from numpy.typing import NDArray

from rotation.faces.layer_graph import load_network


@torch.no_grad()
def find_matte(photograph: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The matte (H, W) of a photograph (H, W, 3), from 0 (background) to 1 (person).

    The mattes of the photograph and of its mirror image are averaged.
    """
    network = load_network("person-matte")
    pixels = torch.from_numpy(np.array(photograph)).permute(2, 0, 1)[None].float() / 255
    small = F.interpolate(pixels, network.size, mode="bilinear", antialias=True)
    both = network(torch.cat([small, small.flip(3)]))[0]
    matte = (both[:1] + both[1:].flip(3)) / 2
    whole = F.interpolate(matte, pixels.shape[2:], mode="bilinear", antialias=True)
    return whole[0, 0].clamp(0, 1).numpy()
