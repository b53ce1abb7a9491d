"""Rendered heads as photographs: their true geometry is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.renderer import render_view
from rotation.synthetic_heads.sampling import pose_head, sample_identity, sample_scene


def render_photograph(seed: int, yaw_deg: float = 0.0) -> NDArray[np.uint8]:
    """A rendered head in the size of an aligned CelebA image, (218, 178, 3)."""
    head = pose_head(sample_identity(seed), sample_scene(seed))
    upright = replace(head, yaw_deg=yaw_deg, pitch_deg=0.0, roll_deg=0.0)
    return render_view([upright], CELEBA_VIEW)[0]


@pytest.fixture(scope="session")
def frontal() -> NDArray[np.uint8]:
    return render_photograph(901)


@pytest.fixture(scope="session")
def photograph(frontal: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(frontal)
