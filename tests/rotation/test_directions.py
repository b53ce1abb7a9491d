"""Lines through latents: recovered where known, mirrored where mirrored, damped where noisy."""

from __future__ import annotations

import numpy as np
import pytest

from rotation.directions.direction import (
    METHODS,
    Direction,
    centroids,
    cosine,
    fit_line,
    fit_samples,
    fit_sides,
    flip_latents,
    shrink_spectrum,
)
from rotation.directions.fit import fit_direction
from rotation.errors import SelectionError
from rotation.selection import Members, Selection

SHAPE = (3, 8, 8)
SIZE = 192
ANGLES = np.arange(-30.0, 31.0, 10.0)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def bent(yaws: np.ndarray, left: np.ndarray, right: np.ndarray, start: np.ndarray) -> np.ndarray:
    return start + np.minimum(yaws, 0)[:, None] * left + np.maximum(yaws, 0)[:, None] * right


def test_a_line_is_recovered_whatever_the_weights() -> None:
    slope, start = random(2, SIZE)
    points = start + ANGLES[:, None] * slope
    for weights in (None, np.array([1, 9, 2, 30, 4, 1, 7.0])):
        line = fit_line(ANGLES, points, weights)
        np.testing.assert_allclose(line.slope, slope, atol=1e-12)
        np.testing.assert_allclose(line.intercept, start, atol=1e-10)
        assert line.r2 == pytest.approx(1)


def test_r2_is_the_explained_share() -> None:
    noise = random(200, 3, seed=1)
    yaws = np.tile(ANGLES, 200)[:200]
    assert fit_line(yaws, noise).r2 < 0.1
    half = fit_line(yaws, np.stack([yaws / yaws.std(), random(200, seed=2)], axis=1))
    assert half.r2 == pytest.approx(0.5, abs=0.07)


def test_weights_count_like_repeats() -> None:
    points, weights = random(4, 5), np.array([1, 2, 3, 1])
    yaws = np.array([-10.0, 0, 5, 20])
    weighted = fit_line(yaws, points, weights)
    repeated = fit_line(np.repeat(yaws, weights), np.repeat(points, weights, axis=0))
    np.testing.assert_allclose(weighted.slope, repeated.slope, atol=1e-12)
    assert weighted.r2 == pytest.approx(repeated.r2)


@pytest.mark.parametrize("angles", [ANGLES, np.arange(-25.0, 26, 10)])
def test_each_side_has_its_line(angles: np.ndarray) -> None:
    left, right, start = random(3, SIZE)
    if 0 in angles:
        fit = fit_sides(angles, bent(angles, left, right, start))
        np.testing.assert_allclose(fit.left, left, atol=1e-12)
        np.testing.assert_allclose(fit.right, right, atol=1e-12)
    same = fit_sides(angles, bent(angles, left, left, start))
    np.testing.assert_allclose(same.right, left, atol=1e-12)


def test_a_side_without_clusters_takes_the_other_line() -> None:
    left, start = random(2, SIZE)
    angles = np.array([-30.0, -20, -10, 0])
    fit = fit_sides(angles, bent(angles, left, left, start))
    np.testing.assert_allclose(fit.right, left, atol=1e-12)


def test_samples_recover_both_sides_or_one_line() -> None:
    left, right, start = random(3, SIZE)
    yaws = np.random.default_rng(2).uniform(-35, 35, 300)
    fit = fit_samples(yaws, bent(yaws, left, right, start))
    np.testing.assert_allclose(fit.left, left, atol=1e-10)
    np.testing.assert_allclose(fit.right, right, atol=1e-10)
    single = fit_samples(yaws, bent(yaws, left, left, start), kink=False)
    np.testing.assert_allclose(single.left, left, atol=1e-10)
    assert np.array_equal(single.left, single.right)


