"""The forecast of the cost: the real stopping rules, sensible ranges, and a class that votes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from labeler.config import Settings
from labeler.consensus.cost import SECONDS_PER_VOTE, Cost, Span, agreed, forecast_cost
from labeler.consensus.majority import VoteCounts, majority_outcome
from labeler.consensus.stopping_rule import StoppingRule, apply_stopping_rule
from labeler.database.engine import Database
from labeler.labels import ANSWERS
from labeler.progress.campaign_progress import campaign_progress
from labeler.quality.refresh import judge_people
from labeler.rules.campaign_rules import Rules
from labeler.rules.presets import PRESETS
from labeler.statistics.intervals import Interval
from labeler.statistics.simulated_class import (
    KINDS,
    LABEL_SHARES,
    MODEL_ACCURACY,
    draw_answers,
    draw_confusion,
    draw_proposals,
)
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import ids, lease, set_rules, vote

CAREFUL = Rules()
MAJORITY = Rules(method="majority", required_votes=5)


@pytest.mark.parametrize(
    "rules",
    [CAREFUL, Rules(named=False), Rules(required_votes=2, threshold=0.6), MAJORITY],
    ids=["careful", "quick", "two", "majority"],
)
def test_images_are_finished_as_the_site_finishes_them(rules: Rules) -> None:
    rng = np.random.default_rng(1)
    counts = np.array(list(itertools.product(range(4), repeat=4)))
    chances = rng.dirichlet([0.3] * 3, len(counts))
    found = agreed(rules, np.log(chances) - 7, counts)
    rule = StoppingRule(rules.threshold, rules.required_votes, rules.vote_cap, rules.named)
    for is_agreed, row, votes in zip(found, chances, counts, strict=True):
        numbers = VoteCounts(*votes.tolist())
        outcome = (
            majority_outcome(numbers, rules.required_votes)
            if rules.method == "majority"
            else apply_stopping_rule(row.tolist(), numbers, rule)
        )
        assert is_agreed == (outcome.status == "agreed"), (row, votes)
    assert 0 < found.sum() < len(found)


def test_a_majority_costs_what_it_says() -> None:
    cost = forecast_cost(MAJORITY, 200)
    assert cost.votes == Span(1000, 1000)
    assert cost.hours == (1000 * SECONDS_PER_VOTE / 3600,) * 2
    assert 0 <= cost.contested.low < cost.contested.high < 40
    most = Rules(method="majority", required_votes=99, vote_cap=99)
    assert forecast_cost(most, 2).votes == Span(198, 198)


def test_no_images_cost_nothing() -> None:
    assert forecast_cost(CAREFUL, 0) == Cost(Span(0, 0), (0.0, 0.0), Span(0, 0))


def test_the_cost_follows_the_rules_and_the_model() -> None:
    quick, careful, research = (forecast_cost(one.applied(Rules()), 1000) for one in PRESETS)
    assert quick.votes.low < careful.votes.low < research.votes.low
    stricter = forecast_cost(Rules(threshold=0.99), 1000)
    assert stricter.votes.high > careful.votes.high
    assert stricter.contested.high > careful.contested.high
    assert forecast_cost(Rules(required_votes=2), 1000).votes.low >= 2000
    assert forecast_cost(Rules(audit_share=1), 1000).votes == Span(7000, 7000)
    good = forecast_cost(CAREFUL, 1000, Interval(0.97, 0.96, 0.98))
    poor = forecast_cost(CAREFUL, 1000, Interval(0.7, 0.65, 0.75))
    assert good.votes.high < poor.votes.high < careful.votes.high
    unused = Rules(use_model=False)
    assert forecast_cost(unused, 1000, Interval(0.97, 0.96, 0.98)) == forecast_cost(unused, 1000)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (0.1, 0.2), (1.0, 1.0)])
def test_any_measured_accuracy_is_taken(limits: tuple[float, float]) -> None:
    cost = forecast_cost(CAREFUL, 100, Interval(sum(limits) / 2, *limits))
    assert 100 <= cost.votes.low <= cost.votes.high <= 700


@pytest.mark.parametrize("accuracy", [1 / 3, 0.5, 0.7, 0.85, MODEL_ACCURACY, 0.995])
def test_the_simulated_model_is_as_accurate_as_it_says(accuracy: float) -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    truth = rng.choice(3, n, p=LABEL_SHARES)
    proposals = draw_proposals(truth, accuracy, rng)
    assert np.allclose(proposals.sum(axis=1), 1)
    assert proposals.min() >= 0
    four_errors = 4 * math.sqrt(accuracy * (1 - accuracy) / n)
    assert abs((proposals.argmax(axis=1) == truth).mean() - accuracy) < four_errors
    assert abs(proposals.max(axis=1).mean() - accuracy) < four_errors, "calibrated"


@pytest.mark.slow
def test_a_class_that_votes_on_the_site_costs_what_was_forecast(
    db: Database, settings: Settings, make_dataset: MakeDataset, make_annotator: MakeAnnotator
) -> None:
    """The simulated people lease images and vote, and the site judges them meanwhile."""
    images, rules = 60, Rules(gold_rate=0.0, gold_first=0)
    make_dataset(db, images)
    set_rules(db, **rules.as_dict())
    rng = np.random.default_rng(3)
    kinds = [kind for kind, n in KINDS.items() for _ in range(n)]
    people = {make_annotator(db).id: draw_confusion(kind, rng) for kind in kinds}
    truth = rng.choice(3, images + 1, p=LABEL_SHARES)
    cast = 0
    for person in itertools.cycle(rng.permutation(list(people)).tolist()):
        for image in ids(lease(db, person, 2, settings)):
            answer = ANSWERS[int(draw_answers(people[person][truth[image]], rng))]
            vote(db, person, image, answer, settings)
            cast += 1
        with db.read() as session:
            done = campaign_progress(session, 1)
        if not done.open:
            break
        if cast % 60 == 0:
            judge_people(db, 1)
    forecast = forecast_cost(rules, images)
    assert forecast.votes.low <= done.votes <= forecast.votes.high
    assert forecast.contested.low <= done.contested <= forecast.contested.high
    assert forecast.votes.high < 4 * images, "not so wide that it says nothing"
