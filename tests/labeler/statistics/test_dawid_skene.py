"""Skills by EM: known people are recovered, little data shrinks, a mirror mirrors."""

from __future__ import annotations

import numpy as np
import pytest

from labeler.statistics.dawid_skene import Skills, fit_skills
from labeler.statistics.posterior import DEFAULT_CONFUSION
from labeler.statistics.vote_arrays import MIRRORED_ANSWERS, Votes
from tests.labeler.statistics.simulated_class import CONFUSIONS, draw_votes

CLASS = ["good"] * 12 + ["careless"] * 4 + ["centrist"] * 2 + ["spammer"] * 2 + ["one-sided"] * 2
EMPTY = np.empty(0, dtype=int)


def test_skills_are_recovered_from_many_votes() -> None:
    votes, truth = draw_votes(CLASS, 3000, 5, seed=1)
    skills = fit_skills(votes, 3000, len(CLASS))
    true = np.array([CONFUSIONS[kind] for kind in CLASS])
    assert np.abs(skills.confusions - true).mean() < 0.02
    assert (skills.posteriors.argmax(axis=1) == truth).mean() > 0.96
    assert skills.confusions.sum(axis=2) == pytest.approx(1)


def test_no_more_certain_than_right() -> None:
    votes, truth = draw_votes(CLASS, 3000, 3, seed=2)
    posteriors = fit_skills(votes, 3000, len(CLASS)).posteriors
    right = posteriors.argmax(axis=1) == truth
    assert posteriors.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.02)


def _mirrored(skills: Skills) -> list[np.ndarray]:
    return [
        skills.confusions[:, ::-1][:, :, MIRRORED_ANSWERS],
        skills.average[::-1][:, MIRRORED_ANSWERS],
        skills.class_prior[::-1],
        skills.copy_rates,
        skills.posteriors[:, ::-1],
    ]


@pytest.mark.parametrize("with_prior", [False, True])
def test_a_mirror_mirrors_everything(with_prior: bool) -> None:
    rng = np.random.default_rng(3)
    votes, truth = draw_votes(CLASS, 400, 3, seed=3)
    shown = rng.integers(-1, 3, 400)[votes.image]
    votes = Votes(votes.image, votes.annotator, votes.answer, shown)
    gold = np.where(rng.random(400) < 0.1, truth, -1)
    flipped_gold = np.where(gold < 0, -1, 2 - gold)
    prior = rng.dirichlet([1, 1, 1], 400) if with_prior else None
    flipped_prior = None if prior is None else prior[:, ::-1]
    straight = fit_skills(votes, 400, len(CLASS), prior=prior, gold=gold)
    flipped = fit_skills(votes.mirrored(), 400, len(CLASS), prior=flipped_prior, gold=flipped_gold)
    for expected, found in zip(
        _mirrored(straight),
        [
            flipped.confusions,
            flipped.average,
            flipped.class_prior,
            flipped.copy_rates,
            flipped.posteriors,
        ],
        strict=True,
    ):
        assert found == pytest.approx(expected, abs=1e-9)


def test_nobody_voted() -> None:
    skills = fit_skills(Votes(EMPTY, EMPTY, EMPTY), 3, 2)
    assert skills.posteriors == pytest.approx(1 / 3)
    assert skills.confusions == pytest.approx(np.array([DEFAULT_CONFUSION] * 2))


def test_lone_votes_say_nothing_about_the_voters() -> None:
    """Without overlap, EM of all parameters would drift away from where it starts."""
    votes, _ = draw_votes(CLASS, 1000, 1, seed=4)
    skills = fit_skills(votes, 1000, len(CLASS))
    assert skills.average == pytest.approx(np.array(DEFAULT_CONFUSION), abs=1e-12)
    named = votes.answer < 3
    assert (skills.posteriors.argmax(axis=1)[named] == votes.answer[named]).all()


def test_few_votes_leave_a_person_near_the_class() -> None:
    votes, _ = draw_votes(["good"] * 10, 500, 3, seed=5)
    one = Votes(
        *(
            np.append(column, x)
            for column, x in zip(
                (votes.image, votes.annotator, votes.answer), (0, 10, 2), strict=True
            )
        )
    )
    skills = fit_skills(one, 500, 11)
    assert np.abs(skills.confusions[10] - skills.average).max() < 0.15


def test_gold_is_fixed_and_judges() -> None:
    answers = np.array([0, 1, 2] * 20)
    gold = np.array([0, 1, 2] * 20)
    people = np.repeat([0, 1], 60)
    votes = Votes(np.tile(np.arange(60), 2), people, np.append(answers, 2 - answers))
    skills = fit_skills(votes, 60, 2, gold=gold)
    assert (skills.posteriors == np.eye(3)[gold]).all()
    assert skills.confusions[0].diagonal().min() > 0.9
    assert skills.confusions[1][0, 2] > 0.7  # takes left for right


def test_a_row_without_proposal_falls_back_on_the_class() -> None:
    prior = np.array([[0.98, 0.01, 0.01], [np.nan] * 3])
    skills = fit_skills(Votes(EMPTY, EMPTY, EMPTY), 2, 1, prior=prior)
    assert skills.posteriors[0] == pytest.approx(prior[0])
    assert skills.posteriors[1] == pytest.approx(skills.class_prior)


@pytest.mark.parametrize("with_prior", [False, True])
def test_the_copy_rate_is_recovered(with_prior: bool) -> None:
    rng = np.random.default_rng(6)
    votes, truth = draw_votes(["good"] * 20, 4000, 4, seed=6)
    proposal = np.where(rng.random(4000) < 0.9, truth, rng.integers(0, 3, 4000))
    shown = np.where(rng.random(16000) < 0.75, proposal[votes.image], -1)
    rate = np.where(np.arange(20) < 10, 0.1, 0.5)
    follows = (rng.random(16000) < rate[votes.annotator]) & (shown >= 0)
    answer = np.where(follows, shown, votes.answer)
    prior = 0.9 * np.eye(3)[proposal] + 0.1 / 3 if with_prior else None
    skills = fit_skills(Votes(votes.image, votes.annotator, answer, shown), 4000, 20, prior=prior)
    # Shrunk towards the class: few votes distinguish copying from agreeing.
    assert skills.copy_rates[:10].mean() == pytest.approx(0.1, abs=0.12)
    assert skills.copy_rates[10:].mean() == pytest.approx(0.5, abs=0.08)
    assert skills.copy_rates[:10].max() < skills.copy_rates[10:].min()


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        (([0], [0], [4]), {}, "answer has an index"),
        (([0], [0], [-1]), {}, "answer has an index"),
        (([0, 1], [0], [0]), {}, "differ in length"),
        (([3], [0], [0]), {}, "image 3; there are 3"),
        (([0], [2], [0]), {}, "person 2; there are 2"),
        (([0], [0], [0]), {"gold": np.array([0, 1, 3])}, "gold must be 3 numbers"),
        (([0], [0], [0]), {"prior": np.full((2, 3), 1 / 3)}, "the prior has shape"),
        (([0], [0], [0]), {"prior": np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1.0]])}, "row 1 of"),
    ],
)
def test_what_does_not_fit_is_refused(columns, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        fit_skills(Votes(*map(np.array, columns)), 3, 2, **options)
