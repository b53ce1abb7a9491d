"""A person at work: in which campaign, by what rules, how far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, select
from sqlalchemy.orm import Session

from labeler.domain.rules import Rules
from labeler.models import Campaign, Participation, Vote
from labeler.services.consensus import current_run_of


@dataclass(frozen=True, slots=True)
class Desk:
    """A person at work in the active campaign.

    `standing`: `training`, `working` or `paused`; `turns`: answers given so far; `run_id`: the
    model run whose proposals are shown.
    """

    annotator_id: int
    campaign_id: int
    rules: Rules
    open: bool
    standing: str
    turns: int
    run_id: int | None

    @property
    def works(self) -> bool:
        """Whether images are handed out to this person."""
        return self.open and self.standing == "working"


def load_desk(session: Session, annotator_id: int) -> Desk | None:
    """Where the person works; None if no campaign is active. One statement."""
    row = session.execute(
        select(*desk_columns(annotator_id))
        .outerjoin(Participation, participates(annotator_id))
        .where(Campaign.active)
    ).one_or_none()
    return make_desk(annotator_id, row) if row else None


def desk_columns(annotator_id: int) -> list[Any]:
    """What `make_desk` needs, from `Campaign` and, joined to it, `Participation`."""
    cast = (
        select(func.count())
        .where(Vote.annotator_id == annotator_id, Vote.campaign_id == Campaign.id)
        .scalar_subquery()
    )
    run_id = current_run_of(Campaign.id)
    return [
        Campaign.id.label("campaign_id"),
        Campaign.paused_at,
        Campaign.rules,
        Participation.standing,
        cast.label("turns"),
        run_id.label("run_id"),
    ]


def participates(annotator_id: int) -> ColumnElement[bool]:
    """How `Participation` is joined to `Campaign`."""
    return and_(
        Participation.campaign_id == Campaign.id, Participation.annotator_id == annotator_id
    )


def make_desk(annotator_id: int, row: Row[Any]) -> Desk:
    """From a row of `desk_columns`."""
    rules = Rules.from_dict(row.rules)
    standing = row.standing or ("training" if rules.training else "working")
    is_open = row.paused_at is None
    return Desk(annotator_id, row.campaign_id, rules, is_open, standing, row.turns, row.run_id)
