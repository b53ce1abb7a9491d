"""Adjudication: supervisors decide what the votes could not.

A decision is a row of its own. Another one supersedes it, an undo only ends it; the votes stay
as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from labeler.consensus.derivation import DECISION_METHOD
from labeler.consensus.store import current_run_of, lock_image, recount
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.gold.service import NewGold, add_gold, revoke_gold
from labeler.models import Annotator, Consensus, Decision, Gold, Image, Proposal, Vote, utc_now
from rotation.data.labels import LABELS

ORDERS = ("oldest", "votes")
CANNOT_TELL = "cannot tell"
MAX_NOTE = 300


@dataclass(frozen=True, slots=True)
class CaseVote:
    """A vote on a contested image, about the picture as it is."""

    pseudonym: str
    vote: Vote


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known of one image. `model`: the current run's (p_left, p_center, p_right);
    `decision`: the one that holds now, by `decided_by` (pseudonym)."""

    image: Image
    consensus: Consensus
    votes: Sequence[CaseVote]
    model: tuple[float, float, float] | None
    gold: str | None
    decision: Decision | None
    decided_by: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a supervisor says.

    `label` None: it cannot be told. `seen`: the number of the decision that held when the page
    was shown, 0 for none, so that two supervisors do not overwrite each other unawares.
    """

    label: str | None
    note: str = ""
    use_as_gold: bool = False
    seen: int = 0


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision of the list, with its picture and who made it."""

    decision: Decision
    image: Image
    pseudonym: str


def count_contested(session: Session, campaign_id: int) -> int:
    """How many images wait for a decision."""
    return session.scalar(select(func.count()).where(*_waiting(campaign_id))) or 0


def next_contested(
    session: Session, campaign_id: int, order: str = "oldest", skipped: Sequence[int] = ()
) -> int | None:
    """The image to decide next, None where none waits.

    Parameters:
        order: `oldest`: that has changed least lately; `votes`: that has most of them.
        skipped: images to leave for later.

    Raises:
        InvalidInput: no such order.
    """
    if order not in ORDERS:
        raise InvalidInput(f"{order!r} is not a known order. Allowed: {', '.join(ORDERS)}.")
    ranking = Consensus.updated_at if order == "oldest" else Consensus.votes.desc()
    return session.scalars(
        select(Consensus.image_id)
        .where(*_waiting(campaign_id), Consensus.image_id.not_in(skipped))
        .order_by(ranking, Consensus.image_id)
        .limit(1)
    ).first()


def load_case(session: Session, campaign_id: int, image_id: int) -> Case:
    """Everything about one image of a campaign.

    Raises:
        NotFound: the image is not in the campaign.
    """
    consensus = _row(session, campaign_id, image_id)
    decision = _current(session, campaign_id, image_id)
    author = session.get(Annotator, decision.annotator_id) if decision else None
    return Case(
        session.get_one(Image, image_id),
        consensus,
        _votes(session, campaign_id, image_id),
        _model(session, campaign_id, image_id),
        session.scalar(_gold(campaign_id, image_id).with_only_columns(Gold.label)),
        decision,
        author.pseudonym if author else "",
    )


def decide(
    session: Session,
    campaign_id: int,
    image_id: int,
    supervisor_id: int,
    verdict: Verdict,
    *,
    now: datetime | None = None,
) -> Decision:
    """Store a decision and derive the consensus from it.

    Raises:
        NotFound: the image is not in the campaign.
        InvalidInput: no such label, a note that is too long, gold without a label.
        Conflict: somebody else has decided since the page was shown.
    """
    now = now or utc_now()
    _check(verdict)
    lock_image(session, campaign_id, image_id)
    _row(session, campaign_id, image_id)
    before = _current(session, campaign_id, image_id)
    if (before.id if before else 0) != verdict.seen:
        raise Conflict(_who_was_first(session, before))
    if before is not None:
        _end(session, before, now)
    decision = Decision(
        campaign_id=campaign_id, image_id=image_id, annotator_id=supervisor_id,
        label=verdict.label, note=verdict.note.strip(), created_at=now,
    )  # fmt: skip
    session.add(decision)
    session.flush()
    if verdict.use_as_gold and verdict.label is not None:
        gold = NewGold(image_id, verdict.label, verdict.note.strip())
        add_gold(session, campaign_id, [gold], "supervisor", supervisor_id, now=now)
    recount(session, campaign_id, [image_id], now=now)
    return decision


def undo_decision(session: Session, decision_id: int, *, now: datetime | None = None) -> Decision:
    """End a decision, and the gold that was made with it; the votes speak again.

    Ending it twice changes nothing.

    Raises:
        NotFound: there is no such decision.
        Conflict: a newer decision has taken its place.
    """
    now = now or utc_now()
    decision = session.get(Decision, decision_id)
    if decision is None:
        raise NotFound(f"Decision {decision_id} does not exist.")
    lock_image(session, decision.campaign_id, decision.image_id)
    session.refresh(decision)
    if decision.superseded_at is None:
        _end(session, decision, now)
        recount(session, decision.campaign_id, [decision.image_id], now=now)
    elif _current(session, decision.campaign_id, decision.image_id) is not None:
        raise Conflict("There is a newer decision on this image. Undo that one.")
    return decision


