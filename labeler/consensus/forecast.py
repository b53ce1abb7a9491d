"""Forecast of a change of the rules: how many images open again, and how many are finished.

This is the only place that counts it. The form of a campaign and the question before a change both
show these numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from labeler.consensus.derivation import derive, load_annotator_model
from labeler.consensus.store import load_facts
from labeler.labels import ANSWERS
from labeler.models.consensus import Consensus
from labeler.rules.campaign_rules import Rules

BATCH = 2_000  # images whose votes are in memory at a time


@dataclass(frozen=True, slots=True)
class RulesForecast:
    """What other rules make of the votes so far.

    `images`: all of the campaign. `finished_now`, `finished_then`: images that need no more votes
    by the present rules and by the others. `opened`: finished images that would need more votes.
    """

    images: int
    finished_now: int
    finished_then: int
    opened: int


def forecast_rules(session: Session, campaign_id: int, rules: Rules) -> RulesForecast:
    """Count what `edit_campaign` with these rules would do to the images of a campaign.

    The skills of people are taken as they are. The next refresh may move a few images more.
    """
    mine = Consensus.campaign_id == campaign_id
    images = session.scalar(select(func.count()).select_from(Consensus).where(mine)) or 0
    # An open image without votes stays open by all rules.
    has_votes = or_(*(getattr(Consensus, f"votes_{answer}") > 0 for answer in ANSWERS))
    touched = or_(has_votes, Consensus.status != "open")
    rows = session.execute(select(Consensus.image_id, Consensus.status).where(mine, touched)).all()
    now_open = {image_id: status == "open" for image_id, status in rows}
    then_open = _open_by(session, campaign_id, list(now_open), rules)
    return RulesForecast(
        images,
        sum(not is_open for is_open in now_open.values()),
        len(now_open) - len(then_open),
        sum(not now_open[image_id] for image_id in then_open),
    )


def _open_by(session: Session, campaign_id: int, image_ids: list[int], rules: Rules) -> set[int]:
    """Those of the images that are open by these rules."""
    model = replace(load_annotator_model(session, campaign_id), rules=rules)
    return {
        facts.image_id
        for start in range(0, len(image_ids), BATCH)
        for facts in load_facts(session, campaign_id, image_ids[start : start + BATCH])
        if derive(facts, model)["status"] == "open"
    }
