"""The vote context: all that a vote on an image depends on, loaded in one statement.

It has the rules, the state of the person, their lease, everybody's votes on the image, and how
these people answer. One statement, because the image's row is locked meanwhile and every round
trip to the database prolongs that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row, and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from labeler.assignment.annotator_state import (
    AnnotatorState,
    annotator_state_columns,
    make_annotator_state,
    participates,
)
from labeler.assignment.presentation import PRESENTATION_COLUMNS
from labeler.campaigns.audience import current_campaign_of
from labeler.campaigns.period import is_changeable
from labeler.consensus.derivation import (
    AnnotatorModel,
    CountedVote,
    ImageFacts,
    make_annotator_model,
)
from labeler.database.engine import built_once, connection_of, is_sqlite
from labeler.models.base import UtcDateTime
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Consensus, Decision, Estimate, Gold, Skill
from labeler.models.proposals import Proposal
from labeler.models.voting import NOT_COUNTED, Lease, Vote

_COUNTED = aliased(Vote, name="counted")
_STORED = aliased(Vote, name="stored")
_OWN_SKILL = aliased(Skill, name="own_skill")
_SKILL = aliased(Skill, name="skill_of_voter")
_OF_LEASE = (*PRESENTATION_COLUMNS, "expires_at")
_OF_VOTE = (*PRESENTATION_COLUMNS, "id", "annotator_id", "answer")
_OF_STORED = (
    "id",
    "campaign_id",
    "annotator_id",
    "image_id",
    "answer",
    "mirrored",
    "created_at",
)


@dataclass(frozen=True, slots=True)
class VoteContext:
    """An image, the votes on it, and the person who answers now.

    `only_one`: the campaign is the only active one and open to everybody, so the person labels
    there now. `changeable`: earlier answers in it can be changed, because it is active and has not
    ended. `status`: that of the consensus.
    `lease`: the person's lease, expired or not. `own`: the person's current vote. `stored`: the
    vote that an earlier request with the same id has stored. Each of the three has columns of its
    table, or is None.
    """

    annotator: AnnotatorState
    only_one: bool
    changeable: bool
    status: str
    facts: ImageFacts
    annotator_model: AnnotatorModel
    lease: Any
    own: Any
    stored: Any


def load_vote_context(
    session: Session,
    annotator_id: int,
    image_id: int,
    request_id: str,
    campaign_id: int | None = None,
    *,
    now: datetime,
) -> VoteContext | None:
    """The context of a vote in its campaign; None if the campaign has no such image.

    Parameters:
        campaign_id: the campaign under which the image was assigned. If it is not told, it is
            found out (`_campaign`): the person may label in another campaign by now.

    The image's consensus row stays locked until the commit. SQLite takes one statement.
    PostgreSQL takes two: a statement that waits for a row sees all that is joined to it as it
    was before the wait. So the first statement locks and the second one reads.
    """
    asked = {
        "image": image_id,
        "annotator": annotator_id,
        "request": request_id,
        "campaign": campaign_id,
        "now": now,
    }
    if not is_sqlite(session):
        # What is read must be what is locked, so the campaign is not found out a second time.
        lock = _lock_statement(campaign_id is not None)
        asked["campaign"] = connection_of(session).scalar(lock, asked)
        if asked["campaign"] is None:
            return None
    statement = _statement(asked["campaign"] is not None)
    rows = connection_of(session).execute(statement, asked).all()
    return _make_vote_context(annotator_id, image_id, rows, now) if rows else None


@built_once
def _lock_statement(is_named: bool) -> Any:
    return (
        select(Consensus.campaign_id)
        .where(
            Consensus.campaign_id == _campaign(is_named), Consensus.image_id == bindparam("image")
        )
        .with_for_update()
    )


def _campaign(is_named: bool) -> Any:
    """The campaign that a vote belongs to, as a scalar expression.

    It is the named one, or else the one in which an earlier request has stored the vote. Otherwise
    it is the person's current one if they hold or have answered the image there. If not, it is the
    one under which they were assigned the image last, and the current one if there is none.
    """
    if is_named:  # as pages do
        return bindparam("campaign")
    stored, own, here = aliased(Vote), aliased(Vote), aliased(Campaign)
    held, last = aliased(Lease), aliased(Lease)
    answered = (
        own.campaign_id == here.id,
        own.annotator_id == bindparam("annotator"),
        own.image_id == bindparam("image"),
        own.superseded_at.is_(None),
    )
    holds = (
        held.campaign_id == here.id,
        held.annotator_id == bindparam("annotator"),
        held.image_id == bindparam("image"),
    )
    takes_part = or_(exists().where(*holds), exists().where(*answered))
    return func.coalesce(
        select(stored.campaign_id)
        .where(stored.request_id == bindparam("request"))
        .scalar_subquery(),
        select(here.id).where(here.id == _current(), takes_part).scalar_subquery(),
        select(last.campaign_id)
        .where(last.annotator_id == bindparam("annotator"), last.image_id == bindparam("image"))
        .order_by(last.created_at.desc())
        .limit(1)
        .scalar_subquery(),
        _current(),
    )


def _current() -> Any:
    """The campaign in which the person labels now."""
    return current_campaign_of(bindparam("annotator"), bindparam("now", type_=UtcDateTime))


def _is_only_one() -> Any:
    """Whether the campaign is the only active one, and open to everybody.

    This is cheaper than `_current`, which each vote would have to wait for.
    """
    other = aliased(Campaign)
    others = exists().where(other.active, other.id != Campaign.id)
    return and_(Campaign.active, ~Campaign.restricted, ~others)


def _columns(state_columns: Sequence[Any]) -> list[Any]:
    return [
        *state_columns,
        _is_only_one().label("only_one"),
        Consensus.status,
        *_prefixed(Lease, "lease", _OF_LEASE),
        *_prefixed(_COUNTED, "counted", _OF_VOTE),
        *_prefixed(_STORED, "stored", _OF_STORED),
        Estimate.class_prior,
        Estimate.confusion.label("average"),
        Estimate.copy_rate.label("average_copy_rate"),
        _OWN_SKILL.confusion.label("own_confusion"),
        _OWN_SKILL.copy_rate.label("own_copy_rate"),
        _SKILL.confusion,
        _SKILL.copy_rate.label("copy_rate"),
        Proposal.p_left,
        Proposal.p_center,
        Proposal.p_right,
        Proposal.ask,
        Gold.label.label("gold"),
        Decision.id.label("decision_id"),
        Decision.label,
    ]


@built_once
def _statement(is_named: bool) -> Any:
    """Built once: building it takes longer than running it."""
    here = Consensus.campaign_id, Consensus.image_id
    person: Any = bindparam("annotator")
    state_columns = annotator_state_columns(person)
    run_id = state_columns[-1].element
    return (
        select(*_columns(state_columns))
        .select_from(Consensus)
        .join(Campaign, Campaign.id == Consensus.campaign_id)
        .outerjoin(Participation, participates(person))
        .outerjoin(Estimate, Estimate.campaign_id == Campaign.id)
        .outerjoin(Lease, and_(_is_on(Lease, *here), Lease.annotator_id == person))
        .outerjoin(_COUNTED, and_(_is_on(_COUNTED, *here), _COUNTED.superseded_at.is_(None)))
        .outerjoin(
            _SKILL,
            and_(_SKILL.campaign_id == Campaign.id, _SKILL.annotator_id == _COUNTED.annotator_id),
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
        .outerjoin(Gold, and_(_is_on(Gold, *here), Gold.revoked_at.is_(None)))
        .outerjoin(Decision, and_(_is_on(Decision, *here), Decision.superseded_at.is_(None)))
        .where(
            Consensus.campaign_id == _campaign(is_named), Consensus.image_id == bindparam("image")
        )
        .order_by(_COUNTED.id)
    )


def _is_on(table: Any, campaign_id: Any, image_id: Any) -> Any:
    return and_(table.campaign_id == campaign_id, table.image_id == image_id)


def _prefixed(table: Any, prefix: str, names: Sequence[str]) -> list[Any]:
    return [getattr(table, name).label(f"{prefix}_{name}") for name in names]


def _part(row: Row[Any], prefix: str, names: Sequence[str], key: str) -> Any:
    """The columns of one table in the row; None if nothing was joined."""
    values = row._mapping
    if values[f"{prefix}_{key}"] is None:
        return None
    return SimpleNamespace(**{name: values[f"{prefix}_{name}"] for name in names})


def _make_vote_context(
    annotator_id: int, image_id: int, rows: Sequence[Row[Any]], now: datetime
) -> VoteContext:
    """The context from one row for each current vote, or from one row without a vote."""
    row = rows[0]
    annotator = make_annotator_state(annotator_id, row, now)
    votes = [_part(one, "counted", _OF_VOTE, "id") for one in rows if one.counted_id is not None]
    mine = [vote for vote in votes if vote.annotator_id == annotator_id]
    return VoteContext(
        annotator=annotator,
        only_one=bool(row.only_one),
        changeable=is_changeable(row, now),
        status=row.status,
        facts=_facts(image_id, row, votes),
        annotator_model=_annotator_model(annotator, rows),
        lease=_part(row, "lease", _OF_LEASE, "expires_at"),
        own=mine[0] if mine else None,
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


def _annotator_model(annotator: AnnotatorState, rows: Sequence[Row[Any]]) -> AnnotatorModel:
    row = rows[0]
    skills = [
        (one.counted_annotator_id, one.confusion, one.copy_rate)
        for one in rows
        if one.confusion is not None
    ]
    if row.own_confusion is not None:
        skills.append((annotator.annotator_id, row.own_confusion, row.own_copy_rate))
    average = None if row.class_prior is None else (row.average, row.average_copy_rate)
    return make_annotator_model(
        annotator.campaign_id, annotator.rules, row.class_prior, average, skills
    )
