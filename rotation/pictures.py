"""Pictures as people bring them: crops of PIL images, arrays and tensors, and the yaw they show."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from rotation.dataset.crop import standard_crop
from rotation.errors import ModelError, SelectionError
from rotation.images import from_pixels, to_pixels

Picture = Image.Image | np.ndarray | torch.Tensor
MIN_CONFIDENCE = 0.2
"""Under this, landmarks were read off something that is no face; clusters leave such images out."""


def as_crop(picture: Picture, size: int) -> torch.Tensor:
    """The crop (3, S, S) in [0, 1], float32, of a picture; `ModelError` for another shape."""
    if isinstance(picture, Image.Image):
        exact = picture.size == (size, size)
        pixels = np.asarray(picture.convert("RGB")) if exact else standard_crop(picture, size)
        return torch.from_numpy(from_pixels(pixels[None])[0])
    if isinstance(picture, np.ndarray):
        if picture.dtype == np.uint8:
            picture = picture.astype(np.float32) / 255
        crop = torch.from_numpy(np.moveaxis(picture, -1, 0).astype(np.float32))
    else:
        crop = picture.detach().to("cpu", torch.float32)
    if crop.shape != (3, size, size) or not bool(((crop >= 0) & (crop <= 1)).all()):
        raise ModelError(
            f"A crop of {size} x {size} pixels in [0, 1] is needed, array (S, S, 3) or tensor "
            f"(3, S, S), not {tuple(picture.shape)}; or give a PIL image, which is cropped."
        )
    return crop


def read_yaw(crop: torch.Tensor) -> float:
    """The yaw in degrees that landmarks show on a crop (3, S, S); `SelectionError` without."""
    from rotation.landmarks import LandmarkDetector  # late: loads MTCNN

    found = LandmarkDetector().crop_poses(to_pixels(crop[None].numpy()))
    yaw = float(found.yaw_deg[0])
    if not np.isfinite(yaw) or found.confidence[0] < MIN_CONFIDENCE:
        raise SelectionError("No face is found in the picture; say its yaw with source_yaw_deg.")
    return yaw
