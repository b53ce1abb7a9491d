"""Hidden parts drawn by a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from rotation.diffusion.schedule import NoiseSchedule
from rotation.geometry.drawing import aligned_crop
from rotation.geometry.photograph import Photograph
from tests.rotation.geometry.conftest import render_photograph


class Painter:
    """A model that knows one colour only."""

    image_size = 64
    schedule = NoiseSchedule.cosine(1000)
    device = torch.device("cpu")

    def __init__(self, colour: tuple[float, float, float]) -> None:
        self._clean = torch.tensor(colour).reshape(1, 3, 1, 1) * 2 - 1

    def eps(self, x: torch.Tensor, time: int) -> torch.Tensor:
        return (x - self.schedule.signal(time) * self._clean) / self.schedule.noise(time)


@pytest.fixture(scope="module")
def photograph() -> Photograph:
    return Photograph(Image.fromarray(render_photograph(907)))


def test_the_model_draws_hidden_parts_and_nothing_else(photograph: Photograph) -> None:
    plain = photograph.turn_to(30.0).pixels.astype(int)
    green = photograph.turn_to(30.0, Painter((0, 1, 0))).pixels.astype(int)
    changed = np.abs(green - plain).max(axis=2)
    drawn = (green[..., 1] > 180) & (green[..., 0] < 80) & (changed > 40)
    assert drawn.sum() > 100
    seen = photograph.turn_by(30.0 - photograph.yaw_deg).seen
    assert seen[changed > 40].mean() < 0.7
    assert changed[:25].max() == 0
    assert changed[:, -10:].max() == 0


def test_small_turns_hide_little(photograph: Photograph) -> None:
    plain = photograph.turn_to(photograph.yaw_deg).pixels
    drawn = photograph.turn_to(photograph.yaw_deg, Painter((0, 1, 0))).pixels
    assert np.array_equal(plain, drawn)


def test_the_crop_of_a_frontal_head_is_that_of_celeba(photograph: Photograph) -> None:
    left, top, side = aligned_crop(photograph.head, 0.0)
    assert side == pytest.approx(128, rel=0.12)
    assert left == pytest.approx(24, abs=10)
    assert top == pytest.approx(56, abs=14)
