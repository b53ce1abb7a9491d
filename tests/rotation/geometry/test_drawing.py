"""Hidden parts drawn by a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from rotation.diffusion.schedule import NoiseSchedule
from rotation.geometry.drawing import HiddenParts, aligned_crop, draw_parts, find_hidden
from rotation.geometry.photograph import Photograph
from tests.rotation.geometry.conftest import render_photograph


class Painter:
    """A model that knows one colour only."""

    image_size = 64
    schedule = NoiseSchedule.cosine(1000)
    device = torch.device("cpu")
    refiner = None

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


@pytest.fixture(scope="module")
def parts(photograph: Photograph) -> list[HiddenParts]:
    """What was hidden at three angles."""
    return [
        find_hidden(photograph.turn_by(angle), angle, photograph.head, 64)
        for angle in (-30.0, 20.0, 30.0)
    ]


def test_frames_come_out_alike_alone_and_together(
    parts: list[HiddenParts], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the frames do not fit into one batch."""

    class Dreamer(Painter):
        def eps(self, x: torch.Tensor, time: int) -> torch.Tensor:
            return 0.5 * x

    monkeypatch.setattr("rotation.diffusion.inpainting._BATCH", 2)
    together = draw_parts(parts, Dreamer((0, 1, 0)), seed=3)
    for part, drawn in zip(parts, together, strict=True):
        alone = draw_parts([part], Dreamer((0, 1, 0)), seed=3)[0]
        torch.testing.assert_close(alone, drawn, atol=1e-5, rtol=0)


def test_a_guess_takes_the_colours_around_it_and_leaves_what_was_seen(
    parts: list[HiddenParts],
) -> None:
    """The model sees through the noise at its first look and stays with that: the guess remains."""

    class Believer(Painter):
        seen: torch.Tensor | None = None

        def eps(self, x: torch.Tensor, time: int) -> torch.Tensor:
            signal, sigma = self.schedule.signal(time), self.schedule.noise(time)
            if self.seen is None:
                noise = torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(0))
                self.seen = (x - sigma * noise) / signal
            return (x - signal * self.seen) / sigma

    dark = torch.zeros(len(parts), 3, 64, 64)
    pattern = dark.clone()
    pattern[:, :, ::4] = 0.2
    plain, striped = (
        draw_parts(parts, Believer((0, 0, 0)), guess, seed=0) for guess in (dark, pattern)
    )
    for part, one, other in zip(parts, plain, striped, strict=True):
        seen = part.known[0] > 0.999
        torch.testing.assert_close(one[:, seen], part.image[:, seen], atol=1e-5, rtol=0)
        torch.testing.assert_close(other[:, seen], part.image[:, seen], atol=1e-5, rtol=0)
        hidden = part.known[0] == 0
        assert (other - one)[:, hidden].abs().mean() > 0.02
        # A black guess does not leave black holes: it is lifted to the colours beside it.
        edge = hidden & (torch.nn.functional.max_pool2d(part.known, 9, 1, 4)[0] > 0.999)
        assert (one - part.image)[:, edge].abs().mean() < 0.12