def test_samples_are_at_least_as_good_as_centroids_under_noise() -> None:
    left, right, start = 0.02 * random(3, SIZE)
    yaws = np.random.default_rng(3).uniform(-35, 35, 700)
    latents = bent(yaws, left, right, start) + random(700, SIZE, seed=4)
    groups = [np.abs(yaws - angle) <= 5 for angle in ANGLES]
    paper = fit_sides(ANGLES, centroids([latents[group] for group in groups]))
    samples = fit_samples(yaws, latents)
    error = [np.linalg.norm(fit.left - left) + np.linalg.norm(fit.right - right)
             for fit in (paper, samples)]  # fmt: skip
    assert error[1] < error[0]


def test_mirroring_commutes_with_the_fit() -> None:
    yaws = np.random.default_rng(5).uniform(-35, 35, 100)
    latents = random(100, SIZE, seed=6)
    mirrored = fit_samples(-yaws, flip_latents(latents, SHAPE))
    expected = fit_samples(yaws, latents).mirrored(SHAPE)
    np.testing.assert_allclose(mirrored.left, expected.left, atol=1e-12)
    np.testing.assert_allclose(mirrored.right, expected.right, atol=1e-12)


def test_doubled_data_gives_mirrored_sides() -> None:
    yaws = np.random.default_rng(5).uniform(-35, 35, 100)
    latents = random(100, SIZE, seed=6)
    both = np.concatenate([latents, flip_latents(latents, SHAPE)])
    fit = fit_samples(np.concatenate([yaws, -yaws]), both)
    np.testing.assert_allclose(fit.right, -flip_latents(fit.left[None], SHAPE)[0], atol=1e-12)


def test_displacements_add_up() -> None:
    direction = Direction(*random(2, SIZE), 1.0, 1.0)
    there = direction.displacement(-20, 5) + direction.displacement(5, 30)
    np.testing.assert_allclose(there, direction.displacement(-20, 30), atol=1e-12)
    np.testing.assert_allclose(direction.displacement(10, 20), 10 * direction.right, atol=1e-12)


@pytest.mark.parametrize("fit", [fit_sides, fit_samples, fit_line])
def test_one_yaw_is_no_line(fit) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SelectionError, match="yaw"):
        fit(np.array([10.0, 10.0]), random(2, SIZE))


def test_shrinkage_keeps_what_halves_agree_on() -> None:
    coarse = np.zeros(SHAPE)
    coarse[:, :, :4] = 1.0  # a difference between left and right half
    signal = coarse.reshape(-1)
    np.testing.assert_allclose(shrink_spectrum(signal, (signal, signal), SHAPE), signal, atol=1e-9)
    noise = 1.5 * random(2, SIZE, seed=8)
    halves = (signal + noise[0], signal + noise[1])
    mean = (halves[0] + halves[1]) / 2
    shrunk = shrink_spectrum(mean, halves, SHAPE, bands=4)
    assert np.linalg.norm(shrunk - signal) < 0.85 * np.linalg.norm(mean - signal)
    assert np.linalg.norm(shrunk) <= np.linalg.norm(mean)


def test_shrinkage_of_pure_disagreement_is_nothing() -> None:
    noise = random(SIZE)
    assert np.linalg.norm(shrink_spectrum(noise, (noise, -noise), SHAPE)) == 0


def test_cosine() -> None:
    a = random(SIZE)
    assert cosine(a, 3 * a) == pytest.approx(1)
    assert cosine(a, -a) == pytest.approx(-1)
    assert cosine(a, np.zeros(SIZE)) == 0


def test_one_image_and_its_mirror_image_are_no_direction() -> None:
    both = Members(np.array([4, 4]), np.array([False, True]), np.array([15.0, -15.0]))
    selection = Selection((-10.0, 10.0), (both, both), (), ())
    latents = random(4, *SHAPE).astype(np.float32)
    for method in METHODS:
        with pytest.raises(SelectionError, match="two images at least"):
            fit_direction(selection, latents, method, False, np.random.default_rng(0))
