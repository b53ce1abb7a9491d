"""The stopping rule: when an image needs no more votes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.consensus.majority import Outcome, VoteCounts
from labeler.consensus.stopping_rule import StoppingRule, apply_stopping_rule, is_audited

RULE = StoppingRule(threshold=0.95, min_votes=1, vote_cap=7)
SURE = (0.97, 0.02, 0.01)
UNSURE = (0.6, 0.3, 0.1)


@pytest.mark.parametrize(
    ("posterior", "counts", "audited", "expected"),
    [
        (SURE, VoteCounts(left=1), False, Outcome("agreed", "left", 0.97)),
        (SURE, VoteCounts(), False, Outcome("open")),
        (SURE, VoteCounts(right=1), False, Outcome("open")),
        (SURE, VoteCounts(unsure=1), False, Outcome("open")),
        (SURE, VoteCounts(unsure=7), False, Outcome("contested")),
        (SURE, VoteCounts(left=1), True, Outcome("open")),
        (SURE, VoteCounts(left=7), True, Outcome("agreed", "left", 0.97)),
        (UNSURE, VoteCounts(left=6), False, Outcome("open")),
        (UNSURE, VoteCounts(left=4, right=3), False, Outcome("contested")),
        (UNSURE, VoteCounts(left=4, unsure=3), False, Outcome("contested")),
        (UNSURE, VoteCounts(left=4, right=3), True, Outcome("contested")),
        ((0.4, 0.2, 0.4), VoteCounts(left=2, right=2), False, Outcome("open")),
        ((0.4, 0.2, 0.4), VoteCounts(left=4, right=4), False, Outcome("contested")),
        ((0.95, 0.03, 0.02), VoteCounts(left=2), False, Outcome("agreed", "left", 0.95)),
    ],
)
def test_outcomes(posterior, counts, audited, expected) -> None:
    assert apply_stopping_rule(posterior, counts, RULE, audited) == expected


def test_two_people_must_have_named_it_where_the_rule_says_so() -> None:
    rule = StoppingRule(0.95, 2, 7)
    assert apply_stopping_rule(SURE, VoteCounts(left=1, unsure=1), rule).status == "open"
    assert apply_stopping_rule(SURE, VoteCounts(left=2), rule).status == "agreed"


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 1), st.integers(0, 9))
def test_a_label_comes_exactly_with_agreement(left, center, right, n) -> None:
    total = left + center + right
    outcome = apply_stopping_rule(
        (left / total, center / total, right / total), VoteCounts(n, n, n), RULE
    )
    assert (outcome.label is not None) == (outcome.status == "agreed")
    assert (outcome.probability is not None) == (outcome.status == "agreed")


@pytest.mark.parametrize(
    "numbers", [(0.5, 1, 7), (1.0, 1, 7), (0.9, 0, 7), (0.9, 3, 2), (float("nan"), 1, 7)]
)
def test_rules_that_are_none(numbers) -> None:
    with pytest.raises(ValueError, match=r"threshold|min_votes"):
        StoppingRule(*numbers)


def test_the_audit_sample_has_its_share_and_differs_between_campaigns() -> None:
    first = [is_audited(1, image, 0.1) for image in range(5000)]
    assert 0.08 < sum(first) / 5000 < 0.12
    assert first == [is_audited(1, image, 0.1) for image in range(5000)]
    assert first != [is_audited(2, image, 0.1) for image in range(5000)]
    assert not any(is_audited(1, image, 0.0) for image in range(50))
    assert all(is_audited(1, image, 1.0) for image in range(50))
