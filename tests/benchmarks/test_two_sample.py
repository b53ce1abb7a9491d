"""The two-sample test and KID, on sets that are alike or differ in a known way."""

from __future__ import annotations

import numpy as np
import pytest
from _two_sample import PLACES, kernel_distance, level, match_yaws, tell
from PIL import Image
from scipy.ndimage import gaussian_filter

SHORT = {"folds": 2, "seeds": 1, "steps": 60}


def textures(count: int, seed: int, side: int = 32) -> np.ndarray:
    """Pictures (N, side, side, 3) of smooth noise."""
    noise = np.random.default_rng(seed).normal(size=(count, side, side, 3))
    smooth = gaussian_filter(noise, (0, 1, 1, 0))
    return np.clip(128 + 120 * smooth / smooth.std() / 2, 0, 255).astype(np.uint8)


def names(count: int, start: int) -> list[str]:
    """Two pictures of each person."""
    return [f"person {start + k // 2}" for k in range(count)]


def test_pictures_of_one_kind_cannot_be_told_apart() -> None:
    told = tell(textures(160, 1), names(160, 0), textures(160, 2), names(160, 100), **SHORT)
    assert told.accuracy == pytest.approx(0.5, abs=0.12)
    assert told.low < 0.56
    assert len(told.each) == 2


def test_blurred_pictures_are_told_from_sharp_ones() -> None:
    blurred = gaussian_filter(textures(160, 1).astype(float), (0, 1, 1, 0)).astype(np.uint8)
    told = tell(blurred, names(160, 0), textures(160, 2), names(160, 100), **SHORT)
    assert told.accuracy > 0.9
    assert told.low <= told.accuracy <= told.high


def test_a_network_is_never_asked_about_people_that_it_knows() -> None:
    """Every person has a colour of their own: who knows the people knows the sides."""
    people = 40
    colours = np.random.default_rng(5).integers(60, 196, (people, 1, 1, 3))
    pictures = np.clip(textures(4 * people, 3) / 8 + np.repeat(colours, 4, axis=0), 0, 255)
    pictures = pictures.astype(np.uint8)
    who = [f"person {k // 4}" for k in range(4 * people)]
    half = 2 * people
    told = tell(pictures[:half], who[:half], pictures[half:], who[half:], **SHORT)
    assert told.accuracy < 0.75


def test_too_few_people_are_refused() -> None:
    with pytest.raises(SystemExit, match="--people"):
        tell(textures(4, 1), ["a"] * 4, textures(4, 2), ["b"] * 4, **SHORT)


def test_size_and_compression_are_the_same_after_levelling() -> None:
    side = 96
    picture = gaussian_filter(textures(1, 4, side)[0].astype(float), (2, 2, 0)).astype(np.uint8)
    points = (0.25 + PLACES / 2) * side
    large = np.asarray(Image.fromarray(picture).resize((2 * side,) * 2, Image.Resampling.BICUBIC))
    small, again = (
        level(pixels, at, np.random.default_rng(0))
        for pixels, at in ((picture, points), (large, points * 2))
    )
    assert small.shape == again.shape == (64, 64, 3)
    assert np.abs(small.astype(float) - again).mean() < 2


def test_levelling_brings_the_points_to_their_places() -> None:
    picture = np.zeros((200, 200, 3), dtype=np.uint8)
    points = np.array([50, 40]) + PLACES * 100
    for x, y in points.round().astype(int):
        picture[y - 3 : y + 4, x - 3 : x + 4] = 255
    shown = level(picture, points, np.random.default_rng(0))[..., 0].astype(float)
    for x, y in PLACES * 64:
        assert shown[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5].max() > 200


def test_yaws_are_matched_once_each_and_within_bounds() -> None:
    pairs = match_yaws(np.array([20.0, 21.0, 60.0]), np.array([21.5, np.nan, 19.0, -20.0]))
    assert sorted(pairs) == [(0, 2), (1, 0)]


def test_the_kernel_distance_of_one_distribution_is_about_zero() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 200, 30))
    same = kernel_distance(one, names(200, 0), two, names(200, 100))
    far = kernel_distance(one + 0.5, names(200, 0), two, names(200, 100))
    assert same.low < 0 < same.high
    assert abs(same.value) < 0.05
    assert far.low > same.high


def test_the_kernel_distance_of_a_set_to_itself_is_not_above_zero() -> None:
    one = np.random.default_rng(0).normal(size=(200, 30))
    assert kernel_distance(one, names(200, 0), one, names(200, 0)).value <= 0


def test_several_frames_of_one_person_do_not_count_as_a_difference() -> None:
    rng = np.random.default_rng(0)
    one, two = np.repeat(rng.normal(size=(50, 30)), 4, axis=0), rng.normal(size=(200, 30))
    who = [f"{k // 4}" for k in range(200)]
    found = kernel_distance(one, who, two, [f"other {k}" for k in range(200)])
    assert found.low < 0 < found.high


def test_the_detector_features_tell_blurred_heads() -> None:
    pytest.importorskip("ai_edge_litert", reason="needs `make judge`")
    from _two_sample import detector_features

    from rotation.synthetic_heads.renderer import render
    from rotation.synthetic_heads.sampling import sample_heads

    heads = render(sample_heads(48, seed=3), 64)
    blurred = gaussian_filter(heads[:24].astype(float), (0, 1.5, 1.5, 0)).astype(np.uint8)
    plain, smooth, other = (detector_features(x) for x in (heads[:24], blurred, heads[24:]))
    who = [f"{k}" for k in range(24)]
    strangers = [f"other {k}" for k in range(24)]
    near = kernel_distance(plain, who, other, strangers)
    assert kernel_distance(smooth, who, other, strangers).value > max(near.value, 0) * 3
