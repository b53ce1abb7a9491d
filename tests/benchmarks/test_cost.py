"""The forecast of the cost beside the long simulation, which estimates and pauses people."""

from __future__ import annotations

import pytest
from retirement_simulation import Campaign, Setting, World, stopping_rule

from labeler.consensus.cost import forecast_cost
from labeler.rules.campaign_rules import Rules
from labeler.statistics.intervals import Interval
from labeler.statistics.simulated_class import MODEL_ACCURACY

IMAGES = 150
MODEL = Interval(MODEL_ACCURACY, 0.95, 0.98)


@pytest.mark.parametrize(
    ("rules", "setting", "model"),
    [
        (Rules(audit_share=0), Setting(stopping_rule(), order="breadth"), None),
        (Rules(audit_share=0), Setting(stopping_rule(), model=True, order="breadth"), MODEL),
        (
            Rules(audit_share=0, named=False),
            Setting(stopping_rule(named=False), model=True, order="breadth"),
            MODEL,
        ),
        (Rules(audit_share=0, threshold=0.95), Setting(stopping_rule(threshold=0.95)), None),
        (Rules(audit_share=0, required_votes=2), Setting(stopping_rule(min_votes=2)), None),
    ],
    ids=["careful", "careful-model", "quick-model", "stricter", "two"],
)
def test_fresh_classes_cost_what_was_forecast(
    rules: Rules, setting: Setting, model: Interval | None
) -> None:
    forecast = forecast_cost(rules, IMAGES, model)
    votes, contested = [], []
    for seed in range(100, 104):
        campaign = Campaign(World(IMAGES, seed), setting)
        campaign.run()
        votes.append(int(campaign.n_votes.sum()))
        contested.append(int((campaign.status != "agreed").sum()))
    assert all(forecast.votes.low <= one <= forecast.votes.high for one in votes), votes
    inside = [forecast.contested.low <= one <= forecast.contested.high for one in contested]
    assert sum(inside) >= len(inside) - 1, contested  # each is inside with 95 %
