"""Intervals: textbook values and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.statistics.intervals import Interval, newcombe_difference, ratio, wilson


def test_wilson_of_the_textbook() -> None:
    """Newcombe 1998 (one proportion), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for k, n, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert (wilson(k, n).low, wilson(k, n).high) == pytest.approx((low, high), abs=5e-5)


def test_the_difference_of_the_textbook() -> None:
    """Newcombe 1998 (difference), table II, method 10: 56/70 - 48/80 and 10/10 - 0/20."""
    found = newcombe_difference(56, 70, 48, 80)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    found = newcombe_difference(10, 10, 0, 20)
    assert (found.low, found.high) == pytest.approx((0.6791, 1.0), abs=5e-5)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.5, 0.999))
def test_limits_enclose_the_estimate_within_0_and_1(k: int, more: int, level: float) -> None:
    found = wilson(k, k + more, level)
    assert 0 <= found.low <= found.high <= 1
    if k + more:
        assert found.low <= found.estimate <= found.high


def test_without_data_everything_is_possible() -> None:
    assert math.isnan(wilson(0, 0).estimate)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)
    nothing = newcombe_difference(1, 2, 0, 0)
    assert math.isnan(nothing.estimate)
    assert (nothing.low, nothing.high) == (-1, 1)
    assert ratio(wilson(1, 2), wilson(0, 0)).high == math.inf


@pytest.mark.parametrize("arguments", [(2, 1), (-1, 3), (1, 2, 1.0)])
def test_impossible_counts_are_refused(arguments) -> None:
    with pytest.raises(ValueError, match=r"successes of|level"):
        wilson(*arguments)


def test_wilson_covers_at_its_level() -> None:
    rng = np.random.default_rng(1)
    draws = rng.binomial(40, 0.85, 2000)
    hits = sum(wilson(int(k), 40).contains(0.85) for k in draws)
    assert 0.93 < hits / 2000 < 0.98


def test_the_ratio_covers_at_its_level() -> None:
    rng = np.random.default_rng(2)
    draws = zip(rng.binomial(120, 0.2, 2000), rng.binomial(60, 0.4, 2000), strict=True)
    hits = sum(ratio(wilson(int(a), 120), wilson(int(b), 60)).contains(0.5) for a, b in draws)
    assert 0.93 < hits / 2000 < 0.975


def test_a_ratio_to_a_share_that_may_be_0_has_no_upper_limit() -> None:
    found = ratio(Interval(0.5, 0.4, 0.6), Interval(0.3, 0.0, 0.5))
    assert found.high == math.inf
    assert 0 < found.low < found.estimate
