"""Lines through latents: recovered where known, mirrored where mirrored, damped where noisy."""

from __future__ import annotations

import numpy as np
import pytest

from rotation.clusters.selection import ClusterMembers, Selection
from rotation.directions.direction import Direction, cosine, flip_latents
from rotation.directions.fit import FIT_METHODS, fit_direction, fit_method
from rotation.directions.fit_method import shrink_spectrum
from rotation.errors import SelectionError

SHAPE = (3, 8, 8)
SIZE = 192
ANGLES = np.arange(-30.0, 31.0, 10.0)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def bent(yaws: np.ndarray, left: np.ndarray, right: np.ndarray, start: np.ndarray) -> np.ndarray:
    return start + np.minimum(yaws, 0)[:, None] * left + np.maximum(yaws, 0)[:, None] * right


def selection_at(yaws: np.ndarray, weights: np.ndarray | None = None) -> Selection:
    """Clusters every 10 degrees of images at these yaws, which must rise."""
    angles = tuple(np.unique(np.round(yaws / 10) * 10).tolist())
    members = ClusterMembers(np.arange(len(yaws)), np.zeros(len(yaws), dtype=bool), yaws, weights)
    nearest = np.round(yaws / 10) * 10
    clusters = tuple(members.take(nearest == angle) for angle in angles)
    return Selection(angles, clusters, (), ())


def spread(count: int, reach: float = 34.0, seed: int = 2) -> np.ndarray:
    """Rising yaws on both sides, a few in each cluster."""
    return np.sort(np.random.default_rng(seed).uniform(-reach, reach, count))


def fitted(
    name: str, yaws: np.ndarray, latents: np.ndarray, weights: np.ndarray | None = None
) -> Direction:
    """The direction that a method without covariates fits to latents (n, D)."""
    selection = selection_at(yaws, weights)
    rows = latents.reshape(len(latents), *SHAPE)
    return fit_direction(selection, rows, FIT_METHODS[name], np.random.default_rng(0)).direction


def textbook(design: np.ndarray, points: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients (p, D) and R2 of a weighted fit with a constant, by numpy's least squares."""
    root = np.sqrt(share)[:, None]
    columns = np.concatenate([np.ones((len(design), 1)), design], axis=1)
    found = np.linalg.lstsq(columns * root, points * root, rcond=None)[0]
    rest = share @ np.square(points - columns @ found).sum(axis=1)
    mean = share @ points / share.sum()
    return found[1:], 1 - rest / (share @ np.square(points - mean).sum(axis=1))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["paper", "samples", "one-line"])
def test_each_method_is_the_least_squares_of_the_textbook(name: str, weighted: bool) -> None:
    yaws = spread(90)
    latents = 0.02 * yaws[:, None] * random(1, SIZE, seed=3) + random(90, SIZE, seed=4)
    weights = np.random.default_rng(5).uniform(0.5, 2, 90) if weighted else np.ones(90)
    found = fitted(name, yaws, latents, weights)
    if name == "paper":
        groups = np.round(yaws / 10) * 10
        angles = np.unique(groups)
        means = [
            np.average(latents[groups == a], axis=0, weights=weights[groups == a]) for a in angles
        ]
        sizes = [
            weights[groups == a].sum() ** 2 / np.square(weights[groups == a]).sum() for a in angles
        ]
        sides = [(angles <= 0, "left"), (angles >= 0, "right")]
        expected = {}
        for side, word in sides:
            (slope,), r2 = textbook(
                angles[side, None], np.stack(means)[side], np.array(sizes)[side]
            )
            expected[word] = slope, r2
    else:
        columns = [np.minimum(yaws, 0), np.maximum(yaws, 0)] if name == "samples" else [yaws]
        coefficients, r2 = textbook(np.stack(columns, axis=1), latents, weights)
        expected = {"left": (coefficients[0], r2), "right": (coefficients[-1], r2)}
    for word, (slope, r2) in expected.items():
        np.testing.assert_allclose(getattr(found, word), slope, atol=1e-6)
        assert getattr(found, f"r2_{word}") == pytest.approx(r2, abs=1e-6)


