"""The posterior of one image: a formula with known values and symmetries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.labels import ANSWERS
from labeler.statistics.posterior import (
    DEFAULT_CONFUSION,
    Confusion,
    Evidence,
    entropy,
    label_posterior,
    mirrored_confusion,
)
from rotation.data.labels import LABELS

FLAT = (1 / 3, 1 / 3, 1 / 3)
weights = st.floats(0, 1)


def _shares(numbers: list[float]) -> tuple[float, ...]:
    total = sum(numbers) + 0.01 * len(numbers)
    return tuple((number + 0.01) / total for number in numbers)


def rows(n: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.lists(weights, min_size=n, max_size=n).map(_shares)


confusions = st.tuples(rows(4), rows(4), rows(4))
votes = st.builds(
    Evidence, st.sampled_from(ANSWERS), confusions, st.sampled_from([None, *LABELS]), weights
)
priors = rows(3)


def test_bayes_by_hand() -> None:
    left, center, right = label_posterior(FLAT, [Evidence("left", DEFAULT_CONFUSION)])
    total = 0.8 + 0.075 + 0.04
    assert (left, center, right) == pytest.approx((0.8 / total, 0.075 / total, 0.04 / total))


def test_no_votes_leave_the_prior() -> None:
    assert label_posterior((0.2, 0.5, 0.3), []) == pytest.approx((0.2, 0.5, 0.3), abs=1e-12)


@given(priors, st.lists(votes, max_size=6), st.randoms())
def test_the_order_of_votes_does_not_matter(prior, evidence, random) -> None:
    shuffled = list(evidence)
    random.shuffle(shuffled)
    assert label_posterior(prior, shuffled) == label_posterior(prior, evidence)


@given(priors, st.lists(votes, max_size=8))
def test_a_mirror_mirrors_the_posterior(prior, evidence) -> None:
    straight = label_posterior(prior, evidence)
    flipped = label_posterior(tuple(reversed(prior)), [vote.mirrored() for vote in evidence])
    assert flipped == pytest.approx(tuple(reversed(straight)), abs=1e-12)


@given(priors, st.lists(votes, max_size=10))
def test_it_is_a_distribution_that_is_never_certain(prior, evidence) -> None:
    posterior = label_posterior(prior, evidence)
    assert math.fsum(posterior) == pytest.approx(1, abs=1e-12)
    assert all(0 < p < 1 for p in posterior)


def test_a_hundred_equal_votes_are_still_no_certainty() -> None:
    sure: Confusion = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0))
    posterior = label_posterior((0, 0, 1), [Evidence("left", sure)] * 100)
    assert 0.99 < posterior[0] < 1


def test_repeating_the_proposal_is_no_evidence() -> None:
    prior = (0.7, 0.2, 0.1)
    parrot = Evidence("left", DEFAULT_CONFUSION, "left", 1.0)
    assert label_posterior(prior, [parrot]) == pytest.approx(prior)


def test_a_copy_rate_weakens_assent_and_leaves_dissent() -> None:
    def after(answer: str, copy_rate: float) -> float:
        vote = Evidence(answer, DEFAULT_CONFUSION, "left", copy_rate)
        return label_posterior(FLAT, [vote])[LABELS.index(answer)]

    assert after("left", 0.5) < after("left", 0.1) < after("left", 0.0)
    assert after("right", 0.5) == pytest.approx(after("right", 0.0))


def test_the_default_is_symmetric_and_confuses_neighbours_most() -> None:
    assert mirrored_confusion(DEFAULT_CONFUSION) == DEFAULT_CONFUSION
    assert DEFAULT_CONFUSION[0][1] > DEFAULT_CONFUSION[0][2]
    assert np.allclose(np.sum(DEFAULT_CONFUSION, axis=1), 1)


def test_entropy() -> None:
    assert entropy(FLAT) == pytest.approx(math.log(3))
    assert entropy((1.0, 0.0, 0.0)) == 0
    assert entropy((0.5, 0.5, 0.0)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("prior", [(0.5, 0.5), (0.5, 0.6, 0.1), (-0.1, 0.6, 0.5), (math.nan,) * 3])
def test_a_prior_that_is_none_is_refused(prior) -> None:
    with pytest.raises(ValueError, match="not three probabilities"):
        label_posterior(prior, [])


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        (("top", DEFAULT_CONFUSION), "'top' is not an answer"),
        (("left", DEFAULT_CONFUSION, "unsure"), "'unsure' is not a label"),
        (("left", DEFAULT_CONFUSION, "left", 1.5), "copy_rate is 1.5"),
        (("left", DEFAULT_CONFUSION[:2]), "3 rows"),
        (("left", (*DEFAULT_CONFUSION[:2], (0.5, 0.5, 0.5, 0.5))), "row right of the confusion"),
    ],
)
def test_evidence_that_is_none_is_refused(evidence, message) -> None:
    with pytest.raises(ValueError, match=message):
        Evidence(*evidence)


def test_each_answer_sums_to_one_over_answers_whatever_is_shown() -> None:
    for shown, label in itertools.product([None, *LABELS], range(3)):
        logs = [
            Evidence(answer, DEFAULT_CONFUSION, shown, 0.3).log_likelihoods()[label]
            for answer in ANSWERS
        ]
        assert math.fsum(map(math.exp, logs)) == pytest.approx(1)
