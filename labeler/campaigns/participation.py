"""The status of people in a campaign: in the qualification, working, or paused with a reason.

Only `set_status` writes `Participation`. It never overrides a supervisor: the rules pause nobody
whose status a supervisor has set, and the qualification ends only the round that it judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.campaigns.audience import may_label
from labeler.database.engine import insert_or
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import PARTICIPATION_STATUSES, Campaign, Participation
from labeler.models.consensus import Gold, Skill
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import Rules

MAX_REASON = 300
_EVENTS = {"paused": "person_paused", "working": "person_resumed", "training": "person_to_qualify"}


@dataclass(frozen=True, slots=True)
class ParticipantStatus:
    """The status of a person in a campaign, for supervisors only.

    `in_audience`: the person may label in the campaign. Without this, the status counts only once
    they are added. `by_rules`: no supervisor has set the status. `flags`: sentences that say what
    looks wrong in the person's answers. Sentences are in the language of the moment.
    """

    annotator_id: int
    in_audience: bool
    status: str
    reason: str
    by_rules: bool
    changed_at: datetime | None
    flags: Sequence[str]


@dataclass(frozen=True, slots=True)
class CurrentRound:
    """The round of the qualification that a person is in.

    Its exercises are the person's votes with ids above `after_vote`.
    """

    number: int
    after_vote: int


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The end of a round of the qualification. `vote_id`: the vote that ended it, if a vote did."""

    round_number: int
    vote_id: int | None = None


def first_status(rules: Rules, has_gold: bool) -> str:
    """The status of a person without a row of `Participation`.

    It is the qualification, if the rules ask for it and the campaign has gold to learn from.
    """
    return "training" if rules.training and has_gold else "working"


def current_round(session: Session, campaign_id: int, annotator_id: int) -> CurrentRound:
    """The current round of a person. Without a row it has the number 0 and all their exercises."""
    row = session.execute(
        select(Participation.round_number, Participation.round_after_vote).where(
            Participation.campaign_id == campaign_id, Participation.annotator_id == annotator_id
        )
    ).one_or_none()
    return CurrentRound(*row) if row else CurrentRound(0, 0)


