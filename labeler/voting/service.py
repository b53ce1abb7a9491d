"""Casting and undoing votes.

Votes are append-only: a row is inserted once, and later it may be marked as superseded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labeler.assignment.annotator_state import AnnotatorState, load_annotator_state
from labeler.assignment.leases import find_lease, lease_more, write_leases
from labeler.assignment.presentation import LeasedImage, as_seen, presentation_values
from labeler.campaigns.audience import current_campaign_of
from labeler.config import Settings
from labeler.consensus.derivation import CountedVote, write_derived
from labeler.consensus.store import current_run_of, lock_image, recount
from labeler.database.engine import built_once, connection_of, insert_into, is_sqlite
from labeler.errors import Conflict, Forbidden, InvalidInput, NotFound, StaleLease
from labeler.labels import ANSWERS
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.proposals import Proposal
from labeler.models.voting import NOT_COUNTED, Vote
from labeler.voting.vote_context import VoteContext, load_vote_context

MAX_ELAPSED_MS = 86_400_000  # a day; a longer time is a sleeping computer and is cut to this
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,36}")


@dataclass(frozen=True, slots=True)
class CastVote:
    """A stored vote. `answer` is about the image as the person saw it.

    `created`: False if an earlier request with the same `request_id` had stored the vote.
    `next_images`: the images that were leased to the person after it.
    """

    vote_id: int
    campaign_id: int
    image_id: int
    answer: str
    created: bool
    created_at: datetime
    next_images: Sequence[LeasedImage] = ()


@dataclass(frozen=True, slots=True)
class SubmittedAnswer:
    """An answer as a person sends it.

    `answer` is about the image as the person saw it, mirrored or not. `request_id` is new for
    each vote, and the same for each attempt to send that vote. `elapsed_ms`: the time that the
    person took, in milliseconds. `next_count`: how many images to lease next. `campaign_id`: the
    campaign under which the image was assigned; None if it was not told.
    """

    image_id: int
    answer: str
    request_id: str
    elapsed_ms: int | None = None
    next_count: int = 0
    campaign_id: int | None = None


def cast_vote(
    session: Session,
    annotator_id: int,
    submitted: SubmittedAnswer,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> CastVote:
    """Store an answer once, however often the request comes, and lease the next images.

    The story of a vote, in one write transaction:

    1. Load the vote context, with the image's consensus row locked (`load_vote_context`). If the
       request has already stored its vote, return that vote and go to step 6.
    2. Check that the person may answer. They may if they hold the image. They also may if their
       lease has expired and the image is still open or gold, or if they change an earlier answer.
       An image stays in their hands if they change to another campaign, as in a pause, and if its
       campaign ends or is deactivated. Only earlier answers can no longer be changed then. Undo
       still takes one back (`undo_vote`), and its image is in hand again.
    3. Supersede the person's earlier vote on the image, if there is one.
    4. Insert the vote. The trigger `vote_ends_lease` deletes the person's lease, and the trigger
       on that delete (`lease_lets_go`; on PostgreSQL `lease_holds`) updates
       `Consensus.leased_until`. See `models.voting.Lease`.
    5. Derive the consensus of the image and write it (`consensus.derivation.write_derived`). An
       exercise of the qualification does not count and skips this step.
    6. Lease the next `next_count` images of the campaign in which the person labels now
       (`assignment.leases.lease_more`).

    Raises:
        InvalidInput: an unknown answer, or a malformed `request_id` or `elapsed_ms`.
        NotFound: the campaign has no such image, or the image is broken.
        Conflict: the `request_id` belongs to another vote, or the campaign of the earlier answer
            has ended.
        StaleLease: the lease has expired and the image is no longer needed.
        Forbidden: the image was never assigned to this person.
    """
    now = now or utc_now()
    _check(submitted)
    context = load_vote_context(
        session,
        annotator_id,
        submitted.image_id,
        submitted.request_id,
        submitted.campaign_id,
        now=now,
    )
    if context is None:
        raise NotFound(_("Image %(image)s is not part of the campaign.", image=submitted.image_id))
    if context.stored is None:
        vote = _store_vote(session, context, submitted, now)
    else:
        vote = _replay(context.stored, annotator_id, submitted)
    next_images = _next_images(session, context, submitted.next_count, settings, now)
    return replace(vote, next_images=next_images)


def _next_images(
    session: Session, context: VoteContext, count: int, settings: Settings, now: datetime
) -> list[LeasedImage]:
    """Step 6 of `cast_vote`. The campaign of the vote need not be the person's current one."""
    annotator: AnnotatorState | None = context.annotator
    if not context.only_one:
        annotator = load_annotator_state(session, context.annotator.annotator_id, now=now)
    if annotator is None:
        return []
    return lease_more(session, annotator, count, settings=settings, now=now)


