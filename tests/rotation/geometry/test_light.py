"""The light on a head: where it comes from, and that it stays there while the head turns."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rotation.geometry.light import (
    change_of_mirror_image,
    estimate_light,
    shading_change,
    surface_normals,
)
from rotation.geometry.photograph import Photograph
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.renderer import render_view
from rotation.synthetic_heads.sampling import pose_head, sample_identity, sample_scene

SEEDS = (911, 913, 921)


def render(seed: int, azimuth_deg: float, yaw_deg: float = 0.0) -> np.ndarray:
    """A rendered head under a lamp; a positive azimuth is the viewer's left."""
    head = pose_head(sample_identity(seed), sample_scene(seed))
    lit = replace(head, yaw_deg=yaw_deg, pitch_deg=0.0, roll_deg=0.0, light_azimuth_deg=azimuth_deg)
    return render_view([lit], CELEBA_VIEW)[0]


def light_of(pixels: np.ndarray) -> np.ndarray:
    head = Photograph(Image.fromarray(pixels)).head
    normals = surface_normals(head.depth, head.face_width)
    return estimate_light(head.photograph, head.mesh, normals, head.face_width)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_side_of_the_lamp_is_found(seed: int) -> None:
    left, front, right = (light_of(render(seed, azimuth))[0] for azimuth in (50, 0, -50))
    assert left < -0.15
    assert right > 0.15
    assert abs(front) < min(-left, right)


def test_a_mirrored_photograph_has_the_mirrored_light() -> None:
    pixels = render(911, 50)
    one, other = light_of(pixels), light_of(np.ascontiguousarray(pixels[:, ::-1]))
    assert other == pytest.approx(one * (-1, 1, 1), abs=0.02)


def test_grey_walls_have_no_side() -> None:
    pixels = render(911, 0)
    head = Photograph(Image.fromarray(pixels)).head
    normals = surface_normals(head.depth, head.face_width)
    grey = np.full(head.photograph.shape, 0.5, np.float32)
    light = estimate_light(grey, head.mesh, normals, head.face_width)
    assert np.abs(light[:2]).max() < 0.05
    assert light[2] > 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("azimuth", "angle"), [(50, 25.0), (50, -25.0), (-50, 25.0)])
def test_shading_stays_with_the_lamp(seed: int, azimuth: float, angle: float) -> None:
    """The mean brightness of the face comes nearer to the render's than if light turned too."""
    photograph = Photograph(Image.fromarray(render(seed, azimuth)))
    truth = Photograph(Image.fromarray(render(seed, azimuth, angle)))
    face = truth.head.face > 0.9

    def brightness(frame) -> float:
        return float(frame.image.mean(axis=2)[frame.face > 0.9].mean())

    expected = float(truth.head.photograph.mean(axis=2)[face].mean())
    with_lamp, with_head = (
        brightness(photograph.turn_by(angle, relight)) for relight in (True, False)
    )
    assert abs(with_lamp - expected) < abs(with_head - expected)


def test_the_half_that_turns_away_from_a_frontal_lamp_becomes_darker() -> None:
    """On the mean over heads: how strong the frontal light is, is not measured."""
    off = []
    for seed, angle in itertools.product(SEEDS, (25.0, -25.0)):
        photograph = Photograph(Image.fromarray(render(seed, 0)))
        truth = Photograph(Image.fromarray(render(seed, 0, angle)))
        frames = [photograph.turn_by(angle, relight) for relight in (True, False)]
        expected = _contrast(truth.head.photograph, truth.head.face)
        off.append([abs(_contrast(one.image, one.face) - expected) for one in frames])
    with_lamp, with_head = np.mean(off, axis=0)
    assert with_lamp < 0.8 * with_head


def _contrast(image: np.ndarray, face: np.ndarray) -> float:
    """The mean brightness of the face's left half less that of its right half."""
    grey, inside = image.mean(axis=2), face > 0.9
    columns = np.flatnonzero(inside.any(axis=0))
    middle = (columns[0] + columns[-1] + 1) // 2
    halves = ((grey[:, part], inside[:, part]) for part in (slice(middle), slice(middle, None)))
    left, right = (float(one[mask].mean()) for one, mask in halves)
    return left - right


def test_the_mirror_image_of_the_side_that_looks_at_the_lamp_is_darker() -> None:
    """From each side to the other and back, nothing changes."""
    sides = np.array([[[-0.6, 0, 0.8], [0.6, 0, 0.8], [0, 0, 1]]], np.float32)
    light = np.array([-0.5, 0, 0.3], np.float32)  # from the viewer's left
    left, right, middle = change_of_mirror_image(light, sides, np.array([1.0, 0, 0]))[0]
    assert left < 1 < right
    assert left * right == pytest.approx(1)
    assert middle == 1


def test_a_surface_that_turns_to_the_lamp_becomes_brighter() -> None:
    normals = np.zeros((1, 3, 3), np.float32)
    normals[0, :, 2] = 1
    light = np.array([-0.5, 0, 0], np.float32)  # from the viewer's left
    turned = np.array([[1.0, 0.0, 1.0]], np.float32)
    left = shading_change(light, normals, turned, -30)
    right = shading_change(light, normals, turned, 30)
    assert left[0, 0] > 1 > right[0, 0]
    assert left[0, 1] == right[0, 1] == 1
