"""Schedules against diffusers' own, and the times of the samplers."""

from itertools import pairwise

import numpy as np
import pytest
from diffusers import DDIMScheduler, DDPMScheduler, HeunDiscreteScheduler

from rotation.diffusion.ddim_config import ddim_config
from rotation.diffusion.schedule import CLEAN, NoiseSchedule, timesteps
from rotation.errors import ModelError

CONFIGS = [
    {"beta_schedule": "squaredcos_cap_v2"},
    {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 400},
    {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    {"beta_schedule": "sigmoid", "beta_start": 0.0001, "beta_end": 0.02},
    {"beta_schedule": "laplace"},
    {"beta_schedule": "linear", "rescale_betas_zero_snr": True},
    {"num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.4]},
    {"num_train_timesteps": 2},
]


def named(config):
    return "-".join(map(str, config.values()))


def config_of(scheduler):
    return dict(scheduler.config) | {"_class_name": type(scheduler).__name__}


@pytest.mark.parametrize("config", CONFIGS, ids=named)
def test_schedules_agree_with_diffusers(config):
    theirs = DDPMScheduler(**config)
    ours = NoiseSchedule.from_config(config_of(theirs))
    assert ours.alpha_bar.dtype == np.float64
    np.testing.assert_allclose(ours.alpha_bar, theirs.alphas_cumprod.double().numpy(), atol=1e-6)


def test_the_schedule_that_falls_like_an_exponential_agrees_with_diffusers():
    theirs = HeunDiscreteScheduler(beta_schedule="exp")
    ours = NoiseSchedule.from_config(config_of(theirs))
    np.testing.assert_allclose(ours.alpha_bar, theirs.alphas_cumprod.double().numpy(), atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS, ids=named)
def test_any_schedule_is_one_of_ddim(config):
    written = ddim_config(config_of(DDPMScheduler(**config)), "a test")
    theirs = DDIMScheduler.from_config(written).alphas_cumprod.double().numpy()
    ours = NoiseSchedule.from_config(written)
    np.testing.assert_allclose(ours.alpha_bar, theirs, atol=1e-6)
    first = NoiseSchedule.from_config(config_of(DDPMScheduler(**config)))
    np.testing.assert_allclose(ours.alpha_bar, first.alpha_bar, atol=1e-12)


def test_signal_and_noise_share_the_power():
    schedule = NoiseSchedule.cosine()
    for time in (CLEAN, 0, 1, 500, 999):
        assert schedule.signal(time) ** 2 + schedule.noise(time) ** 2 == pytest.approx(1, abs=1e-15)
    assert (schedule.signal(CLEAN), schedule.noise(CLEAN)) == (1.0, 0.0)
    assert len(schedule) == 1000


@pytest.mark.parametrize("time", [-2, 1000])
def test_times_outside_are_refused(time):
    with pytest.raises(ModelError, match=r"outside 0\.\.999"):
        NoiseSchedule.cosine().signal(time)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta_schedule": "quadratic"}, "beta_schedule"),
        ({"trained_betas": [0.1, 0.2]}, "1,000 numbers, one for each"),
        ({"trained_betas": [0.5] * 1000}, "less than 1e-08 of the image's power"),
        ({"beta_end": 0.9}, "less than 1e-08 of the image's power"),
        ({"num_train_timesteps": None}, "a whole number"),
        ({"num_train_timesteps": "many"}, "a whole number"),
        ({"num_train_timesteps": 10**400}, "a whole number"),
        ({"beta_start": 10**400}, "a number from"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes, message):
    with pytest.raises(ModelError, match=message):
        NoiseSchedule.from_config(config_of(DDPMScheduler()) | changes)


def test_nothing_stands_in_for_an_empty_config():
    with pytest.raises(ModelError, match="'_class_name': it is missing"):
        NoiseSchedule.from_config({})


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.6], [1.0, 0.5], [0.5, 0.0], [[0.5, 0.4]]])
def test_powers_that_do_not_fall_inside_0_and_1_are_refused(values):
    with pytest.raises(ModelError, match="falling"):
        NoiseSchedule(np.array(values))


def test_the_times_of_ten_steps():
    assert timesteps(1000, 10) == (980, 873, 767, 660, 553, 447, 340, 233, 127, 20, 0)


@pytest.mark.parametrize("length", [50, 400, 1000])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 10, 40])
def test_times_fall_evenly_from_the_same_start_to_0(length, steps):
    times = timesteps(length, steps)
    assert len(times) == steps + 1
    assert times[0] == round(0.98 * length)
    assert times[-1] == 0
    assert all(later < earlier for earlier, later in pairwise(times))
    gaps = np.diff(times[:-1])
    assert gaps.size == 0 or np.ptp(gaps) <= 1


@pytest.mark.parametrize("length", [2, 3, 24, 25])
def test_the_times_of_a_short_schedule_lie_in_it(length):
    assert timesteps(length, 1) == (min(round(0.98 * length), length - 1), 0)


def test_as_many_steps_as_there_are_times():
    assert timesteps(1000, 980) == tuple(range(980, -1, -1))


@pytest.mark.parametrize("steps", [0, -3, 981, 5000])
def test_steps_that_do_not_fit_are_refused(steps):
    with pytest.raises(ModelError, match="do not fit"):
        timesteps(1000, steps)
