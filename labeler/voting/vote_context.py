"""All that a vote on an image depends on, in one statement.

With what a person holds, has answered and how they answer; what the others have answered, and
how they answer; the rules. Each round trip counts while the image's row is locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row, and_, bindparam, select
from sqlalchemy.orm import Session, aliased

from labeler.assignment.annotator_state import (
    AnnotatorState,
    annotator_state_columns,
    make_annotator_state,
    participates,
)
from labeler.assignment.presentation import VIEW_COLUMNS
from labeler.consensus.derivation import (
    AnnotatorModel,
    CountedVote,
    ImageFacts,
    make_annotator_model,
)
from labeler.database.statements import built_once, connection_of, is_sqlite
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

_COUNTED = aliased(Vote, name="counted")
_STORED = aliased(Vote, name="stored")
_OWN_SKILL = aliased(Skill, name="own_skill")
_SKILL = aliased(Skill, name="skill_of_voter")
_OF_LEASE = (*VIEW_COLUMNS, "expires_at")
_OF_VOTE = (*VIEW_COLUMNS, "id", "annotator_id", "answer")
_OF_STORED = (
    "id", "campaign_id", "annotator_id", "image_id", "answer", "mirrored", "created_at"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class VoteContext:
    """An image, one person and the votes.

    `lease`: the person's, run out or not; `current`: their vote that counts; `stored`: the vote
    that the request has stored already. All three have the columns of their table.
    """

    annotator: AnnotatorState
    status: str
    facts: ImageFacts
    known: AnnotatorModel
    lease: Any
    current: Any
    stored: Any


def load_vote_context(
    session: Session, annotator_id: int, image_id: int, request_id: str
) -> VoteContext | None:
    """The context in the active campaign, its row held until the commit; None: no such image.

    One statement on SQLite, two on PostgreSQL: what is joined to a row that had to be waited for
    is as old as the moment before the wait.
    """
    asked = {"image": image_id, "annotator": annotator_id, "request": request_id}
    if not is_sqlite(session):
        connection_of(session).execute(_lock_statement(), asked)
    rows = connection_of(session).execute(_statement(), asked).all()
    return _scene(annotator_id, image_id, rows) if rows else None


@built_once
def _lock_statement() -> Any:
    active = select(Campaign.id).where(Campaign.active).scalar_subquery()
    return (
        select(Consensus.image_id)
        .where(Consensus.campaign_id == active, Consensus.image_id == bindparam("image"))
        .with_for_update()
    )


@built_once
def _statement() -> Any:
    """Built once: putting it together takes longer than running it."""
    here = Consensus.campaign_id, Consensus.image_id
    person: Any = bindparam("annotator")
    columns = annotator_state_columns(person)
    run_id = columns[-1].element
    return (
        select(
            *columns, Consensus.status,
            *_prefixed(Lease, "lease", _OF_LEASE),
            *_prefixed(_COUNTED, "counted", _OF_VOTE),
            *_prefixed(_STORED, "stored", _OF_STORED),
            Estimate.class_prior, Estimate.confusion.label("average"),
            Estimate.following.label("average_following"),
            _OWN_SKILL.confusion.label("own_confusion"),
            _OWN_SKILL.following.label("own_following"),
            _SKILL.confusion, _SKILL.following,
            Proposal.p_left, Proposal.p_center, Proposal.p_right, Proposal.ask,
            Gold.label.label("gold"), Decision.id.label("decision_id"), Decision.label,
        )
        .select_from(Consensus)
        .join(Campaign, and_(Campaign.id == Consensus.campaign_id, Campaign.active))
        .outerjoin(Participation, participates(person))
        .outerjoin(Estimate, Estimate.campaign_id == Campaign.id)
        .outerjoin(Lease, and_(_same(Lease, *here), Lease.annotator_id == person))
        .outerjoin(_COUNTED, and_(_same(_COUNTED, *here), _COUNTED.superseded_at.is_(None)))
        .outerjoin(
            _SKILL,
            and_(
                _SKILL.campaign_id == Campaign.id, _SKILL.annotator_id == _COUNTED.annotator_id
            ),
        )
        .outerjoin(
            _OWN_SKILL,
            and_(_OWN_SKILL.campaign_id == Campaign.id, _OWN_SKILL.annotator_id == person),
        )
        .outerjoin(_STORED, _STORED.request_id == bindparam("request"))
        .outerjoin(
            Proposal,
            and_(Proposal.image_id == Consensus.image_id, Proposal.model_run_id == run_id),
        )
        .outerjoin(Gold, and_(_same(Gold, *here), Gold.revoked_at.is_(None)))
        .outerjoin(Decision, and_(_same(Decision, *here), Decision.superseded_at.is_(None)))
        .where(Consensus.image_id == bindparam("image"))
        .order_by(_COUNTED.id)
    )  # fmt: skip


def _same(table: Any, campaign_id: Any, image_id: Any) -> Any:
    return and_(table.campaign_id == campaign_id, table.image_id == image_id)


def _prefixed(table: Any, prefix: str, names: Sequence[str]) -> list[Any]:
    return [getattr(table, name).label(f"{prefix}_{name}") for name in names]


def _part(row: Row[Any], prefix: str, names: Sequence[str], key: str) -> Any:
    """The columns of one table in the row; None where nothing was joined."""
    values = row._mapping
    if values[f"{prefix}_{key}"] is None:
        return None
    return SimpleNamespace(**{name: values[f"{prefix}_{name}"] for name in names})


def _scene(annotator_id: int, image_id: int, rows: Sequence[Row[Any]]) -> VoteContext:
    """From one row for each vote that counts, or one without a vote."""
    row = rows[0]
    annotator = make_annotator_state(annotator_id, row)
    votes = [_part(one, "counted", _OF_VOTE, "id") for one in rows if one.counted_id is not None]
    mine = [vote for vote in votes if vote.annotator_id == annotator_id]
    return VoteContext(
        annotator=annotator,
        status=row.status,
        facts=_facts(image_id, row, votes),
        known=_knowledge(annotator, rows),
        lease=_part(row, "lease", _OF_LEASE, "expires_at"),
        current=mine[0] if mine else None,
        stored=_part(row, "stored", _OF_STORED, "id"),
    )


def _facts(image_id: int, row: Row[Any], votes: Sequence[Any]) -> ImageFacts:
    counted = [
        CountedVote(vote.annotator_id, vote.answer, vote.shown_label)
        for vote in votes
        if vote.mode not in NOT_COUNTED
    ]
    model = None if row.p_left is None else (row.p_left, row.p_center, row.p_right)
    decided = row.decision_id is not None, row.label
    return ImageFacts(image_id, counted, model, row.gold, *decided, row.ask)


def _knowledge(annotator: AnnotatorState, rows: Sequence[Row[Any]]) -> AnnotatorModel:
    row = rows[0]
    skills = [
        (one.counted_annotator_id, one.confusion, one.following)
        for one in rows
        if one.confusion is not None
    ]
    if row.own_confusion is not None:
        skills.append((annotator.annotator_id, row.own_confusion, row.own_following))
    average = None if row.class_prior is None else (row.average, row.average_following)
    return make_annotator_model(
        annotator.campaign_id, annotator.rules, row.class_prior, average, skills
    )
