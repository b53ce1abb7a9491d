"""Features of fixed crops: what a mirror, an exposure and a wrong array do to them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler.light_classifier.crop_features import (
    GRID,
    N_FEATURES,
    N_ODD,
    crop_features,
    typical_features,
)
from labeler.light_classifier.features import mirror_features
from rotation.synthetic_heads.parameters import light_class
from rotation.synthetic_heads.renderer import render as render_heads
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads


def noise(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.sampled_from([16, 32, 64, 128]))
def test_mirrored_picture_has_exactly_the_mirrored_features(seed: int, size: int) -> None:
    crops = noise(2, size, seed)
    np.testing.assert_array_equal(
        crop_features(crops[:, :, ::-1]), mirror_features(crop_features(crops))
    )


def test_odd_part_is_positive_where_the_left_of_the_picture_is_brighter() -> None:
    crop = np.full((1, 64, 64, 3), 60, np.uint8)
    crop[:, :, :32] = 180
    features = crop_features(crop)
    assert features.shape == (1, N_FEATURES)
    assert (features[0, :N_ODD] > 0.3).all()
    np.testing.assert_allclose(features[0, N_ODD : N_FEATURES - 1], 0, atol=1e-6)


def test_symmetric_picture_has_no_odd_part() -> None:
    half = noise(1)[:, :, :32]
    symmetric = np.concatenate([half, half[:, :, ::-1]], axis=2)
    assert not crop_features(symmetric)[:, :N_ODD].any()


def test_exposure_hardly_matters() -> None:
    crops = noise(4) // 4 + 120
    darker = (crops * 0.7).astype(np.uint8)
    np.testing.assert_allclose(crop_features(darker), crop_features(crops), atol=0.25)
    assert np.abs(crop_features(crops)).max() > 1


def test_a_picture_has_the_same_features_in_any_batch() -> None:
    crops = noise(5)
    np.testing.assert_array_equal(crop_features(crops)[3:4], crop_features(crops[3:4]))


def test_black_and_white_pictures_stay_finite() -> None:
    extremes = np.stack([np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)])
    assert np.isfinite(crop_features(extremes)).all()


def test_no_pictures_give_no_rows() -> None:
    assert crop_features(np.empty((0, 64, 64, 3), np.uint8)).shape == (0, N_FEATURES)


@pytest.mark.parametrize(
    "crops",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((1, 64, 64), np.uint8),
        np.zeros((1, 64, 48, 3), np.uint8),
        np.zeros((1, GRID + 1, GRID + 1, 3), np.uint8),
        np.zeros((1, 64, 64, 4), np.uint8),
    ],
)
def test_other_arrays_are_refused(crops: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        crop_features(crops)


def test_rendered_heads_tell_the_side_of_people_they_were_not_made_from() -> None:
    heads = sample_heads(60, seed=5, first_identity=BENCHMARK_IDENTITY, yaw_range=(-20, 20))
    classes = np.array([light_class(head.light_azimuth_deg) for head in heads])
    side = crop_features(render_heads(heads))[:, N_ODD - 1]
    sided = np.isin(classes, ["left", "right"])
    assert sided.sum() > 20
    assert ((side > 0) == (classes == "left"))[sided].mean() > 0.9
    assert np.abs(side[sided]).mean() > 2 * np.abs(side[classes == "center"]).mean()


def test_typical_faces_are_mirror_images_and_lit_as_they_are_called() -> None:
    left, center, right = typical_features()
    np.testing.assert_array_equal(mirror_features(left[None])[0], right)
    np.testing.assert_array_equal(mirror_features(center[None])[0], center)
    assert left[N_ODD - 1] > 0
    assert center[-1] > left[-1]