@pytest.mark.parametrize("name", ["paper", "samples"])
def test_each_side_has_its_line(name: str) -> None:
    left, right, start = random(3, SIZE)
    yaws = np.repeat(ANGLES, 3)
    fit = fitted(name, yaws, bent(yaws, left, right, start))
    np.testing.assert_allclose(fit.left, left, atol=1e-10)
    np.testing.assert_allclose(fit.right, right, atol=1e-10)
    assert fit.r2_left == pytest.approx(1)


def test_centroids_off_zero_still_make_lines() -> None:
    left, start = random(2, SIZE)
    angles = np.arange(-25.0, 26, 10)
    members = ClusterMembers(np.arange(12), np.zeros(12, dtype=bool), np.repeat(angles, 2))
    clusters = tuple(members.take(np.arange(k, k + 2)) for k in range(0, 12, 2))
    selection = Selection(tuple(angles.tolist()), clusters, (), ())
    latents = bent(np.repeat(angles, 2), left, left, start).reshape(-1, *SHAPE)
    fit = fit_direction(selection, latents, FIT_METHODS["paper"], np.random.default_rng(0))
    np.testing.assert_allclose(fit.direction.left, left, atol=1e-10)
    np.testing.assert_allclose(fit.direction.right, left, atol=1e-10)


@pytest.mark.parametrize("name", ["paper", "samples"])
def test_a_side_without_images_takes_the_other_line(name: str) -> None:
    left, start = random(2, SIZE)
    yaws = np.repeat([-30.0, -20, -10, 0], 3)
    fit = fitted(name, yaws, bent(yaws, left, left, start))
    np.testing.assert_allclose(fit.right, left, atol=1e-10)


def test_r2_is_the_explained_share() -> None:
    yaws = spread(200)
    noise = random(200, SIZE, seed=1)
    assert fitted("one-line", yaws, noise).r2_left < 0.1
    half = noise.copy()
    half[:, 0] *= 0
    half[:, 0] += yaws / yaws.std() * np.sqrt(SIZE - 1)
    assert fitted("one-line", yaws, half).r2_left == pytest.approx(0.5, abs=0.07)


def test_samples_are_at_least_as_good_as_centroids_under_noise() -> None:
    left, right, start = 0.02 * random(3, SIZE)
    yaws = spread(700)
    latents = bent(yaws, left, right, start) + random(700, SIZE, seed=4)
    error = [
        np.linalg.norm(fit.left - left) + np.linalg.norm(fit.right - right)
        for fit in (fitted(name, yaws, latents) for name in ("paper", "samples"))
    ]
    assert error[1] < error[0]


def test_mirroring_commutes_with_the_fit() -> None:
    yaws, latents = spread(100), random(100, SIZE, seed=6)
    mirrored = fitted("samples", -yaws[::-1], flip_latents(latents, SHAPE)[::-1])
    expected = fitted("samples", yaws, latents).mirrored(SHAPE)
    np.testing.assert_allclose(mirrored.left, expected.left, atol=1e-12)
    np.testing.assert_allclose(mirrored.right, expected.right, atol=1e-12)


def test_displacements_add_up() -> None:
    direction = Direction(*random(2, SIZE), 1.0, 1.0)
    there = direction.displacement(-20, 5) + direction.displacement(5, 30)
    np.testing.assert_allclose(there, direction.displacement(-20, 30), atol=1e-12)
    np.testing.assert_allclose(direction.displacement(10, 20), 10 * direction.right, atol=1e-12)


@pytest.mark.parametrize("name", ["paper", "samples", "one-line"])
def test_one_yaw_is_no_line(name: str) -> None:
    with pytest.raises(SelectionError, match="yaw"):
        fitted(name, np.array([10.0, 10.0, 10.0]), random(3, SIZE))


def test_an_unknown_method_names_those_there_are() -> None:
    with pytest.raises(SelectionError, match="'best'; paper, samples, one-line, regression are"):
        fit_method("best")


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
    both = ClusterMembers(np.array([4, 4]), np.array([False, True]), np.array([15.0, -15.0]))
    selection = Selection((-10.0, 10.0), (both, both), (), ())
    latents = random(4, *SHAPE).astype(np.float32)
    for method in FIT_METHODS.values():
        with pytest.raises(SelectionError, match="two images at least"):
            fit_direction(selection, latents, method, np.random.default_rng(0))
