"""One regression over every light: planted slopes come back, confounds are adjusted."""

from __future__ import annotations

import numpy as np
import pytest

from rotation.clusters.selection import ClusterMembers, Covariates, Selection
from rotation.directions.direction import Direction, flip_latents, tie_sides
from rotation.directions.fit import FIT_METHODS
from rotation.directions.fit_method import Sides
from rotation.directions.regression import design_matrix, fit_every_light
from rotation.directions.sample_lines import fit_two_lines
from rotation.errors import SelectionError

SIZE = 12
LIGHTS = np.array(["left", "center", "right"], dtype=object)


def planted(count: int = 3000, noise: float = 0.0, seed: int = 0):
    """Latents whose slopes depend on the light, with yaw and light correlated."""
    rng = np.random.default_rng(seed)
    lights = LIGHTS[rng.integers(3, size=count)]
    lean = np.select([lights == "left", lights == "right"], [12.0, -12.0], 0.0)
    yaws = np.clip(rng.uniform(-40, 40, count) + lean, -45, 45)
    pitch = rng.normal(0, 6, count)
    left, right = rng.normal(size=(2, 3, SIZE))
    offsets, nod = rng.normal(size=(3, SIZE)) * 5, rng.normal(size=SIZE)
    index = np.select([lights == "left", lights == "right"], [0, 2], 1)
    latents = (
        offsets[index]
        + np.minimum(yaws, 0)[:, None] * left[index]
        + np.maximum(yaws, 0)[:, None] * right[index]
        + pitch[:, None] * nod
        + noise * rng.normal(size=(count, SIZE))
    )
    return yaws, lights, pitch, latents, left, right


def selected(yaws: np.ndarray, weights: np.ndarray | None = None) -> Selection:
    """One cluster of all images: a regression knows no clusters."""
    count = len(yaws)
    members = ClusterMembers(np.arange(count), np.zeros(count, dtype=bool), yaws, weights)
    return Selection((0.0,), (members,), (), ())


def sides(yaws, lights, pitch, light, ridge=0.0, share=None) -> Sides:
    """The problems of a regression for a source under a light."""
    counted = np.ones(len(yaws)) if share is None else share
    covariates = Covariates(tuple(lights), pitch, light)
    return fit_every_light(selected(yaws), counted, covariates, ridge)


def test_the_slopes_of_each_light_come_back() -> None:
    yaws, lights, pitch, latents, left, right = planted()
    for k, light in enumerate(LIGHTS):
        both = sides(yaws, lights, pitch, light)
        for side, slope in zip(both, (left[k], right[k]), strict=True):
            np.testing.assert_allclose(side.weights() @ latents, slope, atol=1e-9)
            assert side.r2(latents) == pytest.approx(1)


@pytest.mark.parametrize("light", ["left", "center", "right", None])
def test_a_ridge_counts_as_images_that_do_not_turn(light: str | None) -> None:
    """The textbook's way: a row for each coefficient that pulls it to 0, and numpy's solver."""
    yaws, lights, pitch, latents, *_ = planted(120, noise=1.0)
    share = np.random.default_rng(2).uniform(0.5, 2, 120)
    design = design_matrix(yaws, lights, pitch)
    centred = design - share @ design / share.sum()
    points = latents - share @ latents / share.sum()
    rows = np.concatenate([centred * np.sqrt(share)[:, None], np.eye(9)])
    values = np.concatenate([points * np.sqrt(share)[:, None], np.zeros((9, SIZE))])
    expected = np.linalg.lstsq(rows, values, rcond=None)[0] / 10  # columns are tens of degrees
    own = {"left": 3, "right": 6}.get(light or "")
    for k, side in enumerate(sides(yaws, lights, pitch, light, 1.0, share)):
        slope = expected[k] + (0 if own is None else expected[own + k])
        np.testing.assert_allclose(side.weights() @ latents, slope, atol=1e-6)


def test_weights_count_like_repeats() -> None:
    yaws, lights, pitch, latents, *_ = planted(200, noise=1.0)
    weights = np.random.default_rng(1).integers(1, 4, 200)
    weighted = sides(yaws, lights, pitch, "right", 1.0, weights.astype(float))
    again = [np.repeat(column, weights) for column in (yaws, lights, pitch)]
    repeated = sides(*again, "right", 1.0)
    for one, other in zip(weighted, repeated, strict=True):
        many = np.repeat(latents, weights, axis=0)
        np.testing.assert_allclose(one.weights() @ latents, other.weights() @ many, atol=1e-9)
        assert one.r2(latents) == pytest.approx(other.r2(many))


def test_light_does_not_pass_for_yaw() -> None:
    """Light leans with yaw here; a fit without light books its offset on the slope."""
    yaws, lights, pitch, latents, left, _ = planted(noise=0.5, seed=4)
    adjusted = sides(yaws, lights, pitch, "center", 1.0)[0].weights() @ latents
    plain = fit_two_lines(selected(yaws), np.ones(len(yaws)), None)[0].weights() @ latents
    assert np.linalg.norm(adjusted - left[1]) < 0.2 * np.linalg.norm(plain - left[1])


def test_one_sided_images_are_refused() -> None:
    with pytest.raises(SelectionError, match="both sides"):
        sides(np.linspace(5, 30, 20), ["center"] * 20, np.zeros(20), None)


def test_without_the_light_of_each_image_there_is_no_regression() -> None:
    yaws = np.linspace(-30, 30, 20)
    with pytest.raises(SelectionError, match="light of every image"):
        FIT_METHODS["regression"].weights(selected(yaws), np.ones(20), None)


def test_tied_sides_mirror_each_other_exactly() -> None:
    rng = np.random.default_rng(0)
    shape = (3, 4, 4)
    tied = tie_sides(Direction(*rng.normal(size=(2, 48)), 0.1, 0.2), shape)
    np.testing.assert_array_equal(tied.right, -flip_latents(tied.left[None], shape)[0])
    again = tie_sides(tied, shape)
    np.testing.assert_allclose(again.left, tied.left, atol=1e-15)
