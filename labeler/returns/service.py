"""Returned answers: a supervisor sends votes back, and the person looks at the images again.

The vote stays on record, and it counts until the person answers again. The new vote supersedes it,
as a change of an answer does. So nothing in the story of a vote knows of returned answers, and
whether one still waits follows from its vote.

A person can change earlier answers only while the campaign is active and has not ended. So only
votes of such campaigns go back. A returned answer whose campaign ends meanwhile is not shown to the
person until the campaign goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from labeler.audit.log import Actor, record
from labeler.campaigns.period import changeable_at, refuse_unchangeable
from labeler.errors import InvalidInput, NotFound
from labeler.languages.current import ENGLISH, in_language
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark_plural, ngettext
from labeler.messages.service import tell
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from labeler.models.people import ReturnedAnswer
from labeler.models.voting import Vote

MAX_RETURNED = 200  # votes of one request
# The messages that the person gets.
RETURNED = mark_plural(
    "Please look at %(num)s image again. You find it on the page “Progress”, under “To look at "
    "again”. Your earlier answer counts until you answer again.",
    "Please look at %(num)s images again. You find them on the page “Progress”, under “To look at "
    "again”. Your earlier answers count until you answer again.",
)
WITHDRAWN = mark_plural(
    "%(num)s image needs no second look any more.", "%(num)s images need no second look any more."
)


@dataclass(frozen=True, slots=True)
class ReturnForecast:
    """What sending votes back will do.

    `votes`: those that will be sent back. `waiting`: chosen votes that are back already.
    `changed`: chosen votes that no longer count, since the person has changed the answer.
    `agreed`: images of `votes` that have a label now; another answer may open them.
    """

    person: Annotator
    votes: Sequence[Vote]
    waiting: int
    changed: int
    agreed: int


@dataclass(frozen=True, slots=True)
class ReturnedVote:
    """A vote that the person is to look at again, with its image and its campaign."""

    vote: Vote
    image: Image
    campaign: Campaign


def forecast_return(
    session: Session,
    annotator_id: int,
    vote_ids: Sequence[int],
    *,
    now: datetime | None = None,
) -> ReturnForecast:
    """What `return_answers` will do.

    Raises:
        InvalidInput: no vote, or too many of them.
        NotFound: no such account, or a vote of somebody else.
        Conflict: a vote cannot be changed, because its campaign is not active or has ended.
    """
    person = session.get(Annotator, annotator_id)
    if person is None:
        raise NotFound(
            _(
                "The account with the number %(annotator_id)s does not exist.",
                annotator_id=annotator_id,
            )
        )
    chosen = _chosen(session, annotator_id, vote_ids)
    for campaign_id in sorted({vote.campaign_id for vote in chosen}):
        refuse_unchangeable(session.get_one(Campaign, campaign_id), now or utc_now())
    current = [vote for vote in chosen if vote.counts]
    waiting = set(
        session.scalars(
            select(ReturnedAnswer.vote_id).where(
                ReturnedAnswer.vote_id.in_([vote.id for vote in current]),
                ReturnedAnswer.withdrawn_at.is_(None),
            )
        )
    )
    votes = [vote for vote in current if vote.id not in waiting]
    agreed = session.scalar(
        select(func.count())
        .select_from(Vote)
        .join(
            Consensus,
            and_(Consensus.campaign_id == Vote.campaign_id, Consensus.image_id == Vote.image_id),
        )
        .where(Vote.id.in_([vote.id for vote in votes]), Consensus.status == "agreed")
    )
    return ReturnForecast(person, votes, len(waiting), len(chosen) - len(current), agreed or 0)


def return_answers(
    session: Session,
    annotator_id: int,
    vote_ids: Sequence[int],
    by: Actor,
    *,
    now: datetime | None = None,
) -> list[int]:
    """Send votes back and tell the person; returns the ids of the returned answers.

    Votes that are back already and votes that no longer count are left out. Needs a write
    transaction.

    Raises:
        InvalidInput, NotFound: as `forecast_return`.
        Conflict: as `forecast_return`, or the account was anonymised.
    """
    now = now or utc_now()
    # Two supervisors who send the same votes back come one after the other.
    session.get(Annotator, annotator_id, with_for_update={"key_share": True})
    votes = forecast_return(session, annotator_id, vote_ids, now=now).votes
    if not votes:
        return []
    returned = [
        ReturnedAnswer(
            vote_id=vote.id, annotator_id=annotator_id, returned_by_id=by.id, returned_at=now
        )
        for vote in votes
    ]
    session.add_all(returned)
    session.flush()
    count, subject = len(returned), ("account", annotator_id)
    record(session, "answers_returned", by, subject, now=now, answers=count)
    _tell(session, annotator_id, RETURNED, count, by, now)
    return [one.id for one in returned]


def withdraw_returned(
    session: Session,
    annotator_id: int,
    returned_ids: Sequence[int],
    by: Actor,
    *,
    now: datetime | None = None,
) -> int:
    """Take returned answers back that still wait, and tell the person; returns how many.

    Raises:
        InvalidInput: none is named, or too many are.
        NotFound: no such account.
        Conflict: the account was anonymised.
    """
    now = now or utc_now()
    _refuse_number(len(returned_ids))
    waiting = session.scalars(
        _waiting(annotator_id)
        .with_only_columns(ReturnedAnswer.id)
        .where(ReturnedAnswer.id.in_(returned_ids))
    ).all()
    if not waiting:
        return 0
    session.execute(
        update(ReturnedAnswer)
        .where(ReturnedAnswer.id.in_(waiting))
        .values(withdrawn_at=now)
        .execution_options(synchronize_session=False)
    )
    count = len(waiting)
    subject = ("account", annotator_id)
    record(session, "returned_withdrawn", by, subject, now=now, answers=count)
    _tell(session, annotator_id, WITHDRAWN, count, by, now)
    return count


def list_returned(
    session: Session, annotator_id: int, *, limit: int, now: datetime | None = None
) -> list[ReturnedVote]:
    """The votes that the person is to look at again, the oldest return first.

    They are of all campaigns in which the person can change answers now, not only of the one in
    which they label.
    """
    query = (
        _changeable(annotator_id, now or utc_now())
        .with_only_columns(Vote, Image, Campaign)
        .join(Image, Image.id == Vote.image_id)
        .order_by(ReturnedAnswer.id)
        .limit(limit)
    )
    return [ReturnedVote(*row) for row in session.execute(query)]


def count_returned(session: Session, annotator_id: int, *, now: datetime | None = None) -> int:
    """How many votes `list_returned` has without a limit."""
    query = _changeable(annotator_id, now or utc_now()).with_only_columns(func.count())
    return session.scalar(query) or 0


def waiting_ids(session: Session, vote_ids: Sequence[int]) -> dict[int, int]:
    """The id of the returned answer that waits, by the id of its vote."""
    rows = session.execute(
        select(ReturnedAnswer.vote_id, ReturnedAnswer.id)
        .join(Vote, Vote.id == ReturnedAnswer.vote_id)
        .where(ReturnedAnswer.vote_id.in_(vote_ids), _waits())
    )
    return dict(rows.all())


def _tell(
    session: Session,
    annotator_id: int,
    form: tuple[str, str],
    count: int,
    by: Actor,
    now: datetime,
) -> None:
    with in_language(ENGLISH):  # as it is stored; the page translates it for who reads it
        told = ngettext(*form, count)
    tell(session, annotator_id, told, by, now=now)


def _waits() -> ColumnElement[bool]:
    return and_(ReturnedAnswer.withdrawn_at.is_(None), Vote.superseded_at.is_(None))


def _waiting(annotator_id: int) -> Any:
    return (
        select(ReturnedAnswer)
        .join(Vote, Vote.id == ReturnedAnswer.vote_id)
        .where(ReturnedAnswer.annotator_id == annotator_id, _waits())
    )


def _changeable(annotator_id: int, now: datetime) -> Any:
    """Those that wait and that the person can answer now."""
    return (
        _waiting(annotator_id)
        .join(Campaign, Campaign.id == Vote.campaign_id)
        .where(changeable_at(now))
    )


def _chosen(session: Session, annotator_id: int, vote_ids: Sequence[int]) -> Sequence[Vote]:
    wanted = sorted(set(vote_ids))
    _refuse_number(len(wanted))
    votes = session.scalars(
        select(Vote).where(Vote.id.in_(wanted), Vote.annotator_id == annotator_id).order_by(Vote.id)
    ).all()
    if len(votes) < len(wanted):
        unknown = sorted(set(wanted) - {vote.id for vote in votes})
        raise NotFound(_("This person has no vote %(unknown)s.", unknown=unknown[0]))
    return votes


def _refuse_number(count: int) -> None:
    if not count:
        raise InvalidInput(_("No answer is chosen. Tick the answers to send back."))
    if count > MAX_RETURNED:
        raise InvalidInput(
            _(
                "%(count)s answers are chosen. At most %(max_returned)s go back at once.",
                count=count,
                max_returned=MAX_RETURNED,
            )
        )
