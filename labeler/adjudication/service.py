"""Adjudication: supervisors decide the images that the votes leave contested.

A decision is a row of its own. A new decision supersedes it, and an undo ends it. The votes stay
as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.consensus.derivation import DECISION_METHOD
from labeler.consensus.store import current_run_of, lock_image, recount
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.gold.service import NewGold, add_gold, revoke_gold
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus, Decision, Gold
from labeler.models.images import Image
from labeler.models.proposals import Proposal
from labeler.models.voting import Vote
from rotation.data.labels import LABELS

ORDERS = ("oldest", "votes")
CANNOT_TELL = mark("cannot tell")
MAX_NOTE = 300


@dataclass(frozen=True, slots=True)
class CaseVote:
    """A vote on a contested image, and who cast it. The answer is about the unmirrored image."""

    person: Annotator
    vote: Vote


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known of one image.

    `model`: (p_left, p_center, p_right) of the current run. `gold`: the known label, if the image
    is gold. `decision`: the current decision; `decided_by`: who made it.
    """

    image: Image
    consensus: Consensus
    votes: Sequence[CaseVote]
    model: tuple[float, float, float] | None
    gold: str | None
    decision: Decision | None
    decided_by: Annotator | None


@dataclass(frozen=True, slots=True)
class SubmittedDecision:
    """A decision as a supervisor sends it.

    `label`: None for "cannot tell". `use_as_gold`: the image also becomes a gold question.
    `seen`: the id of the decision that was current when the page was shown, 0 for none. It keeps
    two supervisors from overwriting each other unawares.
    """

    label: str | None
    note: str = ""
    use_as_gold: bool = False
    seen: int = 0


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision, its image, and who made it."""

    decision: Decision
    image: Image
    person: Annotator


def count_contested(session: Session, campaign_id: int) -> int:
    """The number of images that wait for a decision."""
    return session.scalar(select(func.count()).where(*_waiting(campaign_id))) or 0


def next_contested(
    session: Session, campaign_id: int, order: str = "oldest", skipped: Sequence[int] = ()
) -> int | None:
    """The id of the image to decide next, None if no image waits.

    Parameters:
        order, skipped: as for `list_contested`.

    Raises:
        InvalidInput: an unknown order.
    """
    waiting = list_contested(session, campaign_id, order, skipped, limit=1)
    return waiting[0].id if waiting else None


def list_contested(
    session: Session,
    campaign_id: int,
    order: str = "oldest",
    skipped: Sequence[int] = (),
    *,
    limit: int,
) -> Sequence[Image]:
    """The images that wait for a decision, in their order.

    Parameters:
        order: `oldest`: the image whose consensus has not changed for longest comes first.
            `votes`: the image with the most votes comes first.
        skipped: ids of images to leave for later.
        limit: how many at most.

    Raises:
        InvalidInput: an unknown order.
    """
    if order not in ORDERS:
        raise InvalidInput(
            _(
                "%(given)r is not a known order. Allowed: %(allowed)s.",
                given=order,
                allowed=", ".join(ORDERS),
            )
        )
    ranking = Consensus.updated_at if order == "oldest" else Consensus.votes.desc()
    return session.scalars(
        select(Image)
        .join(Consensus, Consensus.image_id == Image.id)
        .where(*_waiting(campaign_id), Consensus.image_id.not_in(skipped))
        .order_by(ranking, Consensus.image_id)
        .limit(limit)
    ).all()


def load_case(session: Session, campaign_id: int, image_id: int) -> Case:
    """Everything about one image of a campaign.

    Raises:
        NotFound: the image is not in the campaign.
    """
    consensus = _get_consensus(session, campaign_id, image_id)
    decision = _current_decision(session, campaign_id, image_id)
    author = session.get(Annotator, decision.annotator_id) if decision else None
    return Case(
        session.get_one(Image, image_id),
        consensus,
        _list_votes(session, campaign_id, image_id),
        _run_probabilities(session, campaign_id, image_id),
        session.scalar(_current_gold(campaign_id, image_id).with_only_columns(Gold.label)),
        decision,
        author,
    )


def decide(
    session: Session,
    campaign_id: int,
    image_id: int,
    by: Actor,
    submitted: SubmittedDecision,
    *,
    now: datetime | None = None,
) -> Decision:
    """Store a decision and derive the consensus from it.

    Raises:
        NotFound: the image is not in the campaign.
        InvalidInput: an unknown label, a note that is too long, or gold without a label.
        Conflict: somebody else has decided since the page was shown.
    """
    now = now or utc_now()
    _check(submitted)
    lock_image(session, campaign_id, image_id)
    _get_consensus(session, campaign_id, image_id)
    before = _current_decision(session, campaign_id, image_id)
    if (before.id if before else 0) != submitted.seen:
        raise Conflict(_conflict_message(before))
    if before is not None:
        _end(session, before, by, now)
    decision = Decision(
        campaign_id=campaign_id,
        image_id=image_id,
        annotator_id=by.id,
        label=submitted.label,
        note=submitted.note.strip(),
        created_at=now,
    )
    session.add(decision)
    session.flush()
    if submitted.use_as_gold and submitted.label is not None:
        gold = NewGold(image_id, submitted.label, submitted.note.strip())
        add_gold(session, campaign_id, [gold], "supervisor", by, now=now)
    recount(session, campaign_id, [image_id], now=now)
    return decision


def undo_decision(
    session: Session, decision_id: int, by: Actor = NOBODY, *, now: datetime | None = None
) -> Decision:
    """End a decision and the gold that was made with it. The votes then decide again.

    A repeated undo changes nothing.

    Raises:
        NotFound: there is no such decision.
        Conflict: a newer decision has taken its place.
    """
    now = now or utc_now()
    decision = session.get(Decision, decision_id)
    if decision is None:
        raise NotFound(_("Decision %(number)s does not exist.", number=decision_id))
    lock_image(session, decision.campaign_id, decision.image_id)
    session.refresh(decision)
    if decision.superseded_at is None:
        _end(session, decision, by, now)
        recount(session, decision.campaign_id, [decision.image_id], now=now)
        where = {"campaign": decision.campaign_id, "image": decision.image_id}
        record(session, "decision_undone", by, ("decision", decision_id), now=now, **where)
    elif _current_decision(session, decision.campaign_id, decision.image_id) is not None:
        raise Conflict(_("There is a newer decision on this image. Undo that one."))
    return decision


def list_decisions(
    session: Session, campaign_id: int, limit: int, before_id: int | None = None
) -> list[PastDecision]:
    """Decisions, newest first, superseded ones included.

    Parameters:
        limit: how many at most.
        before_id: only those that are older than this one, for the next page.
    """
    wanted = [Decision.campaign_id == campaign_id]
    if before_id is not None:
        wanted.append(Decision.id < before_id)
    return [
        PastDecision(*row) for row in session.execute(_past_decisions().where(*wanted).limit(limit))
    ]


def last_decision(session: Session, campaign_id: int, supervisor_id: int) -> PastDecision | None:
    """The newest current decision of this person, which undo takes back; None without one."""
    row = session.execute(
        _past_decisions()
        .where(
            Decision.campaign_id == campaign_id,
            Decision.annotator_id == supervisor_id,
            Decision.superseded_at.is_(None),
        )
        .limit(1)
    ).one_or_none()
    return PastDecision(*row) if row else None


def _past_decisions() -> Any:
    return (
        select(Decision, Image, Annotator)
        .join(Image, Image.id == Decision.image_id)
        .join(Annotator, Annotator.id == Decision.annotator_id)
        .order_by(Decision.id.desc())
    )


def _waiting(campaign_id: int) -> tuple[ColumnElement[bool], ...]:
    """The conditions that an image waits: contested, but not by a supervisor's "cannot tell"."""
    return (
        Consensus.campaign_id == campaign_id,
        Consensus.status == "contested",
        Consensus.method != DECISION_METHOD,
    )


