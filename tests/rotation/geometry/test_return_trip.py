"""Heads that are turned forth and back: what was seen comes back, what was hidden is marked."""

from __future__ import annotations

import numpy as np
import pytest

from rotation.geometry.head import Head, measure_head
from rotation.geometry.return_trip import (
    fill_black_border,
    measure_for_return,
    return_crops,
    turned_mesh,
)
from tests.rotation.geometry.conftest import render_photograph

SIZE = 96


@pytest.fixture(scope="module")
def head() -> Head:
    return measure_head(render_photograph(905))


@pytest.mark.parametrize("angle", [-25.0, 25.0])
def test_what_is_known_comes_back(head: Head, angle: float) -> None:
    truth, parts = return_crops(head, angle, SIZE)
    known = parts.known[0] > 0.99
    error = (parts.image - truth).abs().mean(dim=0)
    assert 0.5 < known.float().mean() < 0.95
    assert error[known].mean() < 0.03
    assert error[~known].mean() > 2 * error[known].mean()


def test_the_side_that_turned_away_is_what_comes_back_unknown(head: Head) -> None:
    """A head that is turned towards the viewer's right shows less of its right half."""
    for angle in (-25.0, 25.0):
        _, parts = return_crops(head, angle, SIZE)
        middle = parts.known[0, SIZE // 3 : 2 * SIZE // 3]
        left, right = (1 - half.mean() for half in middle.split(SIZE // 2, dim=1))
        assert (right > left) == (angle > 0)


def test_the_mesh_turns_with_the_head(head: Head) -> None:
    for angle in (-30.0, 12.0):
        turned = turned_mesh(head, angle)
        assert turned.yaw_deg == pytest.approx(head.yaw_deg + angle, abs=0.01)
        assert np.array_equal(turned.points[:, 1], head.mesh.points[:, 1])


def test_pictures_without_a_usable_face_are_left_out() -> None:
    grey = np.full((120, 100, 3), 128, np.uint8)
    tiny = np.zeros((16, 16, 3), np.uint8)
    found = measure_for_return([grey, render_photograph(905), tiny], SIZE)
    assert found[0] is None
    assert found[2] is None
    assert isinstance(found[1], Head)
    assert abs(found[1].yaw_deg) < 6


def test_a_large_head_is_reduced_to_what_the_crop_needs() -> None:
    picture = render_photograph(905)
    small, large = (
        measure_for_return([np.kron(picture, np.ones((k, k, 1), np.uint8))], SIZE)[0]
        for k in (1, 2)
    )
    assert small is not None
    assert large is not None
    assert large.face_width == pytest.approx(small.face_width, rel=0.1)


def test_black_corners_are_filled() -> None:
    picture = np.full((40, 40, 3), 90, np.uint8)
    picture[:10, :10] = 1  # black, as JPEG has it
    picture[15:25, 15:25] = 0  # a dark pupil is no border
    filled = fill_black_border(picture)
    assert filled[:10, :10].min() > 80
    assert np.array_equal(filled[13:], picture[13:])
    dark = picture[20:, 20:] + 9  # dark, but not black
    assert np.array_equal(fill_black_border(dark), dark)
