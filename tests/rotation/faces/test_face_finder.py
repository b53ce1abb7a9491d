"""The main face of any photograph: wherever it is, however lit, and whatever lies around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rotation.faces.face_finder import FoundFace, find_faces
from rotation.faces.face_mesh import LEFT_EYE_CORNER, NOSE_TIP, RIGHT_EYE_CORNER, Square
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.renderer import render_view
from rotation.synthetic_heads.sampling import pose_head, sample_identity, sample_scene

NOSE = (88.0, 135.0)  # about where a rendered head's nose is


def rendered(
    seed: int, azimuth: float = 0.0, strength: float = 0.6, yaw: float = 0.0
) -> np.ndarray:
    """A rendered head in the size of an aligned CelebA image."""
    head = pose_head(sample_identity(seed), sample_scene(seed))
    head = replace(
        head,
        yaw_deg=yaw,
        pitch_deg=0.0,
        roll_deg=0.0,
        light_azimuth_deg=azimuth,
        light_elevation_deg=15.0,
        light_strength=strength,
    )
    return render_view([head], CELEBA_VIEW)[0]


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    return rendered(901)


def in_frame(head: np.ndarray, left: int, top: int, size: int = 500) -> np.ndarray:
    frame = np.full((size, size, 3), 90, np.uint8)
    frame[top : top + head.shape[0], left : left + head.shape[1]] = head
    return frame


def nose(face: FoundFace | None) -> np.ndarray:
    assert face is not None
    return face.mesh.points[NOSE_TIP, :2]


@pytest.mark.parametrize(("left", "top"), [(20, 30), (300, 30), (160, 250)])
def test_a_face_is_found_anywhere(head: np.ndarray, left: int, top: int) -> None:
    (plain,) = find_faces([head])
    (found,) = find_faces([in_frame(head, left, top)])
    assert np.abs(nose(found) - nose(plain) - (left, top)).max() < 3
    assert np.abs(nose(plain) - NOSE).max() < 12


@pytest.mark.parametrize("side", [60, 178, 700])
def test_a_face_is_found_at_any_size(head: np.ndarray, side: int) -> None:
    scale = side / head.shape[1]
    size = (side, round(head.shape[0] * scale))
    resized = np.asarray(Image.fromarray(head).resize(size, Image.Resampling.LANCZOS))
    assert np.abs(nose(find_faces([resized])[0]) / scale - NOSE).max() < 12


@pytest.mark.parametrize("azimuth", [-110.0, 75.0, 110.0])
def test_hard_light_hides_no_face(azimuth: float) -> None:
    dark = (rendered(902, azimuth, 1.0) / 255.0) ** 1.6 * 120
    (found,) = find_faces([dark.astype(np.uint8)])
    assert np.abs(nose(found) - NOSE).max() < 14


def test_a_turned_head_has_its_yaw() -> None:
    yaws = [find_faces([rendered(903, yaw=yaw)])[0].mesh.yaw_deg for yaw in (-40.0, 0.0, 40.0)]
    assert yaws == pytest.approx([-40, 0, 40], abs=12)


def test_a_head_turned_in_the_plane_is_found(head: np.ndarray) -> None:
    turned = np.asarray(Image.fromarray(in_frame(head, 160, 140)).rotate(-20, fillcolor=(90,) * 3))
    (found,) = find_faces([turned])
    assert found is not None
    x, y = found.mesh.points[RIGHT_EYE_CORNER, :2] - found.mesh.points[LEFT_EYE_CORNER, :2]
    assert np.rad2deg(np.arctan2(y, x)) == pytest.approx(20, abs=6)


def test_of_two_faces_the_larger_counts(head: np.ndarray) -> None:
    small = np.asarray(Image.fromarray(head).resize((134, 164), Image.Resampling.BOX))
    frame = in_frame(head, 60, 220)
    frame[10:174, 350:484] = small
    (found,) = find_faces([frame])
    assert found is not None
    assert found.n_faces == 2
    assert np.abs(nose(found) - (60 + NOSE[0], 220 + NOSE[1])).max() < 14


def test_the_result_does_not_depend_on_the_neighbours(head: np.ndarray) -> None:
    others = [rendered(904), np.full((120, 90, 3), 128, np.uint8), in_frame(head, 10, 10)]
    (alone,) = find_faces([head])
    together = find_faces([others[0], head, *others[1:]])
    assert alone is not None
    assert together[1] is not None
    np.testing.assert_array_equal(together[1].mesh.points, alone.mesh.points)


def test_where_no_face_is_the_photograph_is_searched(head: np.ndarray) -> None:
    frame = in_frame(head, 300, 250)
    (found,) = find_faces([frame], [Square(60, 60, 100)])
    assert np.abs(nose(found) - (300 + NOSE[0], 250 + NOSE[1])).max() < 14


@pytest.mark.parametrize(
    "picture",
    [
        np.full((200, 160, 3), 128, np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.full((1, 1, 3), 255, np.uint8),
        np.full((8, 600, 3), 77, np.uint8),
        np.random.default_rng(0).integers(0, 256, (150, 150, 3), dtype=np.uint8),
    ],
    ids=["grey", "black", "one pixel", "a line", "noise"],
)
def test_no_face_is_no_error(picture: np.ndarray) -> None:
    assert find_faces([picture]) == [None]


def test_no_photograph() -> None:
    assert find_faces([]) == []