def _store_vote(
    session: Session, context: VoteContext, submitted: SubmittedAnswer, now: datetime
) -> CastVote:
    """Steps 2 to 5 of `cast_vote`: check, supersede, insert, and derive the consensus."""
    presentation = _presentation_if_allowed(context, now)
    person = context.annotator.annotator_id
    elapsed = submitted.elapsed_ms
    values = {
        "campaign_id": context.annotator.campaign_id,
        "image_id": submitted.image_id,
        "annotator_id": person,
        "answer": as_seen(submitted.answer, presentation["mirrored"]),
        "request_id": submitted.request_id,
        "elapsed_ms": None if elapsed is None else min(elapsed, MAX_ELAPSED_MS),
        "created_at": now,
        **presentation,
    }
    if context.own is not None:
        _supersede_current(session, values, now)
    vote_id = _insert_vote(session, values, now)
    if vote_id is None:
        return _replay(_stored(session, submitted.request_id), person, submitted)
    if values["mode"] not in NOT_COUNTED:
        _count_vote(session, context, values, now)
    return CastVote(vote_id, values["campaign_id"], submitted.image_id, submitted.answer, True, now)


def _count_vote(
    session: Session, context: VoteContext, values: dict[str, Any], now: datetime
) -> None:
    """Derive the consensus of the image from its other votes and this one."""
    others = [vote for vote in context.facts.votes if vote.annotator_id != values["annotator_id"]]
    mine = CountedVote(values["annotator_id"], values["answer"], values["shown_label"])
    facts = replace(context.facts, votes=[*others, mine])
    write_derived(session, facts, context.annotator_model, now)


def last_vote(session: Session, annotator_id: int) -> Vote | None:
    """The person's newest vote that counts, which undo takes back; None without one."""
    return next(iter(recent_votes(session, annotator_id, 1)), None)


def recent_votes(session: Session, annotator_id: int, n: int) -> Sequence[Vote]:
    """The person's newest `n` votes that count in their current campaign, the newest first."""
    here = current_campaign_of(annotator_id, utc_now())
    return session.scalars(
        select(Vote)
        .where(Vote.annotator_id == annotator_id, Vote.campaign_id == here, Vote.counts)
        .order_by(Vote.id.desc())
        .limit(n)
    ).all()


def supersede_votes_on(
    session: Session, image_ids: Sequence[int], *, now: datetime | None = None
) -> None:
    """Supersede all votes on some images, because their files have changed."""
    if image_ids:
        session.execute(
            update(Vote)
            .where(Vote.image_id.in_(image_ids), Vote.superseded_at.is_(None))
            .values(superseded_at=now or utc_now())
            .execution_options(synchronize_session=False)
        )


def _check(submitted: SubmittedAnswer) -> None:
    if submitted.answer not in ANSWERS:
        raise InvalidInput(
            _(
                "%(given)r is not an answer. Allowed: %(allowed)s.",
                given=submitted.answer,
                allowed=", ".join(ANSWERS),
            )
        )
    request_id, elapsed = submitted.request_id, submitted.elapsed_ms
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise InvalidInput(
            _("request_id: use 8 to 36 letters, digits, '-' or '_', such as a UUID.")
        )
    whole = isinstance(elapsed, int) and not isinstance(elapsed, bool)
    if elapsed is not None and (not whole or elapsed < 0):
        raise InvalidInput(_("elapsed_ms: enter a whole number of milliseconds, 0 or more."))


def _presentation_if_allowed(context: VoteContext, now: datetime) -> dict[str, Any]:
    """The presentation columns of the new vote.

    Raises:
        Forbidden, StaleLease, Conflict: the person may not answer; see `cast_vote`.
    """
    lease, own = context.lease, context.own
    if lease is None and own is not None and not context.changeable:
        raise Conflict(_("This campaign has ended. Your earlier answer stays as it is."))
    seen = lease or own
    if seen is None:
        raise Forbidden(_("This image is not assigned to you. Request the next images first."))
    late = lease is not None and lease.expires_at <= now and own is None
    if late and context.status != "open" and context.facts.gold is None:
        raise StaleLease(
            _(
                "Your time for this image is over, and other people have answered it in the "
                "meantime."
            )
        )
    return presentation_values(seen)


def _insert_vote(session: Session, vote: dict[str, Any], now: datetime) -> int | None:
    """The new id; None if a concurrent transaction has stored the vote of the same request."""
    statement = _insert_statement(is_sqlite(session))
    vote_id: int | None = connection_of(session).scalar(statement, vote)
    if vote_id is None and _stored(session, vote["request_id"]) is None:
        # The same person answered the same image in another window at the same time.
        _supersede_current(session, vote, now)
        vote_id = connection_of(session).scalar(statement, vote)
    return vote_id


