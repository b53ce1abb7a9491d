"""DDIM by its identities: no trained weights are needed to know that it is right."""

import math
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler

from rotation.diffusion import ddim
from rotation.diffusion.schedule import CLEAN, NoiseSchedule, timesteps
from rotation.errors import ModelError

SCHEDULES = {
    "cosine": NoiseSchedule.cosine(),
    "linear": NoiseSchedule.linear(0.0001, 0.02),
    "scaled": NoiseSchedule.scaled_linear(0.00085, 0.012),
}


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    return SCHEDULES[request.param]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian_denoiser(schedule):
    """The best possible eps for data from N(0, I): E[eps | x_t] = sigma_t x_t."""
    return lambda x, time: schedule.noise(time) * x


def smooth_denoiser(x, time):
    """Not linear, different at each time, and the same read backwards along the width."""
    return torch.tanh(x + 0.3 * x.mean(dim=(1, 2, 3), keepdim=True)) * (0.5 + time / 2500)


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 50, 200])
@pytest.mark.parametrize("iterations", [0, 1, 5])
def test_constant_noise_is_undone_exactly(schedule, steps, iterations):
    x, constant = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1)
    times = timesteps(1000, steps)
    z = ddim.invert(lambda *_: constant, x, schedule, times, iterations)
    again = ddim.sample(lambda *_: constant, z, schedule, times)
    assert (again - x).abs().max() < 1e-12


@pytest.mark.parametrize("times", [(980, 500, 3), (700, 699, 1, 0), (980, 20, CLEAN)])
def test_any_falling_times_do(schedule, times):
    x, constant = normal(1, 3, 4, 4), normal(1, 3, 4, 4, seed=1)
    z = ddim.invert(lambda *_: constant, x, schedule, times)
    assert (ddim.sample(lambda *_: constant, z, schedule, times) - x).abs().max() < 1e-12


@pytest.mark.parametrize("steps", [1, 10, 100])
def test_gaussian_data_turn_by_the_angle_between_levels(schedule, steps):
    """With alpha_bar = cos(theta)^2 each step multiplies by cos(theta_s - theta_t)."""
    times = timesteps(1000, steps)
    angles = [math.acos(schedule.signal(time)) for time in times]
    factor = math.prod(math.cos(b - a) for a, b in pairwise(angles))
    z = normal(2, 3, 4, 4)
    x = ddim.sample(gaussian_denoiser(schedule), z, schedule, times)
    torch.testing.assert_close(x, factor * z, rtol=1e-10, atol=0)


@pytest.mark.parametrize("start", [950, 500, 20])
def test_one_step_equals_that_of_diffusers(start):
    theirs = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2", clip_sample=False, timestep_spacing="leading"
    )
    theirs.set_timesteps(10)
    x, eps = normal(1, 3, 8, 8).float(), normal(1, 3, 8, 8, seed=1).float()
    target = start - 100 if start >= 100 else CLEAN
    ours = ddim.step(x, eps, SCHEDULES["cosine"], start, target)
    # Both divide by the signal, 0.08 at time 950: compare relative to the result.
    wanted = theirs.step(eps, start, x).prev_sample
    assert (ours - wanted).abs().max() < 1e-6 * max(1.0, wanted.abs().max().item())


