"""Labels and the majority: pure rules, checked as properties."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.consensus.majority import Outcome, VoteCounts, count_votes, majority_outcome
from labeler.consensus.priority import priority
from labeler.labels import ANSWERS, likeliest_label, mirror_label
from rotation.data.labels import LABELS

answers = st.lists(st.sampled_from(ANSWERS), max_size=12)
required_votes = st.integers(1, 8)


@pytest.mark.parametrize("answer", ANSWERS)
def test_mirroring_twice_changes_nothing(answer: str) -> None:
    assert mirror_label(mirror_label(answer)) == answer


def test_a_mirror_swaps_left_and_right() -> None:
    assert [mirror_label(answer) for answer in ANSWERS] == ["right", "center", "left", "unsure"]


def test_the_likeliest_label_is_none_on_a_tie() -> None:
    assert likeliest_label((0.2, 0.3, 0.5)) == "right"
    assert likeliest_label((0.25, 0.5, 0.25)) == "center"
    assert likeliest_label((0.375, 0.25, 0.375)) is None
    assert likeliest_label((0.25, 0.375, 0.375)) is None


def test_an_unknown_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="'top' is not an answer; allowed are left"):
        mirror_label("top")
    with pytest.raises(ValueError, match="'top' is not an answer"):
        count_votes(["left", "top"])


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ("", Outcome("open")),
        ("left left", Outcome("open")),
        ("left left right", Outcome("agreed", "left", 2 / 3)),
        ("left left unsure", Outcome("agreed", "left", 1.0)),
        ("center center center", Outcome("agreed", "center", 1.0)),
        ("left center right", Outcome("contested")),
        ("left unsure unsure", Outcome("contested")),
        ("unsure unsure unsure", Outcome("contested")),
        ("left left right right", Outcome("contested")),
        ("left left unsure unsure", Outcome("contested")),
        ("left left right unsure", Outcome("agreed", "left", 2 / 3)),
    ],
)
def test_what_three_required_votes_decide(votes: str, expected: Outcome) -> None:
    assert majority_outcome(count_votes(votes.split()), 3) == expected


@given(answers, required_votes, st.randoms())
def test_the_order_of_the_votes_does_not_matter(
    votes: list[str], required: int, rng: random.Random
) -> None:
    shuffled = rng.sample(votes, len(votes))
    assert majority_outcome(count_votes(shuffled), required) == majority_outcome(
        count_votes(votes), required
    )


@given(answers, required_votes)
def test_the_mirrored_votes_have_the_mirrored_outcome(votes: list[str], required: int) -> None:
    outcome = majority_outcome(count_votes(votes), required)
    mirrored = majority_outcome(count_votes(map(mirror_label, votes)), required)
    label = mirror_label(outcome.label) if outcome.label else None
    assert mirrored == Outcome(outcome.status, label, outcome.probability)
    assert majority_outcome(count_votes(votes).mirrored(), required) == mirrored


@given(answers, required_votes)
def test_a_label_beats_every_other_answer(votes: list[str], required: int) -> None:
    outcome = majority_outcome(count_votes(votes), required)
    assert (outcome.status == "open") == (len(votes) < required)
    assert (outcome.label is None) == (outcome.probability is None)
    if outcome.status == "agreed":
        rivals = [answer for answer in ANSWERS if answer != outcome.label]
        assert outcome.label in LABELS
        assert all(votes.count(outcome.label) > votes.count(rival) for rival in rivals)
        named = [vote for vote in votes if vote in LABELS]
        assert outcome.probability == votes.count(outcome.label) / len(named)


@given(answers.filter(bool))
def test_one_more_vote_for_the_agreed_label_keeps_it(votes: list[str]) -> None:
    outcome = majority_outcome(count_votes(votes), 1)
    if outcome.label:
        assert majority_outcome(count_votes([*votes, outcome.label]), 1).label == outcome.label


def test_no_votes_required_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="at least one vote"):
        majority_outcome(VoteCounts(), 0)


def test_what_the_model_asks_for_comes_first_where_it_is_to_teach() -> None:
    even, none, one = (1 / 3, 1 / 3, 1 / 3), count_votes([]), count_votes(["left"])

    def place(order: str, counts: VoteCounts, ask: int | None) -> int:
        return priority(order, counts, even, 1, math.log(3), ask)

    asked = [place("uncertain", none, ask) for ask in (0, 1, 499)]
    assert asked == sorted(set(asked))
    assert asked[-1] < place("uncertain", none, None)
    assert place("uncertain", one, 0) == place("uncertain", one, None), "it has been answered"
    for order in ("breadth", "random", "contested"):
        assert place(order, none, 0) == place(order, none, None)
