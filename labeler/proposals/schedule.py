"""When the next model run of a campaign is due, by the votes that have come since the last."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.consensus.store import count_current_votes
from labeler.errors import Conflict
from labeler.models import Campaign, ModelRun
from labeler.proposals.runs import running_run
from labeler.proposals.training_data import check_trainable

FIRST_VOTES = 15  # for the first run of a campaign
RUNS_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class Schedule:
    """`due_at`: the number of votes at which the next run begins by itself; None: never."""

    votes: int
    due_at: int | None

    @property
    def is_due(self) -> bool:
        """Whether there are enough votes."""
        return self.due_at is not None and self.votes >= self.due_at


def load_schedule(session: Session, campaign: Campaign) -> Schedule:
    """When a run of the campaign is due.

    The first after `FIRST_VOTES`; each other when the votes have grown by `Rules.retrain_share`
    and by at least `Rules.retrain_votes` since the last one began, whatever became of it.
    """
    rules = campaign.parsed_rules
    votes = count_current_votes(session, campaign.id)
    if not rules.retrain_votes:
        return Schedule(votes, None)
    before = _votes_before(session, campaign)
    if before is None:
        return Schedule(votes, FIRST_VOTES)
    grown = math.ceil(before * rules.retrain_share - 1e-9)
    return Schedule(votes, before + max(rules.retrain_votes, grown))


def find_due(session: Session) -> int | None:
    """The campaign that is handed out, if a run of it is due and can begin."""
    campaign = session.scalars(select(Campaign).where(Campaign.active)).first()
    if campaign is None or not load_schedule(session, campaign).is_due:
        return None
    if running_run(session, campaign.dataset_id) is not None:
        return None
    try:
        check_trainable(session, campaign.id)
    except Conflict:  # all votes name one label, say: the next ones may bring another
        return None
    return campaign.id


def _votes_before(session: Session, campaign: Campaign) -> int | None:
    """The votes that there were when the last run of the campaign began."""
    settings = session.scalars(
        select(ModelRun.settings)
        .where(ModelRun.dataset_id == campaign.dataset_id)
        .order_by(ModelRun.id.desc())
        .limit(RUNS_LOOKED_AT)
    )
    return next((s["votes"] for s in settings if s.get("campaign_id") == campaign.id), None)