@pytest.mark.parametrize("steps", [10, 50])
def test_the_whole_sampler_equals_that_of_diffusers(steps):
    theirs = DDIMScheduler(
        beta_schedule="linear",
        clip_sample=False,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(steps)
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    z = normal(2, 3, 8, 8)
    x = z
    for time in theirs.timesteps:
        x = theirs.step(smooth_denoiser(x, int(time)), int(time), x).prev_sample
    schedule = NoiseSchedule(theirs.alphas_cumprod.numpy())
    times = (*(int(time) for time in theirs.timesteps), CLEAN)
    ours = ddim.sample(smooth_denoiser, z, schedule, times)
    assert (ours - x).abs().max() < 1e-6


def test_corrections_bring_the_inversion_nearer():
    times, schedule = timesteps(1000, 10), SCHEDULES["cosine"]
    x = normal(2, 3, 8, 8) / 2
    errors = []
    for iterations in (0, 1, 3, 10, 200):
        z = ddim.invert(smooth_denoiser, x, schedule, times, iterations)
        again = ddim.sample(smooth_denoiser, z, schedule, times)
        errors.append((again - x).square().mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-12


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_in_between_constant_noise_is_undone_exactly_and_a_step_costs_one(schedule, share):
    x, constant = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1)
    times, asked = timesteps(len(schedule), 10), []

    def denoiser(state, time):
        asked.append(time)
        return constant

    z = ddim.invert_smoothed(denoiser, x, schedule, times, share)
    assert (ddim.sample(denoiser, z, schedule, times) - x).abs().max() < 1e-12
    inverting = asked[:10]
    assert all(a < b for a, b in pairwise(inverting))
    for start, time, between in zip(times[::-1], times[-2::-1], inverting, strict=False):
        assert start <= between <= time


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_only_a_share_of_a_step_is_taken(schedule, share):
    with pytest.raises(ModelError, match="0 to 1"):
        ddim.invert_smoothed(lambda x, _: x, normal(1, 3, 4, 4), schedule, (20, 0), share)


def test_mirroring_commutes_both_ways():
    times, schedule = timesteps(1000, 10), SCHEDULES["cosine"]
    z = normal(2, 3, 8, 8)
    x = ddim.sample(smooth_denoiser, z, schedule, times)
    mirrored = ddim.sample(smooth_denoiser, z.flip(-1), schedule, times)
    torch.testing.assert_close(mirrored, x.flip(-1), rtol=0, atol=1e-12)
    back = ddim.invert(smooth_denoiser, x.flip(-1), schedule, times)
    wanted = ddim.invert(smooth_denoiser, x, schedule, times).flip(-1)
    torch.testing.assert_close(back, wanted, rtol=0, atol=1e-12)


def test_an_image_does_not_depend_on_its_neighbours():
    times, schedule = timesteps(1000, 10), SCHEDULES["cosine"]
    z = normal(5, 3, 8, 8)
    together = ddim.invert(smooth_denoiser, z, schedule, times)
    alone = ddim.invert(smooth_denoiser, z[3:4], schedule, times)
    torch.testing.assert_close(together[3:4], alone, rtol=0, atol=1e-12)


def test_callbacks_see_every_step_and_the_result():
    times, schedule, seen = (900, 500, 100, 0), SCHEDULES["cosine"], []
    z = normal(1, 3, 4, 4)
    x = ddim.sample(smooth_denoiser, z, schedule, times, seen.append)
    assert [(step["index"], step["time"]) for step in seen] == [(0, 500), (1, 100), (2, 0)]
    assert seen[-1]["x"] is x
    seen.clear()
    ddim.invert(smooth_denoiser, x, schedule, times, callback=seen.append)
    assert [step["time"] for step in seen] == [100, 500, 900]


@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_an_inversion_costs_one_evaluation_and_its_corrections(iterations):
    calls = []

    def counting(x, time):
        calls.append(time)
        return smooth_denoiser(x, time)

    ddim.invert(counting, normal(1, 3, 4, 4), SCHEDULES["cosine"], (900, 500, 0), iterations)
    assert calls == [0, *[500] * iterations, 500, *[900] * iterations]


@pytest.mark.parametrize("times", [(), (5,), (5, 5), (0, 10), (10, 0, 5)])
def test_times_that_do_not_fall_are_refused(times):
    for function in (ddim.sample, ddim.invert):
        with pytest.raises(ModelError, match="fall"):
            function(smooth_denoiser, normal(1, 3, 4, 4), SCHEDULES["cosine"], times)


def test_fewer_than_no_corrections_are_refused():
    with pytest.raises(ModelError, match="-1"):
        ddim.invert(smooth_denoiser, normal(1, 3, 4, 4), SCHEDULES["cosine"], (9, 0), -1)