def list_statuses(
    session: Session, campaign_id: int, among: Sequence[int] | None = None
) -> dict[int, ParticipantStatus]:
    """The status of everybody with an account, by id of the account.

    Parameters:
        among: only these people; None: everybody.

    Raises:
        NotFound: no such campaign.
    """
    first = first_status(_rules(session, campaign_id), _has_gold(session, campaign_id))
    query = (
        select(Annotator.id, may_label(Campaign, Annotator.id), Participation, Skill.flags)
        .select_from(Annotator)
        .join(Campaign, Campaign.id == campaign_id)
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
    if among is not None:
        query = query.where(Annotator.id.in_(among))
    return {
        who: _make_status(who, in_audience, row, flags, first)
        for who, in_audience, row, flags in session.execute(query)
    }


def pause_person(
    session: Session, campaign_id: int, annotator_id: int, reason: str, by: Actor
) -> None:
    """Assign no more images to this person. They can read the reason.

    They may still answer the images that they hold. Their votes stay.

    Parameters:
        reason: 1 to `MAX_REASON` characters.
        by: the supervisor who decides.

    Raises:
        NotFound: no such campaign or person.
        InvalidInput: the reason is empty or too long.
    """
    reason = reason.strip()
    if not 1 <= len(reason) <= MAX_REASON:
        raise InvalidInput(
            _(
                "Enter a reason of 1 to %(most)s characters. The person can read it.",
                most=MAX_REASON,
            )
        )
    set_status(session, campaign_id, annotator_id, "paused", by=by, reason=reason)


def resume_person(session: Session, campaign_id: int, annotator_id: int, by: Actor) -> None:
    """Let a person work. This ends a pause and excuses the person from the qualification.

    Parameters:
        by: the supervisor who decides.

    Raises:
        NotFound: no such campaign or person.
    """
    set_status(session, campaign_id, annotator_id, "working", by=by)


def send_to_qualification(session: Session, campaign_id: int, annotator_id: int, by: Actor) -> None:
    """Let a person do the qualification before they go on working.

    Parameters:
        by: the supervisor who decides.

    Raises:
        NotFound: no such campaign or person.
        Conflict: the campaign has no qualification, or no gold for it.
    """
    if not _rules(session, campaign_id).training:
        raise Conflict(
            _(
                "This campaign has no qualification. Set the number of qualification images in "
                "its rules."
            )
        )
    if not _has_gold(session, campaign_id):
        raise Conflict(
            _("The qualification needs gold questions, and this campaign has none. Add some first.")
        )
    set_status(session, campaign_id, annotator_id, "training", by=by)


def set_status(
    session: Session,
    campaign_id: int,
    annotator_id: int,
    status: str,
    *,
    reason: str = "",
    by: Actor = NOBODY,
    result: RoundResult | None = None,
    now: datetime | None = None,
) -> bool:
    """Write the status of a person and begin another round; returns whether it was written.

    One statement decides and writes. So the later of two transactions sees what the earlier one
    has written. Needs a write transaction.

    Parameters:
        status: one of `PARTICIPATION_STATUSES`.
        by: the supervisor who decides; their decision is always written. `NOBODY`: a rule or the
            qualification decides. A rule is not written over a supervisor's decision, and not if
            the person already has this status.
        result: the qualification decides; written only if its round is still the current one.

    Raises:
        NotFound: no such campaign or person.
        InvalidInput: no such status.
    """
    _refuse_unknown(session, campaign_id, annotator_id, status)
    changed = {
        "standing": status,  # the column of `Participation.status`
        "reason": reason,
        "changed_at": now or utc_now(),
        "round_after_vote": _last_vote(campaign_id, annotator_id),
        "ended_by_vote": result.vote_id if result else None,
        # Without a supervisor the column keeps its value: the rules must not pause later a person
        # whom a supervisor has sent to the qualification.
        **({} if by.id is None else {"changed_by_id": by.id}),
    }
    who = {"campaign_id": campaign_id, "annotator_id": annotator_id}
    written = session.scalars(
        insert_or(session, Participation)
        .values(**who, **changed, round_number=1)
        .on_conflict_do_update(
            index_elements=list(who),
            set_={**changed, "round_number": Participation.round_number + 1},
            where=_may_change(status, by, result),
        )
        .returning(Participation),
        execution_options={"populate_existing": True},
    )
    if written.one_or_none() is None:
        return False
    if by.id is not None or status == "paused":  # who passes the qualification is no such event
        subject = ("account", annotator_id)
        record(session, _EVENTS[status], by, subject, now=now, campaign=campaign_id)
    return True


def _refuse_unknown(session: Session, campaign_id: int, annotator_id: int, status: str) -> None:
    if status not in PARTICIPATION_STATUSES:
        allowed = ", ".join(PARTICIPATION_STATUSES)
        raise InvalidInput(f"{status!r} is not a status. Allowed: {allowed}.")
    if session.get(Campaign, campaign_id) is None:
        raise NotFound(_("There is no campaign %(number)s.", number=campaign_id))
    if session.get(Annotator, annotator_id) is None:
        raise NotFound(
            _("The account with the number %(number)s does not exist.", number=annotator_id)
        )


def _may_change(status: str, by: Actor, result: RoundResult | None) -> ColumnElement[bool] | None:
    """The condition on the existing row under which it may change; None: always."""
    if by.id is not None:
        return None
    if result is not None:
        return and_(
            Participation.status == "training",
            Participation.round_number == result.round_number,
        )
    return and_(Participation.changed_by_id.is_(None), Participation.status != status)


def _last_vote(campaign_id: int, annotator_id: int) -> ColumnElement[int]:
    """The id of the person's newest vote, 0 for none."""
    newest = select(func.max(Vote.id)).where(
        Vote.campaign_id == campaign_id, Vote.annotator_id == annotator_id
    )
    return func.coalesce(newest.scalar_subquery(), 0)


def _make_status(
    who: int,
    in_audience: bool,
    row: Participation | None,
    flags: Sequence[Sequence[str]] | None,
    first: str,
) -> ParticipantStatus:
    sentences = [sentence for __, sentence in flags or []]
    if row is None:
        return ParticipantStatus(who, in_audience, first, "", True, None, sentences)
    return ParticipantStatus(
        who,
        in_audience,
        row.status,
        row.reason,
        row.changed_by_id is None,
        row.changed_at,
        sentences,
    )


def _rules(session: Session, campaign_id: int) -> Rules:
    rules = session.scalar(select(Campaign.rules).where(Campaign.id == campaign_id))
    if rules is None:
        raise NotFound(_("There is no campaign %(number)s.", number=campaign_id))
    return Rules.from_dict(rules)


def _has_gold(session: Session, campaign_id: int) -> bool:
    counted = select(func.count()).where(Gold.campaign_id == campaign_id, Gold.revoked_at.is_(None))
    return bool(session.scalar(counted))
