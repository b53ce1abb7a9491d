"""Batch consensus methods behind one interface."""

from __future__ import annotations

import numpy as np
import pytest

from labeler.consensus.majority import METHOD as MAJORITY
from labeler.consensus.majority import VoteCounts, majority_outcome
from labeler.statistics.batch_aggregation import (
    CONTESTED,
    METHODS,
    MODEL_AND_VOTES,
    PLURALITY,
    model_and_votes,
    plurality,
    skills,
)
from labeler.statistics.dawid_skene import METHOD as SKILLS
from labeler.statistics.vote_arrays import MIRRORED_ANSWERS, Votes
from tests.labeler.statistics.simulated_class import draw_votes

CLASS = ["good"] * 12 + ["careless"] * 4 + ["centrist"] * 2 + ["spammer"] * 2 + ["one-sided"] * 2

STAMPS = {"majority": PLURALITY, "model-and-votes": MODEL_AND_VOTES, "skills": SKILLS}


def _votes(*images: list[int]) -> Votes:
    image = np.repeat(np.arange(len(images)), [len(answers) for answers in images])
    person = np.concatenate([np.arange(len(answers)) for answers in images]).astype(int)
    return Votes(image, person, np.concatenate(images).astype(int))


def test_the_plurality_and_its_ties() -> None:
    found = plurality(_votes([0, 0, 2], [0, 2], [1, 3, 3], [0, 1, 3, 0]), 5, 4)
    assert found.labels.tolist() == [0, CONTESTED, CONTESTED, 0, CONTESTED]
    assert found.posteriors[0] == pytest.approx([2 / 3, 0, 1 / 3])
    assert found.posteriors[2] == pytest.approx([2 / 9, 5 / 9, 2 / 9])
    assert found.posteriors[4] == pytest.approx(1 / 3)
    assert found.method == "plurality-1"


def test_the_plurality_is_another_rule_than_the_majority_and_says_so() -> None:
    """One vote of three needed decides here, and an unsure vote counts a third for each label."""
    found = plurality(_votes([0], [0, 0, 3]), 2, 3)
    assert found.labels.tolist() == [0, 0]
    assert majority_outcome(VoteCounts(left=1), required=3).status == "open"
    assert found.posteriors[1, 0] == pytest.approx(7 / 9)
    assert majority_outcome(VoteCounts(left=2, unsure=1), required=3).probability == 1
    assert found.method != MAJORITY


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_a_distribution_and_mirrors(name: str) -> None:
    votes, truth = draw_votes(CLASS, 300, 2, seed=7)
    prior = 0.9 * np.eye(3)[truth] + 0.1 / 3
    prior[:20] = np.nan
    found = METHODS[name](votes, 300, len(CLASS), prior)
    flipped = METHODS[name](votes.mirrored(), 300, len(CLASS), prior[:, ::-1])
    assert found.method == STAMPS[name]
    assert found.posteriors.sum(axis=1) == pytest.approx(1)
    assert flipped.posteriors == pytest.approx(found.posteriors[:, ::-1], abs=1e-9)
    mirrored = np.where(found.labels < 0, -1, MIRRORED_ANSWERS[found.labels])
    assert flipped.labels.tolist() == mirrored.tolist()


@pytest.mark.parametrize("name", ["majority", "skills"])
def test_opposite_votes_of_unknown_people_are_contested(name: str) -> None:
    assert METHODS[name](_votes([0, 2]), 1, 2, None).labels.tolist() == [CONTESTED]


def test_a_good_model_weighs_more_than_a_bad_one() -> None:
    votes, truth = draw_votes(CLASS, 1000, 3, seed=8)
    good = 0.95 * np.eye(3)[truth] + 0.05 / 3
    bad = np.random.default_rng(8).dirichlet([1, 1, 1], 1000)

    def accuracy(prior: np.ndarray) -> float:
        return float((model_and_votes(votes, 1000, len(CLASS), prior).labels == truth).mean())

    by_votes = (plurality(votes, 1000, len(CLASS)).labels == truth).mean()
    assert accuracy(good) > 0.97
    assert accuracy(bad) > by_votes - 0.01


def test_at_equal_votes_skills_err_a_quarter_less_than_the_majority() -> None:
    errors = []
    for seed in range(5):
        votes, truth = draw_votes(CLASS, 1000, 5, seed=seed)
        by_skills = skills(votes, 1000, len(CLASS)).labels != truth
        by_majority = plurality(votes, 1000, len(CLASS)).posteriors.argmax(axis=1) != truth
        errors.append((by_skills.mean(), by_majority.mean()))
    found, baseline = np.mean(errors, axis=0)
    assert found < 0.75 * baseline


def test_model_and_votes_by_hand() -> None:
    """Three agreeing pairs: s_j = 1 - A_0 share; all weights equal to 1 but the model's."""
    votes = _votes([0, 0], [1, 1], [2, 2], [0])
    prior = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1.0]])
    found = model_and_votes(votes, 4, 2, prior)
    weight = np.sqrt(7 / 4)  # the model always agrees: w_M = sqrt(mean votes), w_j = 1, P = 1
    assert found.posteriors[3] == pytest.approx([1 / (1 + weight), 0, weight / (1 + weight)])


def test_model_and_votes_needs_a_model() -> None:
    with pytest.raises(ValueError, match="needs the model's probabilities"):
        model_and_votes(_votes([0]), 1, 1)