def list_decisions(
    session: Session, campaign_id: int, limit: int, before_id: int | None = None
) -> list[PastDecision]:
    """Decisions, also those that hold no more, newest first.

    Parameters:
        before_id: only those made before this one, for the next page.
    """
    wanted = [Decision.campaign_id == campaign_id]
    if before_id is not None:
        wanted.append(Decision.id < before_id)
    return [PastDecision(*row) for row in session.execute(_past().where(*wanted).limit(limit))]


def last_decision(session: Session, campaign_id: int, supervisor_id: int) -> PastDecision | None:
    """The newest decision of this person that holds: the one that undo takes back."""
    row = session.execute(
        _past()
        .where(
            Decision.campaign_id == campaign_id,
            Decision.annotator_id == supervisor_id,
            Decision.superseded_at.is_(None),
        )
        .limit(1)
    ).one_or_none()
    return PastDecision(*row) if row else None


def _past() -> Any:
    return (
        select(Decision, Image, Annotator.pseudonym)
        .join(Image, Image.id == Decision.image_id)
        .join(Annotator, Annotator.id == Decision.annotator_id)
        .order_by(Decision.id.desc())
    )


def _waiting(campaign_id: int) -> tuple[ColumnElement[bool], ...]:
    """Contested, and not because a supervisor has said that it cannot be told."""
    return (
        Consensus.campaign_id == campaign_id,
        Consensus.status == "contested",
        Consensus.method != DECISION_METHOD,
    )


def _row(session: Session, campaign_id: int, image_id: int) -> Consensus:
    row = session.get(Consensus, (campaign_id, image_id), populate_existing=True)
    if row is None:
        raise NotFound(f"There is no image {image_id} in this campaign.")
    return row


def _current(session: Session, campaign_id: int, image_id: int) -> Decision | None:
    return session.scalar(
        select(Decision).where(
            Decision.campaign_id == campaign_id,
            Decision.image_id == image_id,
            Decision.superseded_at.is_(None),
        )
    )


def _votes(session: Session, campaign_id: int, image_id: int) -> list[CaseVote]:
    rows = session.execute(
        select(Annotator.pseudonym, Vote)
        .join(Vote, Vote.annotator_id == Annotator.id)
        .where(Vote.image_id == image_id, Vote.campaign_id == campaign_id, Vote.counts)
        .order_by(Vote.id)
    )
    return [CaseVote(*row) for row in rows]


def _model(session: Session, campaign_id: int, image_id: int) -> tuple[float, float, float] | None:
    row = session.execute(
        select(Proposal.p_left, Proposal.p_center, Proposal.p_right).where(
            Proposal.model_run_id == current_run_of(campaign_id), Proposal.image_id == image_id
        )
    ).one_or_none()
    return (row.p_left, row.p_center, row.p_right) if row else None


def _gold(campaign_id: int, image_id: int) -> Any:
    return select(Gold).where(
        Gold.campaign_id == campaign_id, Gold.image_id == image_id, Gold.revoked_at.is_(None)
    )


def _end(session: Session, decision: Decision, now: datetime) -> None:
    """Supersede a decision; the gold that was made in the same moment goes with it."""
    decision.superseded_at = now
    gold = session.scalar(_gold(decision.campaign_id, decision.image_id))
    if gold and gold.source == "supervisor" and gold.created_at == decision.created_at:
        revoke_gold(session, gold.id, now=now)
    session.flush()


def _who_was_first(session: Session, decision: Decision | None) -> str:
    if decision is None:
        return (
            "Somebody has undone the earlier decision in the meantime. Your decision was not "
            "stored. Look at the image again."
        )
    who = session.get_one(Annotator, decision.annotator_id).pseudonym
    said = decision.label or "“cannot tell”"
    return (
        f"{who} has decided {said} for this image in the meantime. Your decision was not "
        "stored. Look at the image again."
    )


def _check(verdict: Verdict) -> None:
    if verdict.label is not None and verdict.label not in LABELS:
        allowed = ", ".join((*LABELS, CANNOT_TELL))
        raise InvalidInput(f"{verdict.label!r} is not a decision. Allowed: {allowed}.")
    if len(verdict.note.strip()) > MAX_NOTE:
        raise InvalidInput(f"A note has at most {MAX_NOTE} characters.")
    if verdict.use_as_gold and verdict.label is None:
        raise InvalidInput(
            "“Cannot tell” cannot become a gold question. Choose a label, or do not make it a "
            "gold question."
        )
