"""The loop that measures and corrects: goals reached, the rest kept, failures reported."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rotation.directions.direction import Direction
from rotation.directions.principal_components import principal_components
from rotation.editing.closed_loop import (
    Appearance,
    ClosedLoop,
    LoopSettings,
    colour_bands,
    side_light,
)
from rotation.editing.pose_estimators import YawEstimator
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import sample_heads

SIDE = 16
SIZE = 3 * SIDE * SIDE
COMPONENTS = np.linalg.qr(np.random.default_rng(5).standard_normal((SIZE, 40)))[0].T


def project(vectors: np.ndarray, components: np.ndarray) -> np.ndarray:
    """The part of vectors (..., D) within the span of orthonormal components (K, D)."""
    return np.asarray((vectors @ components.T) @ components, dtype=np.float64)


def toy(bias: float = 0.0, factor: float = 1.0, reads_pitch: bool = False):
    """A loop over a model that decodes by scaling, with yaw in one coordinate of the subspace."""
    axis = torch.from_numpy(COMPONENTS[0].astype(np.float32))
    nod = torch.from_numpy(COMPONENTS[1].astype(np.float32))
    latent = torch.from_numpy(np.random.default_rng(1).standard_normal(SIZE).astype(np.float32))
    latent = (latent - (latent @ axis) * axis).reshape(3, SIDE, SIDE)

    def decode(z: torch.Tensor) -> torch.Tensor:
        return z / 10

    def true_pitch(images: torch.Tensor) -> torch.Tensor:
        return (images.flatten(1) @ (axis + nod)) * 100

    def true_yaw(images: torch.Tensor) -> torch.Tensor:
        return (images.flatten(1) @ axis) * 100

    def read(images: torch.Tensor) -> torch.Tensor:
        return torch.stack(
            [true_yaw(images) * factor + bias, true_pitch(images) * reads_pitch], dim=1
        )

    def measure(images: torch.Tensor) -> np.ndarray:
        poses = torch.stack([true_yaw(images) - 7.0, true_pitch(images)], dim=1)
        return poses.numpy().astype(np.float64)

    nothing = np.zeros(SIZE)
    direction = Direction(nothing, nothing, 0.0, 0.0)
    loop = ClosedLoop(
        decode,
        read,
        measure,
        latent.numpy(),
        0.0,
        direction,
        COMPONENTS,
        LoopSettings(max_corrections=12),
    )
    return loop, latent, lambda z: true_yaw(decode(torch.from_numpy(z))).numpy()


def test_every_goal_is_reached_whatever_the_estimators_constant_errors() -> None:
    loop, latent, yaw = toy(bias=25.0)
    goals = (-30.0, 0.0, 12.0, 30.0)
    turned = loop.turn(goals)
    np.testing.assert_allclose(yaw(turned.latents), goals, atol=1.5)
    np.testing.assert_allclose(turned.measured_deg, goals, atol=1.5)
    np.testing.assert_array_equal(turned.latents[1], latent.numpy())  # its own yaw: itself


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_the_measure_says_how_far_whatever_the_estimator_says(factor: float) -> None:
    loop, _, yaw = toy(factor=factor)
    assert np.abs(yaw(loop.turn((-20.0, 20.0)).latents) - (-20, 20)).max() < 1.5


def test_a_keyframe_ends_when_it_has_settled() -> None:
    loop, *_ = toy()
    asked = 0

    def counting(images: torch.Tensor) -> np.ndarray:
        nonlocal asked
        asked += 1
        return measure(images)

    measure, loop._measure = loop._measure, counting
    loop.turn((10.0,))
    assert asked < 9  # of 13


def test_pitch_is_held_while_the_head_turns() -> None:
    """In the toy, a turn by a degree nods by a degree unless something is done about it."""

    def leak(reads_pitch: bool) -> float:
        loop, latent, yaw = toy(reads_pitch=reads_pitch)
        z = loop.turn((20.0,)).latents
        np.testing.assert_allclose(yaw(z), 20, atol=1.5)
        moved = (z[0] - latent.numpy()).reshape(-1)
        return float(1 + moved @ COMPONENTS[1] / (moved @ COMPONENTS[0]))

    assert abs(leak(reads_pitch=True)) < 0.1
    assert leak(reads_pitch=False) > 0.9


def test_the_norm_is_kept_and_only_the_subspace_moves() -> None:
    loop, latent, _ = toy()
    turned = loop.turn((-25.0, 25.0))
    norms = np.linalg.norm(turned.latents.reshape(2, -1), axis=1)
    np.testing.assert_allclose(norms, float(latent.norm()), rtol=1e-5)
    moved = turned.latents.reshape(2, -1)
    own = latent.numpy().reshape(-1)
    for row in moved:
        outside = row - project(row, COMPONENTS)
        source = own - project(own, COMPONENTS)
        cosine = outside @ source / np.linalg.norm(outside) / np.linalg.norm(source)
        assert cosine == pytest.approx(1, abs=1e-5)


def test_order_and_repeats_of_the_goals_do_not_matter() -> None:
    goals = (20.0, -10.0, 10.0, -10.0)
    first, second = toy()[0].turn(goals), toy()[0].turn((-10.0, 10.0, 20.0))
    np.testing.assert_allclose(first.latents[0], second.latents[2], atol=1e-6)
    np.testing.assert_array_equal(first.latents[1], first.latents[3])


def test_what_cannot_be_measured_is_not_reached() -> None:
    loop, *_ = toy()
    loop._measure = lambda images: np.full((len(images), 2), np.nan)
    assert np.isnan(loop.turn((10.0,)).measured_deg).all()


def test_appearance_sees_colours_and_the_side_of_the_light_but_no_shift_along_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1
    change = Appearance(image)
    assert float(change(image)) == 0
    assert float(change(image * 0.5)) > 1e-3
    rolled = torch.roll(image, 8, dims=-1)
    np.testing.assert_allclose(colour_bands(rolled), colour_bands(image), atol=1e-6)
    shaded = (image + 1) / 2 * torch.linspace(0.2, 1, 64)
    np.testing.assert_allclose(side_light(shaded.flip(-1)), -side_light(shaded), atol=1e-6)
    assert float(Appearance(shaded)(shaded.flip(-1))) > 1e-4


@pytest.fixture(scope="module")
def heads():
    people = sample_heads(160, 3, 2_300_000, (-35.0, 35.0))
    return render(people, 64), np.array([head.yaw_deg for head in people])


def as_images(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)


def test_the_estimator_turns_with_the_head_and_negates_in_a_mirror(heads) -> None:
    pixels, yaws = heads
    images = as_images(pixels[:60])
    read = YawEstimator(seed=2)(images)[:, 0]
    np.testing.assert_array_equal(YawEstimator(seed=2)(images.flip(-1))[:, 0], -read)
    assert np.corrcoef(read, yaws[:60])[0, 1] > 0.97
    assert np.abs(read.numpy() - yaws[:60]).mean() < 5


def test_components_are_orthonormal_and_commute_with_the_mirror(heads) -> None:
    pixels, _ = heads
    components = principal_components(pixels, 20)
    np.testing.assert_allclose(components @ components.T, np.eye(20), atol=1e-4)
    vector = np.random.default_rng(0).standard_normal((3, 64, 64))
    inside = project(vector.reshape(-1), components).reshape(3, 64, 64)
    mirrored = project(vector[..., ::-1].reshape(-1), components).reshape(3, 64, 64)
    share = np.linalg.norm(mirrored - inside[..., ::-1]) / np.linalg.norm(inside)
    assert share < 1e-5
    assert len(principal_components(pixels[:3], 20)) <= 6
