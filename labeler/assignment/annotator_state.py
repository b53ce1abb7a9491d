"""The state of a person in a campaign: its rules, their status, their progress."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, exists, func, select
from sqlalchemy.orm import Session, aliased

from labeler.campaigns.audience import current_campaign_of
from labeler.campaigns.participation import first_status
from labeler.campaigns.period import is_open
from labeler.consensus.store import current_run_of
from labeler.database.engine import built_once, connection_of
from labeler.models.base import UtcDateTime, utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Gold
from labeler.models.voting import Lease, Vote
from labeler.rules.campaign_rules import Rules


@dataclass(frozen=True, slots=True)
class AnnotatorState:
    """The state of a person in a campaign, which is their current one unless another was named.

    `open`: the campaign assigns images now (`campaigns.period.is_open`). `status`: `training`,
    `working` or `paused`. `turns`: the number of images assigned so far, answered or held.
    `run_id`: the model run whose proposals are shown. `has_gold`: the campaign has gold questions.
    """

    annotator_id: int
    campaign_id: int
    rules: Rules
    open: bool
    status: str
    turns: int
    run_id: int | None
    has_gold: bool

    @property
    def works(self) -> bool:
        """Whether images are assigned to this person."""
        return self.open and self.status == "working"


def load_annotator_state(
    session: Session,
    annotator_id: int,
    campaign_id: int | None = None,
    *,
    now: datetime | None = None,
) -> AnnotatorState | None:
    """The state of a person; None if there is no such campaign. One statement.

    Parameters:
        campaign_id: default: that in which the person labels (`audience.current_campaign_of`).
    """
    now = now or utc_now()
    asked = {"annotator": annotator_id, "campaign": campaign_id, "now": now}
    statement = _statement(campaign_id is not None)
    row = connection_of(session).execute(statement, asked).one_or_none()
    return make_annotator_state(annotator_id, row, now) if row else None


@built_once
def _statement(is_named: bool) -> Any:
    person: Any = bindparam("annotator")
    current = current_campaign_of(person, bindparam("now", type_=UtcDateTime))
    return (
        select(*annotator_state_columns(person))
        .outerjoin(Participation, participates(person))
        .where(Campaign.id == (bindparam("campaign") if is_named else current))
    )


def annotator_state_columns(annotator_id: Any) -> list[Any]:
    """The columns for `make_annotator_state`. `Participation` must be joined to `Campaign`.

    The id of the current run is the last one.
    """
    cast = (
        select(func.count())
        .where(Vote.annotator_id == annotator_id, Vote.campaign_id == Campaign.id)
        .correlate(Campaign)
        .scalar_subquery()
    )
    held = (
        select(func.count())
        .where(Lease.annotator_id == annotator_id, Lease.campaign_id == Campaign.id)
        .correlate(Campaign)
        .scalar_subquery()
    )
    any_gold = aliased(Gold)
    has_gold = exists().where(any_gold.campaign_id == Campaign.id, any_gold.revoked_at.is_(None))
    return [
        Campaign.id.label("campaign_id"),
        Campaign.active,
        Campaign.paused_at,
        Campaign.starts_at,
        Campaign.ends_at,
        Campaign.rules,
        Participation.status.label("participation_status"),
        (cast + held).label("turns"),
        has_gold.label("has_gold"),
        current_run_of(Campaign.id).label("run_id"),
    ]


def participates(annotator_id: Any) -> ColumnElement[bool]:
    """The condition that joins the person's `Participation` to `Campaign`."""
    return and_(
        Participation.campaign_id == Campaign.id, Participation.annotator_id == annotator_id
    )


def make_annotator_state(annotator_id: int, row: Row[Any], now: datetime) -> AnnotatorState:
    """The state from a row of `annotator_state_columns`."""
    rules = Rules.from_dict(row.rules)
    status = row.participation_status or first_status(rules, row.has_gold)
    return AnnotatorState(
        annotator_id,
        row.campaign_id,
        rules,
        is_open(row, now),
        status,
        row.turns,
        row.run_id,
        row.has_gold,
    )
