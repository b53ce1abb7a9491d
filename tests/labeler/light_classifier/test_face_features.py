"""Features of faces and the light's direction: the mirror, the background, known lamps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from labeler.light_classifier.face_features import (
    CONTRAST_SCALE,
    N_FEATURES,
    N_ODD,
    N_PLAIN,
    face_features,
    half_contrast,
)
from labeler.light_classifier.features import CELLS, kind_of, mirror_features, without_contrast
from labeler.light_classifier.light_direction import light_directions
from labeler.light_classifier.mirror_logistic import fit
from rotation.faces.face_pairs import FacePair, find_pairs, read_pair
from tests.rotation.faces.test_face_finder import in_frame, rendered

AZIMUTHS = (70.0, 45.0, 0.0, -45.0, -70.0)  # of the renderer: positive from the viewer's left


def features(pairs: list[FacePair]) -> np.ndarray:
    return face_features([read_pair(pair) for pair in pairs])


@pytest.fixture(scope="module")
def heads() -> list[Image.Image]:
    return [
        Image.fromarray(rendered(1_000_100 + n, azimuth, 0.9)) for n, azimuth in enumerate(AZIMUTHS)
    ]


@pytest.fixture(scope="module")
def pairs(heads: list[Image.Image]) -> list[FacePair]:
    return find_pairs(heads)


def test_a_mirrored_photograph_has_exactly_the_mirrored_features(
    heads: list[Image.Image], pairs: list[FacePair]
) -> None:
    flipped = find_pairs([head.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for head in heads])
    plain, mirrored = features(pairs), features(flipped)
    np.testing.assert_array_equal(mirrored, mirror_features(plain))
    one = light_directions(plain, np.array([pair.yaw_deg for pair in pairs]))
    two = light_directions(mirrored, np.array([pair.yaw_deg for pair in flipped]))
    np.testing.assert_array_equal(two.azimuth_deg, -one.azimuth_deg)
    np.testing.assert_array_equal(two.spread_deg, one.spread_deg)
    for a, b in zip(pairs, flipped, strict=True):
        assert half_contrast(read_pair(b)) == -half_contrast(read_pair(a))


def test_the_direction_is_that_of_the_lamp(pairs: list[FacePair]) -> None:
    found = light_directions(features(pairs), np.array([pair.yaw_deg for pair in pairs]))
    np.testing.assert_allclose(found.azimuth_deg, [-a for a in AZIMUTHS], atol=15)
    assert (found.spread_deg > 0).all()
    contrasts = [half_contrast(read_pair(pair)) for pair in pairs]
    assert contrasts == sorted(contrasts, reverse=True)
    assert abs(contrasts[2]) < 0.15


def test_the_wall_and_the_place_hardly_matter(heads: list[Image.Image]) -> None:
    """A wall lit from the other side, another place and another scale."""
    head = np.asarray(heads[1])
    frame = in_frame(head, 60, 200)
    wall = np.linspace(30, 220, frame.shape[1]).astype(np.uint8)[None, :, None]
    outside = np.ones(frame.shape[:2], bool)
    outside[200 : 200 + head.shape[0], 60 : 60 + head.shape[1]] = False
    frame[outside] = np.broadcast_to(wall, frame.shape)[outside]
    scenes = [Image.fromarray(frame), Image.fromarray(frame).resize((300, 300))]
    (plain,), moved = find_pairs([heads[1]]), find_pairs(scenes)
    azimuths = light_directions(
        features([plain, *moved]), np.array([pair.yaw_deg for pair in [plain, *moved]])
    ).azimuth_deg
    assert np.ptp(azimuths) < 12


@pytest.mark.parametrize("exposure", [0.35, 0.7, 1.25])
def test_exposure_and_colour_keep_the_side(heads: list[Image.Image], exposure: float) -> None:
    cast = np.array([1.1, 1.0, 0.8]) * exposure
    changed = np.clip(np.asarray(heads[1]) * cast, 0, 255).astype(np.uint8)
    grey = Image.fromarray(changed).convert("L").convert("RGB")
    for picture in (Image.fromarray(changed), grey):
        (pair,) = find_pairs([picture])
        found = light_directions(features([pair]), np.array([pair.yaw_deg]))
        assert -75 < found.azimuth_deg[0] < -20


def test_without_a_face_there_is_nothing_to_say() -> None:
    rows = face_features([(None, None)])
    assert rows.shape == (1, N_FEATURES)
    assert np.isnan(rows).all()
    found = light_directions(rows, np.array([np.nan]))
    assert np.isnan(found.azimuth_deg).all()
    assert np.isnan(found.spread_deg).all()
    assert np.isnan(half_contrast((None, None)))


def test_the_contrast_of_the_halves_is_a_feature(pairs: list[FacePair]) -> None:
    rows, seen = features(pairs), [read_pair(pair) for pair in pairs]
    contrasts = np.array([half_contrast(each) for each in seen])
    np.testing.assert_allclose(rows[:, N_PLAIN], contrasts * CONTRAST_SCALE, rtol=1e-6)
    evenness = rows[:, N_ODD + N_PLAIN] / CONTRAST_SCALE
    assert evenness.argmax() == 2
    assert (evenness[[0, 4]] < 0.01).all()


def test_an_unknown_contrast_says_nothing(pairs: list[FacePair]) -> None:
    """Where a face hardly shows one half, the cells and the prior still say something."""
    ((one, two),) = [read_pair(pairs[0])]
    assert one is not None
    assert two is not None
    places = len(one.seen) // 2
    half = np.repeat([0.0, 1.0], places)
    profile = replace(one, seen=one.seen * half), replace(two, seen=two.seen * half[::-1])
    assert np.isnan(half_contrast(profile))
    rows = face_features([profile])
    assert np.isfinite(rows).all()
    assert rows[0, N_PLAIN] == 0
    assert rows[0, N_ODD + N_PLAIN] == 0


def test_a_model_of_the_cells_alone_reads_later_features(pairs: list[FacePair]) -> None:
    rows = features(pairs)
    cells = without_contrast(rows)
    model = fit(cells, np.array([0, 0, 1, 2, 2]), np.ones(len(rows)))
    np.testing.assert_array_equal(model.predict(rows), model.predict(cells))
    assert kind_of(cells) is CELLS
    np.testing.assert_array_equal(without_contrast(mirror_features(rows)), mirror_features(cells))


def test_one_of_the_pair_is_enough(pairs: list[FacePair]) -> None:
    """If only the mirror image shows the face, its features are mirrored back."""
    one, two = read_pair(pairs[0])
    rows = face_features([(one, None), (None, one), (None, two)])
    np.testing.assert_array_equal(rows[1], mirror_features(rows[:1])[0])
    assert (rows[[0, 2], N_ODD - 1] > 0).all()


def test_a_model_gives_faceless_images_three_equal_chances(pairs: list[FacePair]) -> None:
    rows = features(pairs)
    labels = np.array([0, 0, 1, 2, 2])
    model = fit(rows, labels, np.ones(len(labels)))
    chances = model.predict(np.concatenate([rows, np.full((1, N_FEATURES), np.nan, np.float32)]))
    np.testing.assert_array_equal(chances[-1], np.full(3, 1 / 3))
    assert (chances[:-1].argmax(axis=1) == labels).all()
    broken = rows.copy()
    broken[0, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.predict(broken)
