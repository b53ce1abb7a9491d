"""Inpainting with a model whose answers are known."""

from __future__ import annotations

import pytest
import torch

from rotation.diffusion.inpainting import inpaint
from rotation.diffusion.schedule import NoiseSchedule, timesteps
from rotation.errors import ModelError

SCHEDULE = NoiseSchedule.cosine(100)
TIMES = tuple(time for time in sorted(timesteps(100, 10), reverse=True) if time < 80)


def knows(truth: torch.Tensor):
    """A perfect denoiser for one image."""

    def eps(x: torch.Tensor, time: int) -> torch.Tensor:
        return (x - SCHEDULE.signal(time) * truth) / SCHEDULE.noise(time)

    return eps


def draw(truth: torch.Tensor, images: torch.Tensor, known: torch.Tensor, **options) -> torch.Tensor:
    noise = torch.Generator().manual_seed(options.pop("seed", 0))
    return inpaint(knows(truth), images, known, SCHEDULE, TIMES, noise, **options)


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_model_that_knows_the_image_draws_it(repeats: int) -> None:
    truth = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    known = torch.zeros(2, 1, 8, 8)
    known[..., :4] = 1
    images = truth * known - (1 - known)
    assert torch.allclose(draw(truth, images, known, repeats=repeats), truth, atol=1e-4)


def test_known_pixels_are_kept_whatever_the_model_says() -> None:
    images = torch.full((1, 3, 8, 8), 0.3)
    known = torch.zeros(1, 1, 8, 8)
    known[..., 2:6, :] = 1
    drawn = draw(torch.full_like(images, -0.9), images, known)
    assert torch.equal(drawn[..., 2:6, :], images[..., 2:6, :])
    assert torch.allclose(drawn[..., :2, :], torch.tensor(-0.9), atol=1e-4)


def test_the_seed_decides() -> None:
    def vague(x: torch.Tensor, time: int) -> torch.Tensor:
        return 0.5 * x

    images, known = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    first, again, other = (
        inpaint(vague, images, known, SCHEDULE, TIMES, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_times_must_fall() -> None:
    images = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ModelError):
        inpaint(knows(images), images, images[:, :1], SCHEDULE, (10, 20), torch.Generator())
