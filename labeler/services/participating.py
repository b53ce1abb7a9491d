"""How people stand in a campaign: who works, who trains, who is paused and why.

A supervisor's word stays: the rules pause nobody whose standing a supervisor has set
(`services.refreshing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from labeler.domain.rules import Rules
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.models import Annotator, Campaign, Gold, Participation, Skill, utc_now
from labeler.models.campaigns import STANDINGS

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


def list_standings(session: Session, campaign_id: int) -> dict[int, Standing]:
    """The standing of everybody with an account, by number of the person.

    Raises:
        NotFound: no such campaign.
    """
    trains = _rules(session, campaign_id).training and _has_gold(session, campaign_id)
    beginning = "training" if trains else "working"
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
    set_standing(session, campaign_id, annotator_id, "paused", by_id, reason)


def resume_person(session: Session, campaign_id: int, annotator_id: int, by_id: int) -> None:
    """Let a person work: ends a pause, and excuses from the training.

    Raises:
        NotFound: no such campaign or person.
    """
    set_standing(session, campaign_id, annotator_id, "working", by_id)


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
    set_standing(session, campaign_id, annotator_id, "training", by_id)


def set_standing(
    session: Session,
    campaign_id: int,
    annotator_id: int,
    standing: str,
    by_id: int | None,
    reason: str = "",
    *,
    now: datetime | None = None,
) -> Participation:
    """Write how a person stands. `by_id` None: the rules say so.

    Raises:
        NotFound: no such campaign or person.
        InvalidInput: no such standing.
    """
    if standing not in STANDINGS:
        raise InvalidInput(f"{standing!r} is not a status. Allowed: {', '.join(STANDINGS)}.")
    if session.get(Campaign, campaign_id) is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    if session.get(Annotator, annotator_id) is None:
        raise NotFound(f"The account with the number {annotator_id} does not exist.")
    row = session.get(Participation, (campaign_id, annotator_id), with_for_update=True)
    if row is None:
        row = Participation(campaign_id=campaign_id, annotator_id=annotator_id)
        session.add(row)
    row.standing, row.reason = standing, reason
    row.changed_by_id, row.changed_at = by_id, now or utc_now()
    session.flush()
    return row


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
