"""Photographs and their mirror images: what they show of a face, with and without landmarks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rotation.faces.face_pairs import FacePair, find_pairs, read_pair, read_variant
from rotation.faces.mean_face import FaceSurface, mean_face
from rotation.faces.shrinking import LONGEST_SIDE
from rotation.synthetic_heads.camera import CELEBA_VIEW
from rotation.synthetic_heads.marks import landmarks_in_view
from rotation.synthetic_heads.sampling import pose_head, sample_identity, sample_scene
from tests.rotation.faces.test_face_finder import in_frame, rendered


def photograph(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels)


def surfaces(pair: FacePair) -> tuple[FaceSurface, FaceSurface]:
    one, two = read_pair(pair)
    assert one is not None
    assert two is not None
    return one, two


@pytest.fixture(scope="module")
def lit_from_left() -> Image.Image:
    return photograph(rendered(905, azimuth=60.0, strength=0.9))


def test_places_are_paired_by_the_mirror() -> None:
    face = mean_face()
    half = len(face.places) // 2
    np.testing.assert_allclose(face.places[half:], face.places[:half] * (-1, 1), atol=1e-6)
    assert (face.places[:half, 0] > 0).all()
    np.testing.assert_allclose(face.weights.sum(axis=1), 1, atol=1e-6)


def test_normals_point_where_the_surface_looks(lit_from_left: Image.Image) -> None:
    seen, _ = surfaces(find_pairs([lit_from_left])[0])
    places = mean_face().places
    np.testing.assert_allclose(np.linalg.norm(seen.normals, axis=1), 1, atol=1e-6)
    assert np.corrcoef(places[:, 0], seen.normals[:, 0])[0, 1] > 0.8
    assert seen.normals[np.hypot(places[:, 0], places[:, 1] + 1) < 0.8, 2].mean() > 0.6


def test_the_lit_side_is_brighter(lit_from_left: Image.Image) -> None:
    seen, mirrored = surfaces(find_pairs([lit_from_left])[0])
    left = mean_face().places[:, 0] < -0.5
    right = mean_face().places[:, 0] > 0.5
    assert seen.brightness[left].mean() > 1.3 * seen.brightness[right].mean()
    assert mirrored.brightness[right].mean() > 1.3 * mirrored.brightness[left].mean()


def test_a_mirrored_photograph_exchanges_the_pair(lit_from_left: Image.Image) -> None:
    flipped = lit_from_left.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    plain, mirrored = find_pairs([lit_from_left])[0], find_pairs([flipped])[0]
    assert mirrored.yaw_deg == -plain.yaw_deg
    for one, two in zip(surfaces(plain), surfaces(mirrored)[::-1], strict=True):
        np.testing.assert_array_equal(one.brightness, two.brightness)
        np.testing.assert_array_equal(one.normals, two.normals)


def test_the_turned_away_side_is_not_seen() -> None:
    seen, _ = surfaces(find_pairs([photograph(rendered(906, yaw=50.0))])[0])
    left, right = mean_face().places[:, 0] < -1, mean_face().places[:, 0] > 1
    assert seen.seen[left].mean() > seen.seen[right].mean() + 0.3


def test_landmarks_place_the_face_where_the_mesh_does() -> None:
    head = pose_head(sample_identity(907), sample_scene(907))
    from rotation.synthetic_heads.renderer import render_view

    picture = photograph(render_view([head], CELEBA_VIEW)[0])
    known = landmarks_in_view([head], CELEBA_VIEW).astype(float)
    (searched,), (placed,) = find_pairs([picture]), find_pairs([picture], known)
    one, two = surfaces(searched), surfaces(placed)
    assert abs(searched.yaw_deg - placed.yaw_deg) < 15
    for a, b in zip(one, two, strict=True):
        weight = np.minimum(a.seen, b.seen)
        assert np.corrcoef(a.brightness[weight > 0.5], b.brightness[weight > 0.5])[0, 1] > 0.7


def test_landmarks_are_used_for_celebas_shape_alone() -> None:
    """Elsewhere the file's coordinates mean something else."""
    frame = photograph(in_frame(rendered(901), 250, 200))
    wrong = np.array([[[70, 111], [108, 111], [89, 135], [73, 152], [105, 152]]], float)
    (plain,), (given) = find_pairs([frame]), find_pairs([frame], wrong)
    np.testing.assert_array_equal(surfaces(given[0])[0].brightness, surfaces(plain)[0].brightness)


def test_landmarks_outside_of_the_photograph_are_not_used(lit_from_left: Image.Image) -> None:
    outside = np.array([[[670, 911], [708, 911], [689, 935], [673, 952], [705, 952]]], float)
    (plain,), (given) = find_pairs([lit_from_left]), find_pairs([lit_from_left], outside)
    np.testing.assert_array_equal(surfaces(given[0])[0].brightness, surfaces(plain)[0].brightness)


def test_unknown_landmarks_are_searched(lit_from_left: Image.Image) -> None:
    unknown = np.full((1, 5, 2), np.nan)
    (plain,), (given) = find_pairs([lit_from_left]), find_pairs([lit_from_left], unknown)
    np.testing.assert_array_equal(surfaces(given[0])[0].brightness, surfaces(plain)[0].brightness)


def test_a_large_photograph_is_reduced(lit_from_left: Image.Image) -> None:
    large = lit_from_left.resize((178 * 12, 218 * 12), Image.Resampling.BICUBIC)
    (pair,) = find_pairs([large])
    assert max(pair.pixels[0].shape[1:]) == LONGEST_SIDE
    assert pair.n_faces == 1


def test_without_a_face() -> None:
    (pair,) = find_pairs([Image.new("RGB", (178, 218), (90, 90, 90))])
    assert pair.n_faces == 0
    assert np.isnan(pair.yaw_deg)
    assert read_pair(pair) == (None, None)
    assert read_variant(pair, np.random.default_rng(0)) == (None, None)


def test_variants_keep_the_side(lit_from_left: Image.Image) -> None:
    (pair,) = find_pairs([lit_from_left])
    left, right = mean_face().places[:, 0] < -0.5, mean_face().places[:, 0] > 0.5
    plain = surfaces(pair)[0]
    for seed in range(4):
        varied, _ = read_variant(pair, np.random.default_rng(seed))
        assert varied is not None
        assert varied.brightness[left].mean() > 1.15 * varied.brightness[right].mean()
        assert not np.array_equal(varied.brightness, plain.brightness)
