"""The status of people in a campaign: working, in the qualification, or paused and why.

`set_status` is the only writer of `Participation`. A supervisor's decision stays: the rules pause
nobody whose status a supervisor has set, and the qualification ends only the round that it judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from labeler.database.statements import insert_or
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.models import Annotator, Campaign, Gold, Participation, Skill, Vote, utc_now
from labeler.models.campaigns import STANDINGS
from labeler.rules.campaign_rules import Rules

MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class Standing:
    """A person in a campaign, for supervisors only.

    `by_rules`: nobody set the standing by hand. `flags`: the sentences of what looks wrong in
    the answers.
    """

    annotator_id: int
    standing: str
    reason: str
    by_rules: bool
    changed_at: datetime | None
    flags: Sequence[str]


@dataclass(frozen=True, slots=True)
class PresentRound:
    """The round of the qualification that a person is in.

    Its exercises are the person's with numbers above `after_vote`.
    """

    number: int
    after_vote: int


@dataclass(frozen=True, slots=True)
class RoundResult:
    """A round of the qualification is over: which one, and by which vote, if a vote ended it."""

    round_number: int
    vote_id: int | None = None


def first_status(rules: Rules, has_gold: bool) -> str:
    """The status of a person without a row of `Participation`.

    The qualification comes first where the rules ask for it; without gold nobody can be taught.
    """
    return "training" if rules.training and has_gold else "working"


def present_round(session: Session, campaign_id: int, annotator_id: int) -> PresentRound:
    """The present round of a person; without a row number 0, of all their exercises."""
    row = session.execute(
        select(Participation.round_number, Participation.round_after_vote).where(
            Participation.campaign_id == campaign_id, Participation.annotator_id == annotator_id
        )
    ).one_or_none()
    return PresentRound(*row) if row else PresentRound(0, 0)


def list_standings(session: Session, campaign_id: int) -> dict[int, Standing]:
    """The standing of everybody with an account, by number of the person.

    Raises:
        NotFound: no such campaign.
    """
    beginning = first_status(_rules(session, campaign_id), _has_gold(session, campaign_id))
    rows = session.execute(
        select(Annotator.id, Participation, Skill.flags)
        .outerjoin(
            Participation,
            and_(
                Participation.annotator_id == Annotator.id,
                Participation.campaign_id == campaign_id,
            ),
        )
        .outerjoin(
            Skill, and_(Skill.annotator_id == Annotator.id, Skill.campaign_id == campaign_id)
        )
    )
    return {who: _standing(who, row, flags, beginning) for who, row, flags in rows}


def pause_person(
    session: Session, campaign_id: int, annotator_id: int, reason: str, by_id: int
) -> None:
    """Hand this person no more images; they are told the reason.

    What they hold already may still be answered, and their votes stay.

    Raises:
        NotFound: no such campaign or person.
        InvalidInput: no reason, or a long one.
    """
    reason = reason.strip()
    if not 1 <= len(reason) <= MAX_REASON:
        raise InvalidInput(
            f"Enter a reason of 1 to {MAX_REASON} characters. The person can read it."
        )
    set_status(session, campaign_id, annotator_id, "paused", by_id=by_id, reason=reason)


def resume_person(session: Session, campaign_id: int, annotator_id: int, by_id: int) -> None:
    """Let a person work: ends a pause, and excuses from the training.

    Raises:
        NotFound: no such campaign or person.
    """
    set_status(session, campaign_id, annotator_id, "working", by_id=by_id)


def send_to_training(session: Session, campaign_id: int, annotator_id: int, by_id: int) -> None:
    """Let a person do the training before the work goes on.

    Raises:
        NotFound: no such campaign or person.
        Conflict: the campaign has no training, or no gold to train on.
    """
    if not _rules(session, campaign_id).training:
        raise Conflict(
            "This campaign has no qualification. Set the number of qualification images in "
            "its rules."
        )
    if not _has_gold(session, campaign_id):
        raise Conflict(
            "The qualification needs gold questions, and this campaign has none. Add some first."
        )
    set_status(session, campaign_id, annotator_id, "training", by_id=by_id)


def set_status(
    session: Session,
    campaign_id: int,
    annotator_id: int,
    status: str,
    *,
    reason: str = "",
    by_id: int | None = None,
    result: RoundResult | None = None,
    now: datetime | None = None,
) -> bool:
    """Write the status of a person and begin another round; returns whether it was written.

    One statement decides and writes, so that of two transactions the later one sees what the
    earlier one has written. Needs a write transaction.

    Parameters:
        by_id: the supervisor who decides, always written; None: a rule, which is not written over
            a supervisor's decision, nor if the person has this status already.
        result: the qualification decides; written only if its round is still the present one.

    Raises:
        NotFound: no such campaign or person.
        InvalidInput: no such status.
    """
    if status not in STANDINGS:
        raise InvalidInput(f"{status!r} is not a status. Allowed: {', '.join(STANDINGS)}.")
    if session.get(Campaign, campaign_id) is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    if session.get(Annotator, annotator_id) is None:
        raise NotFound(f"The account with the number {annotator_id} does not exist.")
    changed = {
        "standing": status,
        "reason": reason,
        "changed_at": now or utc_now(),
        "round_after_vote": _last_vote(campaign_id, annotator_id),
        "ended_by_vote": result.vote_id if result else None,
        # Whom a supervisor has sent to the qualification, the rules do not pause afterwards.
        **({} if by_id is None else {"changed_by_id": by_id}),
    }
    who = {"campaign_id": campaign_id, "annotator_id": annotator_id}
    written = session.scalars(
        insert_or(session, Participation)
        .values(**who, **changed, round_number=1)
        .on_conflict_do_update(
            index_elements=list(who),
            set_={**changed, "round_number": Participation.round_number + 1},
            where=_may_change(status, by_id, result),
        )
        .returning(Participation),
        execution_options={"populate_existing": True},
    )
    return written.one_or_none() is not None


def _may_change(
    status: str, by_id: int | None, result: RoundResult | None
) -> ColumnElement[bool] | None:
    """The condition on the row that there is; None: always."""
    if by_id is not None:
        return None
    if result is not None:
        return and_(
            Participation.standing == "training",
            Participation.round_number == result.round_number,
        )
    return and_(Participation.changed_by_id.is_(None), Participation.standing != status)


def _last_vote(campaign_id: int, annotator_id: int) -> ColumnElement[int]:
    """The number of the person's newest vote, 0 for none."""
    newest = select(func.max(Vote.id)).where(
        Vote.campaign_id == campaign_id, Vote.annotator_id == annotator_id
    )
    return func.coalesce(newest.scalar_subquery(), 0)


def _standing(
    who: int, row: Participation | None, flags: Sequence[Sequence[str]] | None, beginning: str
) -> Standing:
    sentences = [sentence for _, sentence in flags or []]
    if row is None:
        return Standing(who, beginning, "", True, None, sentences)
    return Standing(
        who, row.standing, row.reason, row.changed_by_id is None, row.changed_at, sentences
    )


def _rules(session: Session, campaign_id: int) -> Rules:
    rules = session.scalar(select(Campaign.rules).where(Campaign.id == campaign_id))
    if rules is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    return Rules.from_dict(rules)


def _has_gold(session: Session, campaign_id: int) -> bool:
    counted = select(func.count()).where(Gold.campaign_id == campaign_id, Gold.revoked_at.is_(None))
    return bool(session.scalar(counted))
