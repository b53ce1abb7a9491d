"""The forecast of other rules is what happens when they are set."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from labeler.config import Settings
from labeler.consensus.forecast import RulesForecast, forecast_rules
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.rules.campaign_rules import Rules
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import ids, lease, make_gold, set_rules, vote


def finished(db: Database) -> set[int]:
    with db.read() as session:
        closed = select(Consensus.image_id).where(Consensus.status != "open")
        return set(session.scalars(closed))


@pytest.mark.parametrize(
    "changes",
    [
        {"required_votes": 3},
        {"required_votes": 1},
        {"method": "posterior", "threshold": 0.99},
        {"method": "posterior", "threshold": 0.99, "use_model": False},
        {"use_model": False},
        {"method": "posterior", "threshold": 0.6, "vote_cap": 2},
    ],
)
def test_the_forecast_comes_true(
    any_db: Database,
    make_dataset: MakeDataset,
    make_annotator: MakeAnnotator,
    settings: Settings,
    changes: dict[str, object],
) -> None:
    make_dataset(any_db, 12)
    set_rules(any_db, method="majority", required_votes=2, gold_rate=0.0, gold_first=0)
    for number in range(3):
        person = make_annotator(any_db, f"person-{number}").id
        for image_id in ids(lease(any_db, person, 12 - 4 * number, settings)):
            vote(any_db, person, image_id, "left" if image_id % 3 else "right", settings)
    make_gold(any_db, {12: "left"})
    with any_db.read() as session:
        rules = Rules.from_dict({**session.scalars(select(Campaign.rules)).one(), **changes})
        forecast = forecast_rules(session, 1, rules)
    before = finished(any_db)
    with any_db.write() as session:
        session.scalars(select(Campaign)).one().rules = rules.as_dict()
        session.flush()
        rebuild(session, 1)
    after = finished(any_db)
    with any_db.read() as session:
        images = session.scalar(select(func.count()).select_from(Consensus))
    assert forecast == RulesForecast(images or 0, len(before), len(after), len(before - after))
