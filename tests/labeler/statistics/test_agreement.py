"""Alpha and kappa against the libraries that others use."""

from __future__ import annotations

import math

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from labeler.statistics.agreement import confusion_matrix, krippendorff_alpha, pairwise_kappa
from labeler.statistics.vote_arrays import Votes
from tests.labeler.statistics.simulated_class import draw_votes

CLASS = ["good", "careless", "centrist", "spammer", "one-sided", "good"]


@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_krippendorffs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patterns = rng.multinomial(3, [0.6, 0.3, 0.1], 60)
    patterns[:10] = np.eye(3, dtype=int)[rng.integers(0, 3, 10)]  # lone votes count for nothing
    distinct, counts = np.unique(patterns, axis=0, return_counts=True)
    expected = krippendorff.alpha(value_counts=patterns, level_of_measurement="nominal")
    assert krippendorff_alpha(patterns) == pytest.approx(expected, abs=1e-12)
    assert krippendorff_alpha(distinct, counts) == pytest.approx(expected, abs=1e-12)


def test_alpha_of_perfect_agreement_and_of_nothing() -> None:
    assert krippendorff_alpha(np.array([[3, 0], [0, 2]])) == 1
    assert math.isnan(krippendorff_alpha(np.array([[1, 0], [0, 1]])))
    assert math.isnan(krippendorff_alpha(np.array([[2, 0], [3, 0]])))
    assert math.isnan(krippendorff_alpha(np.empty((0, 3), dtype=int)))


def test_alpha_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        krippendorff_alpha(np.ones((2, 3), dtype=int), np.ones(3, dtype=int))
    with pytest.raises(ValueError, match="negative"):
        krippendorff_alpha(np.array([[2, -1]]))


def test_kappa_is_cohens() -> None:
    votes, _ = draw_votes(CLASS, 200, 3, seed=1)
    found = pairwise_kappa(votes, len(CLASS))
    for a in range(len(CLASS)):
        for b in range(a):
            columns = [dict(zip(*_of(votes, person), strict=True)) for person in (a, b)]
            common = sorted(columns[0].keys() & columns[1].keys())
            expected = cohen_kappa_score(*([column[i] for i in common] for column in columns))
            assert found[a, b] == pytest.approx(expected, abs=1e-12)
            assert found[a, b] == found[b, a]
    assert np.isnan(found.diagonal()).all()


def _of(votes: Votes, person: int) -> tuple[list[int], list[int]]:
    rows = votes.annotator == person
    return votes.image[rows].tolist(), votes.answer[rows].tolist()


def test_kappa_needs_overlap() -> None:
    votes = Votes(np.repeat(np.arange(9), 2), np.tile([0, 1], 9), np.tile([0, 0, 1, 1, 2, 2], 3))
    assert np.isnan(pairwise_kappa(votes, 3)).all()
    assert pairwise_kappa(votes, 3, min_overlap=9)[0, 1] == 1


def test_kappa_of_one_answer_only_is_undefined() -> None:
    votes = Votes(np.repeat(np.arange(20), 2), np.tile([0, 1], 20), np.zeros(40, dtype=int))
    assert np.isnan(pairwise_kappa(votes, 2)).all()


def test_confusion_counts() -> None:
    found = confusion_matrix(np.array([0, 0, 1, 2, -1]), np.array([0, 3, 1, 0, 2]))
    assert found.tolist() == [[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 0]]
    with pytest.raises(ValueError, match="labels are"):
        confusion_matrix(np.array([3]), np.array([0]))
    with pytest.raises(ValueError, match="1 labels, 2 answers"):
        confusion_matrix(np.array([1]), np.array([0, 1]))
