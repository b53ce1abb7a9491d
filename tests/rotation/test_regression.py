"""One regression over every light: planted slopes come back, confounds are adjusted."""

from __future__ import annotations

import numpy as np
import pytest

from rotation.directions.direction import Direction, fit_samples, flip_latents, tie_sides
from rotation.directions.regression import NormalEquations, design_matrix, direction_for
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


def equations(yaws, lights, pitch, latents, block: int) -> NormalEquations:
    found = NormalEquations()
    design = design_matrix(yaws, lights, pitch)
    for start in range(0, len(design), block):
        found.add(design[start : start + block], latents[start : start + block])
    return found


def test_the_slopes_of_each_light_come_back() -> None:
    yaws, lights, pitch, latents, left, right = planted()
    found = equations(yaws, lights, pitch, latents, 500)
    for k, light in enumerate(LIGHTS):
        direction = direction_for(found, light, ridge=0)
        np.testing.assert_allclose(direction.left, left[k], atol=1e-9)
        np.testing.assert_allclose(direction.right, right[k], atol=1e-9)
        assert direction.r2_left == pytest.approx(1)


def test_blocks_add_up_to_the_whole() -> None:
    data = planted(700, noise=1.0)[:4]
    whole, parts = equations(*data, 700), equations(*data, 64)
    np.testing.assert_allclose(whole.moment, parts.moment, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(
        direction_for(whole, "left").left, direction_for(parts, "left").left, atol=1e-9
    )


def test_weights_count_like_repeats() -> None:
    yaws, lights, pitch, latents, *_ = planted(200, noise=1.0)
    weights = np.random.default_rng(1).integers(1, 4, 200)
    design = design_matrix(yaws, lights, pitch)
    weighted, repeated = NormalEquations(), NormalEquations()
    weighted.add(design, latents, weights)
    repeated.add(np.repeat(design, weights, axis=0), np.repeat(latents, weights, axis=0))
    np.testing.assert_allclose(
        direction_for(weighted, "right").right, direction_for(repeated, "right").right, atol=1e-9
    )
    samples = fit_samples(yaws, latents, weights=weights)
    again = fit_samples(np.repeat(yaws, weights), np.repeat(latents, weights, axis=0))
    np.testing.assert_allclose(samples.left, again.left, atol=1e-9)


def test_light_does_not_pass_for_yaw() -> None:
    """Light leans with yaw here; a fit without light books its offset on the slope."""
    yaws, lights, pitch, latents, left, _ = planted(noise=0.5, seed=4)
    adjusted = direction_for(equations(yaws, lights, pitch, latents, 999), "center")
    plain = fit_samples(yaws, latents)
    error = np.linalg.norm(adjusted.left - left[1])
    assert error < 0.2 * np.linalg.norm(plain.left - left[1])


def test_one_sided_images_are_refused() -> None:
    found = NormalEquations()
    yaws = np.linspace(5, 30, 20)
    found.add(design_matrix(yaws, ["center"] * 20, np.zeros(20)), np.ones((20, SIZE)))
    with pytest.raises(SelectionError, match="both sides"):
        direction_for(found, None)


def test_tied_sides_mirror_each_other_exactly() -> None:
    rng = np.random.default_rng(0)
    shape = (3, 4, 4)
    tied = tie_sides(Direction(*rng.normal(size=(2, 48)), 0.1, 0.2), shape)
    np.testing.assert_array_equal(tied.right, -flip_latents(tied.left[None], shape)[0])
    again = tie_sides(tied, shape)
    np.testing.assert_allclose(again.left, tied.left, atol=1e-15)
