"""Anchoring of known size lies within its 95 % interval about 95 times in a hundred."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from labeler.statistics.anchoring import measure_anchoring, measure_inserted, side_bias
from labeler.statistics.intervals import Interval
from labeler.statistics.vote_arrays import MIRRORED_ANSWERS
from tests.labeler.statistics.simulated_class import CONFUSIONS, draw

SEEDS = 1000
GOOD = np.array(CONFUSIONS["good"])


def covered(measure: Callable[[np.random.Generator], Interval], truth: float) -> float:
    """The share of seeds whose interval holds the truth."""
    intervals = [measure(np.random.default_rng(seed)) for seed in range(SEEDS)]
    return float(np.mean([interval.contains(truth) for interval in intervals]))


def _answers(truth: np.ndarray, shown: np.ndarray, rate: float, rng: np.random.Generator):
    """Answers of good people of whom a share `rate` repeats what is shown (-1: nothing)."""
    own = draw(GOOD[truth], rng)
    return np.where((shown >= 0) & (rng.random(len(truth)) < rate), shown, own)


def _anchored(rate: float, rng: np.random.Generator, n: int = 600):
    truth = rng.integers(0, 3, n)
    proposal = np.where(rng.random(n) < 0.8, truth, rng.integers(0, 3, n))
    blind = rng.random(n) < 0.25
    return _answers(truth, np.where(blind, -1, proposal), rate, rng), proposal, blind


@pytest.mark.parametrize("rate", [0.0, 0.15, 0.5])
def test_the_copy_rate_is_covered(rate: float) -> None:
    share = covered(lambda rng: measure_anchoring(*_anchored(rate, rng)).copy_rate, rate)
    assert 0.93 <= share <= 0.975


def test_the_difference_is_covered() -> None:
    rate = 0.3
    by_chance = 0.8 + 0.2 / 3  # the proposal is right
    right, wrong = GOOD.trace() / 3, (GOOD[:, :3].sum() - GOOD.trace()) / 6
    blind = by_chance * right + (1 - by_chance) * wrong
    size = rate * (1 - blind)
    share = covered(lambda rng: measure_anchoring(*_anchored(rate, rng)).difference, size)
    assert 0.93 <= share <= 0.975


def _planted(rate: float, rng: np.random.Generator):
    truth, base_truth = rng.integers(0, 3, 120), rng.integers(0, 3, 400)
    planted = (truth + rng.integers(1, 3, 120)) % 3
    answer = _answers(truth, planted, rate, rng)
    base = _answers(base_truth, np.full(400, -1), rate, rng)
    return measure_inserted(answer, planted, truth, base, base_truth)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7])
def test_the_copy_rate_of_inserted_suggestions_is_covered(rate: float) -> None:
    assert 0.93 <= covered(lambda rng: _planted(rate, rng).copy_rate, rate) <= 0.975


def test_planted_proposals_are_corrected_for_common_errors() -> None:
    """Who takes half of the left for center has not followed a planted center."""
    rng = np.random.default_rng(1)
    truth = np.zeros(4000, dtype=int)
    answer = rng.integers(0, 2, 4000)
    found = measure_inserted(
        answer[:2000], truth[:2000] + 1, truth[:2000], answer[2000:], truth[2000:]
    )
    assert found.shown.estimate == pytest.approx(0.5, abs=0.05)
    assert found.copy_rate.contains(0)
    assert abs(found.copy_rate.estimate) < 0.1


def _sided(bias: float, mirrored_share: float, rng: np.random.Generator):
    n = 800
    truth = draw(np.tile([0.5, 0.3, 0.2], (n, 1)), rng)  # more light from the left: it must cancel
    mirrored = rng.random(n) < mirrored_share
    seen = np.where(mirrored, 2 - truth, truth)
    seen_answer = draw(GOOD[seen], rng)
    by_hand = (seen_answer != 1) & (seen_answer != 3) & (rng.random(n) < bias)
    seen_answer = np.where(by_hand, 0, seen_answer)
    return np.where(mirrored, MIRRORED_ANSWERS[seen_answer], seen_answer), mirrored


@pytest.mark.parametrize(("bias", "mirrored_share"), [(0.0, 0.5), (0.2, 0.5), (0.2, 0.25)])
def test_the_side_bias_is_covered_and_the_light_cancels(bias: float, mirrored_share: float) -> None:
    share = covered(lambda rng: side_bias(*_sided(bias, mirrored_share, rng)), bias)
    assert 0.93 <= share <= 0.975


def test_a_mirrored_class_has_the_opposite_bias() -> None:
    answer, mirrored = _sided(0.3, 0.5, np.random.default_rng(2))
    found, opposite = side_bias(answer, mirrored), side_bias(MIRRORED_ANSWERS[answer], mirrored)
    assert opposite.estimate == pytest.approx(-found.estimate)
    assert (opposite.low, opposite.high) == pytest.approx((-found.high, -found.low))


def test_without_blind_or_mirrored_votes_nothing_is_known() -> None:
    nobody = measure_anchoring(np.array([0, 1]), np.array([0, 0]), np.array([False, False]))
    assert nobody.shown.estimate == 0.5
    assert math.isnan(nobody.copy_rate.estimate)
    assert (nobody.copy_rate.low, nobody.copy_rate.high) == (-1, 1)
    assert math.isnan(side_bias(np.array([0, 2]), np.array([False, False])).estimate)
    empty = np.empty(0, dtype=int)
    bare = measure_inserted(np.array([1]), np.array([1]), np.array([0]), empty, empty)
    assert math.isnan(bare.copy_rate.estimate)


def test_images_without_a_proposal_are_left_out() -> None:
    answer, proposal, blind = _anchored(0.3, np.random.default_rng(3))
    more = measure_anchoring(
        np.append(answer, [3, 3]), np.append(proposal, [-1, -1]), np.append(blind, [True, False])
    )
    assert more == measure_anchoring(answer, proposal, blind)


def test_a_planted_proposal_that_is_right_is_refused() -> None:
    one = np.array([1])
    with pytest.raises(ValueError, match="must be wrong"):
        measure_inserted(one, one, one, one, one)
