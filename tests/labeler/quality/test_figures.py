"""The figures of people and campaigns: they recover known sizes, and all of them are JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import krippendorff
import numpy as np
import pytest

from labeler.consensus.vote_table import VoteTable
from labeler.quality.figures import campaign_figures, person_figures, record_of
from labeler.statistics.dawid_skene import fit_skills
from labeler.statistics.vote_arrays import Votes

COPY_RATE, SIDE_BIAS = 0.3, 0.2
PEOPLE, IMAGES, EACH = 12, 1_500, 4


def simulate(
    seed: int = 1,
    *,
    copy_rate: float = COPY_RATE,
    side_bias: float = 0.0,
    grid_share: float = 0.0,
    mirrored_share: float = 0.5,
) -> VoteTable:
    """Four votes an image by people who are right with 80 %; a quarter is blind.

    Parameters:
        copy_rate: share of answers beside a proposal that repeat it.
        side_bias: share of answers that are the left of the screen, whatever is there.
        grid_share: share of votes from the grid, all of which repeat the proposal.
    """
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, IMAGES)
    proposal = np.where(rng.random(IMAGES) < 0.85, truth, (truth + 1) % 3)
    gold = np.where(rng.random(IMAGES) < 0.2, truth, -1)
    image = np.repeat(np.arange(IMAGES), EACH)
    person = np.tile(np.arange(EACH), IMAGES) + np.repeat(rng.integers(0, PEOPLE, IMAGES), EACH)
    n = len(image)
    blind = rng.random(n) < 0.25
    inserted = ~blind & (gold[image] >= 0) & (rng.random(n) < 0.3)
    shown = np.where(inserted, (truth[image] + rng.integers(1, 3, n)) % 3, proposal[image])
    mirrored = rng.random(n) < mirrored_share
    right = rng.random(n) < 0.8
    answer = np.where(right, truth[image], (truth[image] + rng.integers(1, 3, n)) % 3)
    answer = np.where(rng.random(n) < side_bias, np.where(mirrored, 2, 0), answer)
    answer = np.where(rng.random(n) < 0.03, 3, answer)
    answer = np.where(~blind & (rng.random(n) < copy_rate), shown, answer)
    grid = rng.random(n) < grid_share
    answer = np.where(grid, proposal[image], answer)
    return VoteTable(
        campaign_id=1,
        people=np.arange(100, 100 + PEOPLE),
        images=np.arange(IMAGES),
        votes=Votes(image, person % PEOPLE, answer, np.where(blind & ~grid, -1, shown)),
        withheld=np.where(blind, proposal[image], -1),
        inserted=inserted & ~grid,
        mirrored=mirrored,
        grid=grid,
        elapsed_ms=np.where(rng.random(n) < 0.1, np.nan, 1500.0),
        cast_at=1e9 + np.arange(n, dtype=float),
        gold=gold,
        gold_since=np.where(gold >= 0, 1.0, np.inf),
        decided=np.full(IMAGES, -1),
        model=np.eye(3)[proposal] * 0.85 + 0.05,
        prior=None,
    )


def figures_of(vote_table: VoteTable) -> dict[str, Any]:
    skills = fit_skills(
        vote_table.votes, len(vote_table.images), len(vote_table.people), gold=vote_table.gold
    )
    return campaign_figures(vote_table, skills)


def holds(interval: list[float], value: float) -> bool:
    return interval[1] <= value <= interval[2]


def test_alpha_is_that_of_the_krippendorff_package() -> None:
    vote_table = simulate()
    table = np.full((PEOPLE, IMAGES), np.nan)
    named = vote_table.votes.answer < 3
    table[vote_table.votes.annotator[named], vote_table.votes.image[named]] = (
        vote_table.votes.answer[named]
    )
    found = figures_of(vote_table)
    alpha, low, high = found["alpha"]
    assert alpha == pytest.approx(krippendorff.alpha(table, level_of_measurement="nominal"))
    assert low < alpha < high < low + 0.1
    assert found["alpha_images"] == int(((~np.isnan(table)).sum(axis=0) > 1).sum())


def test_the_copy_rate_comes_out_both_ways_and_the_grid_does_not_count() -> None:
    for grid_share in (0.0, 0.3):
        found = figures_of(simulate(grid_share=grid_share))
        assert holds(found["anchoring"]["following"], COPY_RATE), grid_share
        assert holds(found["planted"]["following"], COPY_RATE), grid_share
        assert found["anchoring"]["difference"][1] > 0
    nobody = figures_of(simulate(copy_rate=0.0))
    assert holds(nobody["anchoring"]["following"], 0.0)
    assert holds(nobody["anchoring"]["difference"], 0.0)


def test_a_side_bias_shows_if_images_are_mirrored() -> None:
    side_bias = figures_of(simulate(copy_rate=0.0, side_bias=SIDE_BIAS))["side"]
    assert side_bias["bias"][1] > 0.1
    assert holds(figures_of(simulate(copy_rate=0.0))["side"]["bias"], 0.0)
    plain = figures_of(simulate(mirrored_share=0.0))["side"]
    assert plain["bias"] is None
    assert plain["mirrored_n"] == 0
    assert plain["plain_n"] > 0


def test_the_proposal_is_compared_with_the_labels_that_are_clear() -> None:
    found = figures_of(simulate())["proposal"]
    counts = np.array(found["counts"])
    assert counts.shape == (3, 3)
    assert counts.sum() == found["n"] > IMAGES / 2
    assert found["right"][0] == pytest.approx(np.trace(counts) / counts.sum())
    assert abs(found["right"][0] - 0.85) < 0.06  # the labels that are clear err a little too


def test_kappa_is_between_the_people_with_the_most_votes() -> None:
    kappa = figures_of(simulate(copy_rate=0.0))["kappa"]
    matrix = np.array(kappa["matrix"], dtype=float)
    assert matrix.shape == (PEOPLE, PEOPLE)
    assert kappa["people"] == list(range(100, 100 + PEOPLE))
    assert np.isnan(np.diag(matrix)).all()
    assert matrix[0, 1] == matrix[1, 0]
    assert kappa["pairs"] == int((~np.isnan(matrix)).sum() / 2) > 0
    assert 0.3 < kappa["median"] < 0.7


def test_a_persons_figures_are_their_own() -> None:
    vote_table = simulate()
    skills = fit_skills(vote_table.votes, IMAGES, PEOPLE, gold=vote_table.gold)
    found = person_figures(vote_table, skills, 3, record_of(vote_table, skills, 3))
    mine = vote_table.votes.annotator == 3
    assert found["votes"] == mine.sum()
    assert sum(found["answers"].values()) == mine.sum()
    assert found["answers"]["unsure"] == (vote_table.votes.answer[mine] == 3).sum()
    asked = mine & (vote_table.gold[vote_table.votes.image] >= 0) & ~vote_table.inserted
    right = vote_table.votes.answer[asked] == vote_table.gold[vote_table.votes.image[asked]]
    assert (found["gold_asked"], found["gold_right"]) == (asked.sum(), right.sum())
    assert found["gold"][0] == pytest.approx(right.mean())
    confusion = np.array(found["confusion"])
    assert found["agreement_n"] == confusion[:, :3].sum()
    assert found["agreement"][0] == pytest.approx(np.trace(confusion) / confusion[:, :3].sum())
    assert found["planted_n"] == (mine & vote_table.inserted).sum()
    assert found["median_ms"] == 1500


def test_everything_can_be_stored_whatever_is_missing() -> None:
    """JSON knows no NaN, and PostgreSQL refuses it."""
    whole = simulate(mirrored_share=0.0)
    few = VoteTable(
        1,
        whole.people[:1],
        whole.images[:1],
        Votes(np.array([0]), np.array([0]), np.array([3]), np.array([-1])),
        np.array([-1]),
        *[np.array([False])] * 3,
        np.array([np.nan]),
        np.array([1.0]),
        np.array([-1]),
        np.array([np.inf]),
        np.array([-1]),
        np.full((1, 3), np.nan),
        None,
    )
    nothing = VoteTable(
        1,
        *[np.empty(0, int)] * 2,
        Votes(*[np.empty(0, int)] * 4),
        np.empty(0, int),
        *[np.empty(0, bool)] * 3,
        *[np.empty(0)] * 2,
        np.empty(0, int),
        np.empty(0),
        np.empty(0, int),
        np.empty((0, 3)),
        None,
    )
    for vote_table in (whole, few, nothing):
        skills = fit_skills(
            vote_table.votes, len(vote_table.images), len(vote_table.people), gold=vote_table.gold
        )
        found = [campaign_figures(vote_table, skills)]
        found += [
            person_figures(vote_table, skills, person, record_of(vote_table, skills, person))
            for person in range(len(vote_table.people))
        ]
        json.dumps(found, allow_nan=False)
        assert found[0]["votes"] == len(vote_table)
    assert found[0]["alpha"] is None
    assert found[0]["kappa"]["pairs"] == 0


def test_answers_from_before_an_image_was_gold_are_no_test_of_the_person() -> None:
    vote_table = simulate(mirrored_share=0.0)
    skills = fit_skills(vote_table.votes, len(vote_table.images), len(vote_table.people))
    asked = [record_of(vote_table, skills, person).gold_asked for person in range(PEOPLE)]
    late = dataclasses.replace(vote_table, gold_since=np.full(IMAGES, vote_table.cast_at[-1]))
    assert min(asked) > 0
    assert all(record_of(late, skills, person).gold_asked == 0 for person in range(PEOPLE))


def test_a_decision_is_known_before_gold() -> None:
    vote_table = simulate(mirrored_share=0.0)
    decided = np.full(IMAGES, -1)
    decided[:2] = (vote_table.gold[:2] + 1) % 3
    known = dataclasses.replace(vote_table, decided=decided).certain_labels
    assert known[:2].tolist() == decided[:2].tolist()
    assert known[2:].tolist() == vote_table.gold[2:].tolist()
