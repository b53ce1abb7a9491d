"""Weights by looks: mirrors, monotone, the share of images that is left, wrong input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rotation.clusters.members import mean_images
from rotation.clusters.selection import ClusterMembers, Selection
from rotation.clusters.similarity import appearance_descriptors, weight_by_similarity
from rotation.errors import SelectionError
from rotation.synthetic_heads.renderer import render
from rotation.synthetic_heads.sampling import BENCHMARK_IDENTITY, sample_heads


def selection_of(*sizes: int) -> Selection:
    """Clusters of these sizes; rows count through."""
    rows = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    clusters = tuple(
        ClusterMembers(r, np.zeros(len(r), dtype=bool), np.zeros(len(r))) for r in rows
    )
    return Selection(tuple(float(k) for k in range(len(sizes))), clusters, (), ())


@pytest.mark.parametrize("size", [16, 64, 97])
def test_a_mirror_changes_no_bit_of_the_looks(size: int) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, size, size, 3)).astype(np.uint8)
    looks = appearance_descriptors(crops)
    assert looks.shape == (3, 15)
    np.testing.assert_array_equal(looks, appearance_descriptors(crops[:, :, ::-1]))


def test_the_same_person_turned_is_nearer_than_others() -> None:
    heads = sample_heads(8, seed=3, first_identity=BENCHMARK_IDENTITY)
    ahead = appearance_descriptors(render([replace(head, yaw_deg=0.0) for head in heads]))
    turned = appearance_descriptors(render([replace(head, yaw_deg=25.0) for head in heads]))
    apart = np.linalg.norm(ahead[:, None] - turned[None], axis=2)
    assert np.array_equal(apart.argmin(axis=1), np.arange(8))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.1, 0.95))
def test_weights_leave_the_share_and_fall_with_the_difference(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    looks, source = rng.normal(size=(60, 4)), rng.normal(size=4)
    members = weight_by_similarity(selection_of(25, 35), looks, source, share).members
    assert members.weights is not None
    assert members.effective_size == pytest.approx(60 * share, rel=0.01)
    assert members.weights.mean() == pytest.approx(1)
    apart = np.square((looks - source) / looks.std(axis=0)).mean(axis=1)
    assert np.all(np.diff(members.weights[np.argsort(apart)]) <= 0)


def test_a_share_of_one_and_equal_looks_give_equal_weights() -> None:
    looks = np.random.default_rng(1).normal(size=(10, 3))
    for seen, share in ((looks, 1.0), (np.ones((10, 3)), 0.5)):
        weights = weight_by_similarity(selection_of(4, 6), seen, seen[0], share).members.weights
        np.testing.assert_allclose(weights, np.ones(10), atol=1e-6)


def test_weights_stay_with_their_members() -> None:
    selection = weight_by_similarity(selection_of(3, 5), np.arange(8.0)[:, None], np.zeros(1), 0.5)
    whole = selection.members.weights
    assert whole is not None
    for cluster in selection.clusters:
        np.testing.assert_array_equal(cluster.weights, whole[cluster.rows])
    taken = selection.clusters[1].take(np.array([4, 0]))
    np.testing.assert_array_equal(taken.weights, whole[[7, 3]])


def test_mean_images_follow_the_weights() -> None:
    selection = selection_of(2)
    crops = {row: np.full((16, 16, 3), 200 * row, dtype=np.uint8) for row in (0, 1)}
    assert mean_images(selection, crops)[0, 0, 0, 0] == 100
    heavy = replace(selection.clusters[0], weights=np.array([0.5, 1.5]))
    assert mean_images(replace(selection, clusters=(heavy,)), crops)[0, 0, 0, 0] == 150


@pytest.mark.parametrize(
    ("rows", "share", "message"),
    [(8, 0.0, "effective share"), (8, 1.5, "effective share"), (7, 0.5, "8 members need")],
)
def test_refuses_what_makes_no_sense(rows: int, share: float, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        weight_by_similarity(selection_of(3, 5), np.zeros((rows, 2)), np.zeros(2), share)
