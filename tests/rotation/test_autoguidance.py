"""Autoguidance: away from a weaker network, in the middle of the schedule alone."""

import pytest
import torch

from benchmarks._autoguidance import autoguided
from rotation.diffusion import ddim
from rotation.diffusion.schedule import NoiseSchedule, timesteps


def better(x: torch.Tensor, time: int) -> torch.Tensor:
    return 0.5 * x


def weaker(x: torch.Tensor, time: int) -> torch.Tensor:
    return 0.1 * x


def unasked(x: torch.Tensor, time: int) -> torch.Tensor:
    pytest.fail("the weaker network was asked")


X = torch.ones(1, 3, 2, 2)


def test_it_goes_on_from_the_weaker_past_the_better():
    eps = autoguided(better, weaker, 3.0, (200, 900))
    torch.testing.assert_close(eps(X, 500), 1.3 * X)  # 0.1 + 3 (0.5 - 0.1)


@pytest.mark.parametrize("time", [0, 199, 901, 999])
def test_outside_of_its_times_the_weaker_is_not_asked(time):
    eps = autoguided(better, unasked, 3.0, (200, 900))
    assert torch.equal(eps(X, time), better(X, time))


def test_a_weight_of_one_is_the_better_network():
    assert torch.equal(autoguided(better, unasked, 1.0, (0, 999))(X, 500), better(X, 500))


def test_samples_of_narrow_gaussians_are_narrower_with_guidance():
    """The optimal denoiser of N(0, s^2) data; the weaker one takes the data for wider."""
    power = torch.linspace(0.999, 0.001, 100, dtype=torch.float64).numpy()
    schedule = NoiseSchedule(power)

    def optimal(spread: float):
        def eps(x: torch.Tensor, time: int) -> torch.Tensor:
            signal, sigma = schedule.signal(time), schedule.noise(time)
            return x * sigma / (signal**2 * spread**2 + sigma**2)

        return eps

    times = timesteps(100, 20)
    plain = ddim.sample(optimal(0.3), X, schedule, times)
    guided = autoguided(optimal(0.3), optimal(0.5), 2.0, (0, 99))
    assert 0 < ddim.sample(guided, X, schedule, times)[0, 0, 0, 0] < plain[0, 0, 0, 0]
