"""The mean-face figure: sums, mirrors, poses and the drawing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image as Pixels

from labeler.errors import InvalidInput
from labeler.labels import mirror_label
from labeler.mean_faces.drawing import render_mean_faces
from labeler.mean_faces.statistics import MeanFaces, find_poses
from rotation.data.labels import LABELS

EDGES = (-30.0, -10.0, 10.0, 30.0)
YAWS = (-20.0, 0.0, 20.0)


def crops_of(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def plain(value: int, count: int = 1) -> np.ndarray:
    return np.full((count, 64, 64, 3), value, np.uint8)


def test_mean_variance_and_differences_are_those_of_the_definition() -> None:
    labels, yaws = ["left"] * 4 + ["center"] * 3, np.array([0, 5, -5, 9, 0, 1, 2.0])
    crops = crops_of(1, 7)
    faces = MeanFaces(EDGES)
    faces.add(crops, labels, yaws)
    left, center = crops[:4] / 255, crops[4:] / 255
    np.testing.assert_allclose(faces.means[0, 1], left.mean(axis=0))
    assert faces.variances[0, 1] == pytest.approx(left.var(axis=0).mean())
    difference = np.square(left.mean(axis=0) - center.mean(axis=0)).mean()
    assert faces.mse_down[0, 1] == pytest.approx(difference)
    assert faces.counts.tolist() == [[0, 4, 0], [0, 3, 0], [0, 0, 0]]
    assert faces.mean_yaws[0, 1] == pytest.approx(2.25)


def test_poses_side_by_side_are_compared() -> None:
    faces = MeanFaces(EDGES)
    faces.add(np.concatenate([plain(0), plain(51), plain(153)]), ["right"] * 3, np.array(YAWS))
    np.testing.assert_allclose(faces.mse_across[2], [0.04, 0.16])
    assert np.isnan(faces.mse_across[:2]).all()


@hypothesis_settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**31), st.permutations(range(8)), st.integers(1, 8))
def test_batches_and_order_change_nothing(seed: int, order: list[int], size: int) -> None:
    crops, rng = crops_of(seed, 8), np.random.default_rng(seed)
    labels, yaws = rng.choice(LABELS, 8), rng.integers(-40, 41, 8).astype(float)
    whole, parts = MeanFaces(EDGES), MeanFaces(EDGES)
    whole.add(crops, labels.tolist(), yaws)
    for start in range(0, 8, size):
        rows = order[start : start + size]
        parts.add(crops[rows], labels[rows].tolist(), yaws[rows])
    assert parts.as_dict() == whole.as_dict()
    np.testing.assert_array_equal(parts.means, whole.means)


@hypothesis_settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 2**31),
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.sampled_from([*EDGES, -20.0, 0.0, -0.0, 3.5, 31.0])),
        min_size=1,
        max_size=6,
    ),
)
def test_mirrors_are_the_mirrored_images(seed: int, given_rows: list[tuple[str, float]]) -> None:
    crops = crops_of(seed, len(given_rows))
    labels, yaws = [label for label, _ in given_rows], np.array([yaw for _, yaw in given_rows])
    once, twice = MeanFaces(EDGES), MeanFaces(EDGES)
    once.add(crops, labels, yaws)
    twice.add(crops, labels, yaws)
    twice.add(crops[:, :, ::-1], [mirror_label(label) for label in labels], -yaws)
    mirrored = once.with_mirrors()
    np.testing.assert_array_equal(mirrored.counts, twice.counts)
    np.testing.assert_array_equal(mirrored.means, twice.means)
    np.testing.assert_array_equal(mirrored.variances, twice.variances)
    assert mirrored.n_images == once.n_images == once.counts.sum()


def test_the_mirrored_figure_is_symmetric() -> None:
    faces = MeanFaces(EDGES)
    faces.add(crops_of(3, 60), (list(LABELS) * 20), np.linspace(-29, 28, 60))
    both = faces.with_mirrors()
    np.testing.assert_array_equal(both.means, both.means[::-1, ::-1, :, ::-1])
    np.testing.assert_allclose(both.mse_across, both.mse_across[::-1, ::-1])
    np.testing.assert_allclose(both.mean_yaws, -both.mean_yaws[::-1, ::-1])


def test_poses_of_yaws_on_and_beyond_the_edges() -> None:
    yaws = np.array([-30.1, -30, -10.1, -10, 0, 10, 10.1, 30, 30.1, np.nan])
    assert find_poses(yaws, EDGES).tolist() == [-1, 0, 0, 1, 1, 1, 2, 2, -1, -1]
    assert find_poses(np.array([9, 10, 20, 30, 31.0]), (10, 20, 30)).tolist() == [-1, 0, 0, 1, -1]
    assert find_poses(-np.array([9, 10, 20, 30.0]), (-30, -20, -10)).tolist() == [-1, 1, 1, 0]


def test_what_is_left_out_is_counted() -> None:
    faces = MeanFaces(EDGES)
    faces.add(crops_of(0, 4), ["left"] * 4, np.array([np.nan, 31, -90, 0]))
    assert faces.left_out == {"no_yaw": 1, "beyond_the_poses": 2, "unreadable": 0}
    assert faces.n_images == 1


def test_chance_tells_what_two_samples_of_one_population_show() -> None:
    ratios = []
    for seed in range(3):
        faces = MeanFaces(EDGES)
        faces.add(crops_of(seed, 90), ["left"] * 30 + ["center"] * 60, np.zeros(90))
        ratios.append(faces.mse_down[0, 1] / faces.chance_down[0, 1])
    assert np.mean(ratios) == pytest.approx(1, abs=0.06)


def test_empty_cells_are_null_in_json() -> None:
    faces = MeanFaces(EDGES)
    faces.add(plain(100, 2), ["left", "left"], np.array([0.0, -20.0]))
    figures = json.loads(json.dumps(faces.as_dict(), allow_nan=False))
    assert [cell["images"] for cell in figures["cells"]] == [1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert figures["cells"][2]["variance"] is None
    assert [pair["mse"] for pair in figures["mse"]].count(None) == 11
    assert figures["mse"][0] == {
        "lights": ["left", "left"],
        "poses": [0, 1],
        "mse": 0.0,
        "by_chance": 0.0,
    }


@pytest.mark.parametrize(
    "edges", [(), (1,), (10, 10), (10, -10), (-91, 0), (float("nan"), 1), tuple(range(17))]
)
def test_edges_that_make_no_poses(edges: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="edges of poses"):
        MeanFaces(edges)


@pytest.mark.parametrize("edges", [(-30, 0, 30), (-30, -10, 10, 31), (10, 20)])
def test_poses_that_have_no_mirrored_one(edges: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInput, match="symmetric"):
        MeanFaces(edges).with_mirrors()


def test_wrong_input() -> None:
    faces = MeanFaces(EDGES)
    with pytest.raises(InvalidInput, match="'unsure' is not a label"):
        faces.add(plain(0), ["unsure"], np.zeros(1))
    with pytest.raises(InvalidInput, match="uint8"):
        faces.add(plain(0).astype(np.float64), ["left"], np.zeros(1))
    with pytest.raises(InvalidInput, match="as many yaws"):
        faces.add(plain(0, 2), ["left"] * 2, np.zeros(3))
    both = faces.with_mirrors()
    with pytest.raises(InvalidInput, match="mirrored"):
        both.add(plain(0), ["left"], np.zeros(1))
    with pytest.raises(InvalidInput, match="already"):
        both.with_mirrors()


def centres(image: Pixels.Image, colours: list[tuple[int, int, int]]) -> list[tuple[float, float]]:
    """Where on the picture each colour has its centre, x and y."""
    pixels = np.asarray(image)
    found = [np.argwhere((pixels == colour).all(axis=2)) for colour in colours]
    return [(float(where[:, 1].mean()), float(where[:, 0].mean())) for where in found]


def test_the_picture_has_lights_downwards_and_poses_to_the_right() -> None:
    colours = [(20 * i + 11, 200 - 20 * i, 100) for i in range(9)]
    crops = np.array([np.full((64, 64, 3), colour, np.uint8) for colour in colours])
    faces = MeanFaces(EDGES)
    faces.add(crops, [label for label in LABELS for _ in YAWS], np.array(YAWS * 3))
    places = np.array(centres(render_mean_faces(faces), colours)).reshape(3, 3, 2)
    assert (np.diff(places[:, :, 0], axis=1) > 192).all()  # no face covers its neighbour
    assert (np.diff(places[:, :, 1], axis=0) > 192).all()
    np.testing.assert_allclose(places, places[:1, :, :] * [1, 0] + places[:, :1, :] * [0, 1])


@pytest.mark.parametrize("edges", [EDGES, (-5, 5), (-35, -25, -15, -5, 5, 15, 25, 35)])
def test_every_scale_shows_the_same(edges: tuple[float, ...]) -> None:
    colour = (200, 40, 40)
    faces = MeanFaces(edges)
    faces.add(np.full((2, 64, 64, 3), colour, np.uint8), ["center"] * 2, np.zeros(2))
    one, two = render_mean_faces(faces, 1), render_mean_faces(faces, 2)
    assert two.size == (2 * one.width, 2 * one.height)
    assert np.multiply(centres(one, [colour]), 2) == pytest.approx(
        np.array(centres(two, [colour])), abs=1
    )
    areas = [int((np.asarray(image) == colour).all(axis=2).sum()) for image in (one, two)]
    assert areas == [192**2, 384**2]
    with pytest.raises(InvalidInput, match="scale"):
        render_mean_faces(faces, 0)


def test_an_empty_cell_says_so() -> None:
    """Where a face would be, there is text on an even ground."""
    filled, empty = MeanFaces((-5, 5)), MeanFaces((-5, 5))
    colour = (200, 40, 40)
    filled.add(np.full((1, 64, 64, 3), colour, np.uint8), ["center"], np.zeros(1))
    ((x, y),) = centres(render_mean_faces(filled), [colour])
    cell = np.asarray(render_mean_faces(empty).convert("L"))[
        int(y) - 90 : int(y) + 90, int(x) - 90 : int(x) + 90
    ]
    ground = cell[0, 0]
    inked = np.argwhere(cell < ground - 60)
    assert len(inked) > 100
    assert (cell[:60] == ground).all()
    assert abs(inked.mean(axis=0) - 90).max() < 8