@built_once
def _insert_statement(on_sqlite: bool) -> Any:
    table = Vote.__table__
    return insert_into(table, on_sqlite).on_conflict_do_nothing().returning(table.c.id)


def _replay(stored: Any, annotator_id: int, submitted: SubmittedAnswer) -> CastVote:
    """The vote that an earlier request with the same `request_id` stored.

    Raises:
        Conflict: it is the vote of another answer, image or person.
    """
    same = stored is not None and (
        stored.annotator_id == annotator_id
        and stored.image_id == submitted.image_id
        and as_seen(stored.answer, stored.mirrored) == submitted.answer
    )
    if not same:
        raise Conflict(_("This request_id belongs to another vote. Use a new one for each vote."))
    return CastVote(
        stored.id,
        stored.campaign_id,
        submitted.image_id,
        submitted.answer,
        False,
        stored.created_at,
    )


def _stored(session: Session, request_id: str) -> Vote | None:
    return session.scalar(select(Vote).where(Vote.request_id == request_id))


def _supersede_current(session: Session, vote: dict[str, Any], now: datetime) -> None:
    session.execute(
        update(Vote)
        .where(
            Vote.campaign_id == vote["campaign_id"],
            Vote.annotator_id == vote["annotator_id"],
            Vote.image_id == vote["image_id"],
            Vote.superseded_at.is_(None),
        )
        .values(superseded_at=now)
        .execution_options(synchronize_session=False)
    )


def undo_vote(
    session: Session,
    annotator_id: int,
    vote_id: int,
    *,
    settings: Settings,
    mode: str = "single",
    now: datetime | None = None,
) -> LeasedImage:
    """Take back a vote and lease the image to the same person again, presented as before.

    A repeated undo changes nothing and returns the same. Undo also works in a campaign that has
    ended or is not active: who mistyped just before the end gets the image back, and people may
    answer what they hold. Only an archived campaign stays as it is.

    Parameters:
        mode: `single` presents the image alone, `grid` on the verify grid.

    Raises:
        NotFound: no such vote.
        Forbidden: it is somebody else's vote.
        Conflict: the person has answered the image again since, the vote was an exercise, or its
            campaign is archived.
    """
    now = now or utc_now()
    vote = session.get(Vote, vote_id)
    if vote is None:
        raise NotFound(_("There is no vote %(vote)s.", vote=vote_id))
    if vote.annotator_id != annotator_id:
        raise Forbidden(_("This is somebody else's vote. You can undo only your own votes."))
    if vote.mode in NOT_COUNTED:
        raise Conflict(
            _(
                "You have already seen the correct answer. Answers of the qualification cannot be "
                "undone."
            )
        )
    if session.scalar(select(Campaign.archived_at).where(Campaign.id == vote.campaign_id)):
        raise Conflict(_("This campaign is archived. Its answers can no longer be changed."))
    lock_image(session, vote.campaign_id, vote.image_id)
    session.refresh(vote)
    if vote.superseded_at is None:
        vote.superseded_at = now
        session.flush()
        recount(session, vote.campaign_id, [vote.image_id], now=now)
    elif _current(session, vote) is not None:
        raise Conflict(_("You have answered this image again since then. Undo the newer answer."))
    presentation = {
        **presentation_values(vote),
        "mode": mode,
        "shown_probability": _shown_probability(session, vote),
    }
    again = {"image_id": vote.image_id, **presentation}
    write_leases(session, vote.campaign_id, annotator_id, [again], settings, now)
    lease = find_lease(session, vote.campaign_id, annotator_id, vote.image_id)
    assert lease is not None
    return lease


def _shown_probability(session: Session, vote: Vote) -> float | None:
    """The probability beside the shown label. An inserted label has that of the current run."""
    if vote.shown_label is None:
        return None
    run = vote.shown_run_id or current_run_of(vote.campaign_id)
    row = session.execute(
        select(Proposal.p_left, Proposal.p_center, Proposal.p_right).where(
            Proposal.model_run_id == run, Proposal.image_id == vote.image_id
        )
    ).one_or_none()
    return max(row) if row else None


def _current(session: Session, vote: Vote) -> Vote | None:
    return session.scalar(
        select(Vote).where(
            Vote.campaign_id == vote.campaign_id,
            Vote.annotator_id == vote.annotator_id,
            Vote.image_id == vote.image_id,
            Vote.superseded_at.is_(None),
        )
    )
