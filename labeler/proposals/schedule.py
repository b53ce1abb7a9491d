"""When the next model run of a campaign is due, by the number of new votes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.campaigns.service import active_campaigns
from labeler.consensus.store import count_current_votes
from labeler.errors import Conflict
from labeler.models.campaigns import Campaign
from labeler.models.proposals import ModelRun
from labeler.proposals.runs import INTERRUPTED, running_run
from labeler.proposals.training_data import check_trainable

FIRST_VOTES = 15  # for the first run of a campaign
RUNS_LOOKED_AT = 50
TRIES = 2  # a run whose process has ended is tried again, but not for ever


@dataclass(frozen=True, slots=True)
class Schedule:
    """The `votes` so far, and the number at which a run is `due_at`; None: on request only."""

    votes: int
    due_at: int | None

    @property
    def is_due(self) -> bool:
        """Whether there are enough votes."""
        return self.due_at is not None and self.votes >= self.due_at


def load_schedule(session: Session, campaign: Campaign, votes: int | None = None) -> Schedule:
    """Return when the next run of a campaign is due.

    The first run is due after `FIRST_VOTES` votes. Later ones are due when the votes have grown by
    `Rules.retrain_share`, and at least by `Rules.retrain_votes`, since the last run started. It
    does not matter whether that run succeeded. Only a run that was interrupted, for example because
    the site was stopped, does not count, unless this happened `TRIES` times in a row.

    Parameters:
        votes: the votes that count, if they have been counted already.
    """
    rules = campaign.parsed_rules
    if votes is None:
        votes = count_current_votes(session, campaign.id)
    if not rules.retrain_votes:
        return Schedule(votes, None)
    before = _votes_before(session, campaign)
    if before is None:
        return Schedule(votes, FIRST_VOTES)
    grown = math.ceil(before * rules.retrain_share - 1e-9)
    return Schedule(votes, before + max(rules.retrain_votes, grown))


def find_due(session: Session) -> list[int]:
    """Return the active campaigns of which a run is due and can start, the newest first.

    Of each data set it is one at most, because a data set has one run in training at a time.
    """
    due: dict[int, int] = {}
    for campaign in active_campaigns(session):
        if campaign.dataset_id not in due and _can_start(session, campaign):
            due[campaign.dataset_id] = campaign.id
    return list(due.values())


def _can_start(session: Session, campaign: Campaign) -> bool:
    if not load_schedule(session, campaign).is_due:
        return False
    if running_run(session, campaign.dataset_id) is not None:
        return False
    try:
        check_trainable(session, campaign.id)
    except Conflict:  # for example, all votes so far name the same label
        return False
    return True


def _votes_before(session: Session, campaign: Campaign) -> int | None:
    """Return the number of votes when the last run of the campaign that counts started."""
    runs = session.execute(
        select(ModelRun.settings, ModelRun.status, ModelRun.problem)
        .where(ModelRun.dataset_id == campaign.dataset_id)
        .order_by(ModelRun.id.desc())
        .limit(RUNS_LOOKED_AT)
    )
    own = [run for run in runs if run.settings.get("campaign_id") == campaign.id]
    # A run that is still in training has lost its process, or nothing is due anyway.
    ended = takewhile(lambda run: run.status == "training" or run.problem == INTERRUPTED, own)
    n_ended = sum(1 for _ in ended)
    counted = own if n_ended >= TRIES else own[n_ended:]
    return counted[0].settings["votes"] if counted else None
