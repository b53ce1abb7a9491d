"""Forecast of a change of the rules: how many images open again, and how many are finished.

This is the only place that counts it. The form of a campaign and the question before a change both
show these numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, func, or_, select
from sqlalchemy.orm import Session

from labeler.consensus.derivation import (
    DECISION_METHOD,
    GOLD_METHOD,
    AnnotatorModel,
    derive,
    load_annotator_model,
    outcome_of_votes,
)
from labeler.consensus.majority import Outcome, VoteCounts
from labeler.consensus.store import load_facts
from labeler.labels import ANSWERS
from labeler.models.consensus import Consensus
from labeler.rules.campaign_rules import Rules
from rotation.data.labels import LABELS

BATCH = 2_000  # images whose votes are in memory at a time
_COUNTS = [getattr(Consensus, f"votes_{answer}") for answer in ANSWERS]
_CHANCES = [getattr(Consensus, f"p_{label}") for label in LABELS]
_COLUMNS = [Consensus.image_id, Consensus.status, Consensus.method, *_COUNTS, *_CHANCES]
_DECIDED = (GOLD_METHOD, DECISION_METHOD)


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
    has_votes = or_(*(count > 0 for count in _COUNTS))
    touched = or_(has_votes, Consensus.status != "open")
    rows = session.execute(select(*_COLUMNS).where(mine, touched)).all()
    finished = {row.image_id for row in rows if row.status != "open"}
    still_open = _open_by(session, campaign_id, rows, rules)
    return RulesForecast(
        images, len(finished), len(rows) - len(still_open), len(finished & still_open)
    )


def _open_by(
    session: Session, campaign_id: int, rows: Sequence[Row[Any]], rules: Rules
) -> set[int]:
    """The images of these rows that are open by the rules.

    The probabilities of a row stay the same, unless the rules count the model differently. Reading
    them saves nine tenths of the time.
    """
    model = load_annotator_model(session, campaign_id)
    if model.rules.use_model != rules.use_model:
        return _derived_open(session, campaign_id, rows, replace(model, rules=rules))
    return {
        row.image_id
        for row in rows
        if row.method not in _DECIDED and _outcome(campaign_id, row, rules).status == "open"
    }


def _outcome(campaign_id: int, row: Row[Any], rules: Rules) -> Outcome:
    counts = VoteCounts(row.votes_left, row.votes_center, row.votes_right, row.votes_unsure)
    chances = row.p_left, row.p_center, row.p_right
    return outcome_of_votes((campaign_id, row.image_id), counts, chances, rules)[0]


def _derived_open(
    session: Session, campaign_id: int, rows: Sequence[Row[Any]], model: AnnotatorModel
) -> set[int]:
    image_ids = [row.image_id for row in rows]
    return {
        facts.image_id
        for start in range(0, len(image_ids), BATCH)
        for facts in load_facts(session, campaign_id, image_ids[start : start + BATCH])
        if derive(facts, model)["status"] == "open"
    }