def _get_consensus(session: Session, campaign_id: int, image_id: int) -> Consensus:
    row = session.get(Consensus, (campaign_id, image_id), populate_existing=True)
    if row is None:
        raise NotFound(_("There is no image %(number)s in this campaign.", number=image_id))
    return row


def _current_decision(session: Session, campaign_id: int, image_id: int) -> Decision | None:
    return session.scalar(
        select(Decision).where(
            Decision.campaign_id == campaign_id,
            Decision.image_id == image_id,
            Decision.superseded_at.is_(None),
        )
    )


def _list_votes(session: Session, campaign_id: int, image_id: int) -> list[CaseVote]:
    rows = session.execute(
        select(Annotator, Vote)
        .join(Vote, Vote.annotator_id == Annotator.id)
        .where(Vote.image_id == image_id, Vote.campaign_id == campaign_id, Vote.counts)
        .order_by(Vote.id)
    )
    return [CaseVote(*row) for row in rows]


def _run_probabilities(
    session: Session, campaign_id: int, image_id: int
) -> tuple[float, float, float] | None:
    row = session.execute(
        select(Proposal.p_left, Proposal.p_center, Proposal.p_right).where(
            Proposal.model_run_id == current_run_of(campaign_id), Proposal.image_id == image_id
        )
    ).one_or_none()
    return (row.p_left, row.p_center, row.p_right) if row else None


def _current_gold(campaign_id: int, image_id: int) -> Any:
    return select(Gold).where(
        Gold.campaign_id == campaign_id, Gold.image_id == image_id, Gold.revoked_at.is_(None)
    )


def _end(session: Session, decision: Decision, by: Actor, now: datetime) -> None:
    """Supersede a decision, and revoke the gold that was made together with it."""
    decision.superseded_at = now
    gold = session.scalar(_current_gold(decision.campaign_id, decision.image_id))
    if gold and gold.source == "supervisor" and gold.created_at == decision.created_at:
        revoke_gold(session, gold.id, by, now=now)
    session.flush()


def _conflict_message(decision: Decision | None) -> str:
    if decision is None:
        return _(
            "Somebody has undone the earlier decision in the meantime. Your decision was not "
            "stored. Look at the image again."
        )
    if decision.label is None:
        return _(
            "Somebody has decided “cannot tell” for this image in the meantime. Your decision was "
            "not stored. Look at the image again."
        )
    return _(
        "Somebody has decided %(label)s for this image in the meantime. Your decision was not "
        "stored. Look at the image again.",
        label=_(decision.label),
    )


def _check(submitted: SubmittedDecision) -> None:
    if submitted.label == "":
        raise InvalidInput(_("Nothing has been decided yet. Choose an answer."))
    if submitted.label is not None and submitted.label not in LABELS:
        allowed = ", ".join((*LABELS, CANNOT_TELL))
        raise InvalidInput(
            _(
                "%(given)r is not a decision. Allowed: %(allowed)s.",
                given=submitted.label,
                allowed=allowed,
            )
        )
    if len(submitted.note.strip()) > MAX_NOTE:
        raise InvalidInput(_("A note has at most %(count)s characters.", count=MAX_NOTE))
    if submitted.use_as_gold and submitted.label is None:
        raise InvalidInput(
            _(
                "“Cannot tell” cannot become a gold question. Choose a label, or do not make it a "
                "gold question."
            )
        )
