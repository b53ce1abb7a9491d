"""All that a vote on an image depends on, in one statement.

With what a person holds, has answered and how they answer; what the others have answered, and
how they answer; the rules. Each round trip counts while the image's row is locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, select
from sqlalchemy.orm import Session, aliased

from labeler.db import is_sqlite
from labeler.models import (
    NOT_COUNTED,
    Campaign,
    Consensus,
    Decision,
    Estimate,
    Gold,
    Lease,
    Participation,
    Proposal,
    Skill,
    Vote,
)
from labeler.services.desk import Desk, desk_columns, make_desk, participates
from labeler.services.knowing import CountedVote, ImageFacts, Knowledge, make_knowledge

_COUNTED = aliased(Vote, name="counted")
_STORED = aliased(Vote, name="stored")
_OWN_SKILL = aliased(Skill, name="own_skill")
_SKILL = aliased(Skill, name="skill_of_voter")


@dataclass(frozen=True, slots=True)
class Scene:
    """An image, one person and the votes.

    `lease`: the person's, run out or not; `current`: their vote that counts; `stored`: the vote
    that the request has stored already.
    """

    desk: Desk
    status: str
    facts: ImageFacts
    known: Knowledge
    lease: Lease | None
    current: Vote | None
    stored: Vote | None


def load_scene(session: Session, annotator_id: int, image_id: int, request_id: str) -> Scene | None:
    """The scene in the active campaign, its row held until the commit; None: no such image.

    One statement on SQLite, two on PostgreSQL: what is joined to a row that had to be waited for
    is as old as the moment before the wait.
    """
    if not is_sqlite(session):
        active = select(Campaign.id).where(Campaign.active).scalar_subquery()
        session.execute(
            select(Consensus.image_id)
            .where(Consensus.campaign_id == active, Consensus.image_id == image_id)
            .with_for_update()
        )
    statement = _select(annotator_id, image_id, request_id)
    rows = session.execute(statement, execution_options={"populate_existing": True}).all()
    return _scene(annotator_id, image_id, rows) if rows else None


def _select(annotator_id: int, image_id: int, request_id: str) -> Select[Any]:
    here = Consensus.campaign_id, Consensus.image_id
    columns = desk_columns(annotator_id)
    run_id = columns[-1].element
    return (
        select(
            *columns, Consensus.status, Lease, _COUNTED, _STORED,
            Estimate.class_prior, Estimate.confusion.label("average"),
            Estimate.following.label("average_following"),
            _OWN_SKILL.confusion.label("own_confusion"),
            _OWN_SKILL.following.label("own_following"),
            _SKILL.confusion, _SKILL.following,
            Proposal.p_left, Proposal.p_center, Proposal.p_right,
            Gold.label.label("gold"), Decision.id.label("decision_id"), Decision.label,
        )
        .select_from(Consensus)
        .join(Campaign, and_(Campaign.id == Consensus.campaign_id, Campaign.active))
        .outerjoin(Participation, participates(annotator_id))
        .outerjoin(Estimate, Estimate.campaign_id == Campaign.id)
        .outerjoin(Lease, and_(_same(Lease, *here), Lease.annotator_id == annotator_id))
        .outerjoin(_COUNTED, and_(_same(_COUNTED, *here), _COUNTED.superseded_at.is_(None)))
        .outerjoin(
            _SKILL,
            and_(
                _SKILL.campaign_id == Campaign.id, _SKILL.annotator_id == _COUNTED.annotator_id
            ),
        )
        .outerjoin(
            _OWN_SKILL,
            and_(_OWN_SKILL.campaign_id == Campaign.id, _OWN_SKILL.annotator_id == annotator_id),
        )
        .outerjoin(_STORED, _STORED.request_id == request_id)
        .outerjoin(
            Proposal,
            and_(Proposal.image_id == Consensus.image_id, Proposal.model_run_id == run_id),
        )
        .outerjoin(Gold, and_(_same(Gold, *here), Gold.revoked_at.is_(None)))
        .outerjoin(Decision, and_(_same(Decision, *here), Decision.superseded_at.is_(None)))
        .where(Consensus.image_id == image_id)
        .order_by(_COUNTED.id)
    )  # fmt: skip


def _same(table: Any, campaign_id: Any, image_id: Any) -> Any:
    return and_(table.campaign_id == campaign_id, table.image_id == image_id)


def _scene(annotator_id: int, image_id: int, rows: Sequence[Row[Any]]) -> Scene:
    """From one row for each vote that counts, or one without a vote."""
    row = rows[0]
    votes = [one for one in rows if one.counted is not None]
    mine = [one.counted for one in votes if one.counted.annotator_id == annotator_id]
    return Scene(
        desk=make_desk(annotator_id, row),
        status=row.status,
        facts=_facts(image_id, row, [one.counted for one in votes]),
        known=_knowledge(annotator_id, row, votes),
        lease=row.Lease,
        current=mine[0] if mine else None,
        stored=row.stored,
    )


def _facts(image_id: int, row: Row[Any], votes: Sequence[Vote]) -> ImageFacts:
    counted = [
        CountedVote(vote.annotator_id, vote.answer, vote.shown_label)
        for vote in votes
        if vote.mode not in NOT_COUNTED
    ]
    model = None if row.p_left is None else (row.p_left, row.p_center, row.p_right)
    return ImageFacts(image_id, counted, model, row.gold, row.decision_id is not None, row.label)


def _knowledge(annotator_id: int, row: Row[Any], votes: Sequence[Row[Any]]) -> Knowledge:
    skills = [
        (one.counted.annotator_id, one.confusion, one.following)
        for one in votes
        if one.confusion is not None
    ]
    if row.own_confusion is not None:
        skills.append((annotator_id, row.own_confusion, row.own_following))
    average = None if row.class_prior is None else (row.average, row.average_following)
    return make_knowledge(row.campaign_id, row.rules, row.class_prior, average, skills)
