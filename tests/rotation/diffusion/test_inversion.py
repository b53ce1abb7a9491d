"""Exact inversion: by identities, and on networks that contract slowly, hardly, or not at all."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation.diffusion import ddim
from rotation.diffusion.inversion import invert_exactly, sweep
from rotation.diffusion.schedule import NoiseSchedule, timesteps
from rotation.errors import ModelError

SCHEDULES = (
    NoiseSchedule.cosine(),
    NoiseSchedule.linear(0.0001, 0.02),
    NoiseSchedule.scaled_linear(0.00085, 0.012),
)
COSINE = SCHEDULES[0]
TIMES = timesteps(1000, 10)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(x, time):
    return torch.tanh(x + 0.3 * x.mean(dim=(1, 2, 3), keepdim=True)) * (0.5 + time / 2500)


def spacings(last=999):
    """Falling rows of two to sixty times that end anywhere."""
    return st.sets(st.integers(0, last), min_size=2, max_size=60).map(
        lambda times: tuple(sorted(times, reverse=True))
    )


@settings(deadline=None, max_examples=60)
@given(schedule=st.sampled_from(SCHEDULES), times=spacings(980), seed=st.integers(0, 99))
def test_constant_noise_is_undone_to_twelve_places_for_every_spacing(schedule, times, seed):
    x, constant = normal(1, 3, 4, 4, seed=seed), normal(1, 3, 4, 4, seed=seed + 100)
    cheap = ddim.invert(lambda *_: constant, x, schedule, times)
    exact = invert_exactly(lambda x, _: constant[: len(x)], x, schedule, times).z
    for z in (cheap, exact):
        again = ddim.sample(lambda *_: constant, z, schedule, times)
        assert (again - x).abs().max() < 1e-12


@pytest.mark.parametrize("steps", [1, 2, 10, 20, 50, 200])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_even_spacings_of_every_count_too(schedule, steps):
    x, constant = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1)
    times = timesteps(1000, steps)
    z = ddim.invert(lambda *_: constant, x, schedule, times)
    assert (ddim.sample(lambda *_: constant, z, schedule, times) - x).abs().max() < 1e-12


@pytest.mark.parametrize("steps", [1, 10, 50])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-8])
def test_a_smooth_network_is_inverted_to_the_tolerance(steps, tolerance):
    times, x = timesteps(1000, steps), normal(3, 3, 8, 8) / 2
    found = invert_exactly(smooth, x, COSINE, times, tolerance)
    again = ddim.sample(smooth, found.z, COSINE, times)
    assert (found.residual <= tolerance).all()
    assert (again - x).square().mean().sqrt() < steps * 3 * tolerance


def test_it_takes_fewer_evaluations_than_plain_corrections():
    """Gaussian data with white noise below: the slowest case of the plain iteration."""

    def whitened(x, time):
        return COSINE.noise(time) * x * scale(time)

    def scale(time):
        spread = torch.logspace(-4, 2, 64, dtype=torch.float64).view(1, 1, 8, 8)
        return 1 / (COSINE.signal(time) ** 2 * spread + COSINE.noise(time) ** 2)

    x = normal(2, 3, 8, 8)
    found = invert_exactly(whitened, x, COSINE, TIMES, 1e-6)
    spent = int(found.evaluations.max())
    plain = ddim.invert(whitened, x, COSINE, TIMES, math.ceil(spent / 10))
    errors = [
        (ddim.sample(whitened, z, COSINE, TIMES) - x).square().mean() for z in (found.z, plain)
    ]
    assert (found.residual <= 1e-6).all()
    assert errors[0] < 1e-4 * errors[1]


def test_what_was_decoded_is_found_again():
    z = normal(3, 3, 8, 8)
    x = ddim.sample(smooth, z, COSINE, TIMES)
    found = invert_exactly(smooth, x, COSINE, TIMES, 1e-10).z
    assert torch.cosine_similarity(found.flatten(1), z.flatten(1)).min() > 0.9999


def test_no_image_changes_what_becomes_of_another():
    """One that never converges and one that is done at once, beside the same two images."""

    def mixed(x, time):
        wild = x.mean(dim=(1, 2, 3), keepdim=True) > 5
        return torch.where(wild, 40 * torch.sin(9 * x), smooth(x, time))

    x = normal(4, 3, 8, 8) / 2
    x[0] += 20
    x[1] *= 0
    together = invert_exactly(mixed, x, COSINE, TIMES, 1e-8)
    alone = [invert_exactly(mixed, part, COSINE, TIMES, 1e-8) for part in x[2:].split(1)]
    torch.testing.assert_close(together.z[2:], torch.cat([a.z for a in alone]), rtol=0, atol=1e-12)
    assert together.evaluations[2:].tolist() == [int(a.evaluations) for a in alone]
    assert (together.residual <= 1e-8).tolist() == [False, True, True, True]


def test_what_diverges_ends_reports_its_residual_and_keeps_the_best():
    def wild(x, time):
        return 40 * torch.sin(9 * x + time)

    x = normal(2, 3, 8, 8)
    found = invert_exactly(wild, x, COSINE, TIMES, 1e-6, limit=25)
    assert not (found.residual <= 1e-6).any()
    assert found.z.isfinite().all()
    assert found.evaluations.max() <= 10 * 26


def test_evaluations_are_counted_and_spared_for_those_done():
    calls = []

    def counting(x, time):
        calls.append(len(x))
        return smooth(x, time)

    x = normal(4, 3, 8, 8)
    x[0] = 0
    found = invert_exactly(counting, x, COSINE, TIMES, 1e-8)
    assert sum(calls) == int(found.evaluations.sum())
    assert found.evaluations[0] < found.evaluations[1:].min()


def test_mirroring_commutes():
    x = normal(2, 3, 8, 8)
    found = invert_exactly(smooth, x, COSINE, TIMES, 1e-10).z
    mirrored = invert_exactly(smooth, x.flip(-1), COSINE, TIMES, 1e-10).z
    torch.testing.assert_close(mirrored, found.flip(-1), rtol=0, atol=1e-9)


def test_sweeps_close_in_from_a_poor_start():
    x = normal(2, 3, 8, 8) / 2
    z, errors = torch.zeros_like(x), []
    for _ in range(6):
        errors.append((ddim.sample(smooth, z, COSINE, TIMES) - x).square().mean().item())
        z = sweep(smooth, z, x, COSINE, TIMES)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * errors[0]


@pytest.mark.parametrize(("tolerance", "limit"), [(0.0, 5), (-1.0, 5), (1e-3, 0)])
def test_settings_without_sense_are_refused(tolerance, limit):
    with pytest.raises(ModelError, match="above 0"):
        invert_exactly(smooth, normal(1, 3, 4, 4), COSINE, TIMES, tolerance, limit)
