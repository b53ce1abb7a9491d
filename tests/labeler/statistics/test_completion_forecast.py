"""When a campaign will be done: against campaigns that are played to the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.statistics.completion_forecast import pace, remaining_time, remaining_votes
from labeler.statistics.intervals import Interval

CAP = 7


def halfway(rng: np.random.Generator, images: int) -> tuple[dict[int, int], dict[int, int], int]:
    """Images of mixed difficulty, labelled breadth first and stopped between the second and the
    fourth round: finished and open ones by their votes, and how many votes are missing."""
    ends = np.minimum(rng.geometric(rng.choice([0.8, 0.4, 0.2], images)), CAP)
    budget, votes = int(rng.integers(2 * images, 5 * images // 2)), np.zeros(images, int)
    for turn in range(CAP):
        here = rng.permutation(np.flatnonzero((votes == turn) & (ends > turn)))[:budget]
        votes[here] += 1
        budget -= len(here)
    done = votes >= ends
    finished, waiting = (
        {int(v): int(n) for v, n in zip(*np.unique(votes[mask], return_counts=True), strict=True)}
        for mask in (done, ~done)
    )
    return finished, waiting, int((ends - votes)[~done].sum())


def test_the_interval_holds_what_was_really_needed() -> None:
    rng = np.random.default_rng(3)
    held, ratios = [], []
    for _ in range(60):
        finished, waiting, missing = halfway(rng, 500)
        if missing:
            found = remaining_votes(finished, waiting, first=1, cap=CAP)
            held.append(found.contains(missing))
            ratios.append(found.estimate / missing)
    assert np.mean(held) >= 0.85
    assert 0.8 < np.median(ratios) < 1.2


def test_a_majority_of_three_needs_exactly_the_rest() -> None:
    found = remaining_votes({3: 40}, {0: 5, 1: 2, 2: 3}, first=3, cap=3)
    assert found == Interval(22.0, 22.0, 22.0)
    assert remaining_votes({}, {}, first=1, cap=7) == Interval(0.0, 0.0, 0.0)


@given(
    finished=st.dictionaries(st.integers(1, CAP), st.integers(0, 500)),
    waiting=st.dictionaries(st.integers(0, CAP + 3), st.integers(0, 500)),
    first=st.integers(1, CAP),
)
def test_bounds(finished: dict[int, int], waiting: dict[int, int], first: int) -> None:
    """Each open image takes one vote at least and what is left to the cap at most."""
    found = remaining_votes(finished, waiting, first=first, cap=CAP)
    images = sum(waiting.values())
    most = sum(max(CAP - votes, 1) * n for votes, n in waiting.items())
    assert images <= found.low + 1e-9
    assert found.low <= found.estimate <= found.high
    assert found.estimate <= most + 1e-6


def test_the_pace_is_sure_of_itself_as_the_bins_are() -> None:
    steady, rough = pace([50] * 12), pace([0, 100] * 6)
    assert steady.estimate == rough.estimate == 50
    assert rough.high - rough.low > 2 * (steady.high - steady.low)
    assert math.isnan(pace([0, 0]).estimate)
    rng = np.random.default_rng(0)
    held = [pace(rng.poisson(30, 12).tolist()).contains(30) for _ in range(300)]
    assert 0.9 < np.mean(held) <= 1


def test_time_left() -> None:
    needed = Interval(600.0, 500.0, 720.0)
    found = remaining_time(needed, pace([10] * 6), 600)
    assert found is not None
    assert found.estimate == pytest.approx(36_000)
    assert found.low < 36_000 * 500 / 600
    assert found.high > 36_000 * 720 / 600
    assert remaining_time(needed, pace([0, 0]), 600) is None
    assert remaining_time(Interval(0.0, 0.0, 0.0), pace([10]), 600) is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="first is 3, cap is 2"):
        remaining_votes({}, {}, first=3, cap=2)
