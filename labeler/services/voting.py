"""Casting and undoing votes. Rows are only ever added or marked as superseded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, delete, select, update
from sqlalchemy.orm import Session, aliased

from labeler.config import Settings
from labeler.db import insert_or
from labeler.domain.labels import ANSWERS
from labeler.errors import Conflict, Forbidden, InvalidInput, NotFound, StaleLease
from labeler.models import Consensus, Dataset, Lease, Vote, utc_now
from labeler.services.assigning import LeasedImage, find_lease, restore_lease
from labeler.services.consensus import recount

MAX_ELAPSED_MS = 86_400_000  # a day; more is a sleeping computer and is stored as this
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,36}")


@dataclass(frozen=True, slots=True)
class CastVote:
    """The vote as it is stored. `created` False: it had been stored before under this request."""

    vote_id: int
    image_id: int
    answer: str
    created: bool
    created_at: datetime


def cast_vote(
    session: Session,
    annotator_id: int,
    *,
    image_id: int,
    answer: str,
    request_id: str,
    settings: Settings,
    elapsed_ms: int | None = None,
    now: datetime | None = None,
) -> CastVote:
    """Store an answer once, however often the request comes.

    The person must hold the image or have held it: a lease that has run out is good as long as
    the image is still open. Who has answered the image before may change their mind at any time;
    the earlier vote is superseded. Needs a write transaction.

    Raises:
        InvalidInput: an unknown answer, a malformed `request_id` or `elapsed_ms`.
        NotFound: no such image in the active data set, or it is broken.
        Conflict: the `request_id` stands for another vote.
        StaleLease: the lease has run out and the image is no longer needed.
        Forbidden: the image was never handed to this person.
    """
    now = now or utc_now()
    elapsed_ms = _validate(answer, request_id, elapsed_ms)
    row = _lock_image(session, annotator_id, image_id, request_id)
    if row.stored is not None:
        return _replay(row.stored, annotator_id, image_id, answer)
    shown = _entitlement(row.lease, row.current, row.Consensus, now)
    vote = {
        "image_id": image_id,
        "annotator_id": annotator_id,
        "answer": answer,
        "mode": "single",
        "request_id": request_id,
        "elapsed_ms": elapsed_ms,
        "created_at": now,
        **shown,
    }
    if row.current is not None:
        _supersede_current(session, annotator_id, image_id, now)
    vote_id = _insert_vote(session, vote, now)
    if vote_id is None:
        return _replay(_stored(session, request_id), annotator_id, image_id, answer)
    _drop_lease(session, annotator_id, image_id)
    recount(session, image_id, settings.required_votes, now=now)
    return CastVote(vote_id, image_id, answer, True, now)


def undo_vote(
    session: Session,
    annotator_id: int,
    vote_id: int,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> LeasedImage:
    """Take back a vote and hand the image back to the same person, shown as it was.

    Undoing what has been undone already changes nothing and answers the same.

    Raises:
        NotFound: no such vote.
        Forbidden: somebody else's vote.
        Conflict: the person has answered the image anew since.
    """
    now = now or utc_now()
    vote = session.get(Vote, vote_id)
    if vote is None:
        raise NotFound(f"There is no vote {vote_id}.")
    if vote.annotator_id != annotator_id:
        raise Forbidden("This vote is somebody else's; only your own can be undone.")
    session.execute(
        select(Consensus.image_id).where(Consensus.image_id == vote.image_id).with_for_update()
    )
    session.refresh(vote)
    if vote.superseded_at is None:
        vote.superseded_at = now
        session.flush()
        recount(session, vote.image_id, settings.required_votes, now=now)
    elif _current(session, annotator_id, vote.image_id) is not None:
        raise Conflict("You have answered this image anew since; undo the newer answer.")
    restore_lease(session, vote, settings=settings, now=now)
    lease = find_lease(session, annotator_id, vote.image_id)
    assert lease is not None
    return lease


def last_vote(session: Session, annotator_id: int) -> Vote | None:
    """The person's newest vote that counts: the one that undo takes back."""
    return next(iter(recent_votes(session, annotator_id, 1)), None)


def recent_votes(session: Session, annotator_id: int, n: int) -> Sequence[Vote]:
    """The person's newest `n` votes that count, newest first."""
    return session.scalars(
        select(Vote)
        .where(Vote.annotator_id == annotator_id, Vote.superseded_at.is_(None))
        .order_by(Vote.id.desc())
        .limit(n)
    ).all()


def supersede_votes_on(
    session: Session, image_ids: Sequence[int], *, now: datetime | None = None
) -> None:
    """Let the votes on some images no longer count: their files hold other pictures now."""
    if image_ids:
        session.execute(
            update(Vote)
            .where(Vote.image_id.in_(image_ids), Vote.superseded_at.is_(None))
            .values(superseded_at=now or utc_now())
            .execution_options(synchronize_session=False)
        )


def _validate(answer: str, request_id: str, elapsed_ms: int | None) -> int | None:
    if answer not in ANSWERS:
        raise InvalidInput(f"{answer!r} is not an answer; allowed are {', '.join(ANSWERS)}.")
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        raise InvalidInput(
            "request_id: 8 to 36 letters, digits, '-' or '_' are needed, such as a UUID."
        )
    if elapsed_ms is None:
        return None
    if not isinstance(elapsed_ms, int) or isinstance(elapsed_ms, bool) or elapsed_ms < 0:
        raise InvalidInput("elapsed_ms: a whole number of milliseconds, 0 or more, is needed.")
    return min(elapsed_ms, MAX_ELAPSED_MS)


def _lock_image(
    session: Session, annotator_id: int, image_id: int, request_id: str
) -> Row[Consensus, Lease, Vote, Vote]:
    """The consensus row, held until the commit, with all that decides about this vote.

    On PostgreSQL the joined rows may be as old as the moment before the wait for the row;
    `_insert_vote` therefore trusts the unique indexes, not what is read here.
    """
    current, stored = aliased(Vote, name="current"), aliased(Vote, name="stored")
    lease = aliased(Lease, name="lease")
    row = session.execute(
        select(Consensus, lease, current, stored)
        .join(Dataset, and_(Dataset.id == Consensus.dataset_id, Dataset.active))
        .outerjoin(
            lease,
            and_(lease.image_id == Consensus.image_id, lease.annotator_id == annotator_id),
        )
        .outerjoin(
            current,
            and_(
                current.image_id == Consensus.image_id,
                current.annotator_id == annotator_id,
                current.superseded_at.is_(None),
            ),
        )
        .outerjoin(stored, stored.request_id == request_id)
        .where(Consensus.image_id == image_id)
        .with_for_update(of=Consensus)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no image {image_id} to be labelled in the active data set.")
    return row


def _entitlement(
    lease: Lease | None, current: Vote | None, consensus: Consensus, now: datetime
) -> dict[str, Any]:
    """What the person was shown, if they may answer at all; raises otherwise."""
    seen = lease or current
    if seen is None:
        raise Forbidden("This image was not handed to you; ask for the next images first.")
    late = lease is not None and lease.expires_at <= now and current is None
    if late and consensus.status != "open":
        raise StaleLease("Your time for this image is over and others have answered it meanwhile.")
    return {
        "blind": seen.blind,
        "shown_run_id": seen.shown_run_id,
        "shown_label": seen.shown_label,
    }


def _insert_vote(session: Session, vote: dict[str, Any], now: datetime) -> int | None:
    """The new id, or None if the same request was stored by a transaction beside this one."""
    statement = insert_or(session, Vote).values(**vote).on_conflict_do_nothing().returning(Vote.id)
    vote_id: int | None = session.scalar(statement)
    if vote_id is None and _stored(session, vote["request_id"]) is None:
        # The same person answered the same image in another window at the same time.
        _supersede_current(session, vote["annotator_id"], vote["image_id"], now)
        vote_id = session.scalar(statement)
    return vote_id


def _replay(stored: Vote | None, annotator_id: int, image_id: int, answer: str) -> CastVote:
    if stored is None or (stored.annotator_id, stored.image_id, stored.answer) != (
        annotator_id,
        image_id,
        answer,
    ):
        raise Conflict("request_id stands for another vote already; make a new one for each vote.")
    return CastVote(stored.id, stored.image_id, stored.answer, False, stored.created_at)


def _stored(session: Session, request_id: str) -> Vote | None:
    return session.scalar(select(Vote).where(Vote.request_id == request_id))


def _current(session: Session, annotator_id: int, image_id: int) -> Vote | None:
    return session.scalar(
        select(Vote).where(
            Vote.annotator_id == annotator_id,
            Vote.image_id == image_id,
            Vote.superseded_at.is_(None),
        )
    )


def _supersede_current(session: Session, annotator_id: int, image_id: int, now: datetime) -> None:
    session.execute(
        update(Vote)
        .where(
            Vote.annotator_id == annotator_id,
            Vote.image_id == image_id,
            Vote.superseded_at.is_(None),
        )
        .values(superseded_at=now)
        .execution_options(synchronize_session=False)
    )


def _drop_lease(session: Session, annotator_id: int, image_id: int) -> None:
    session.execute(
        delete(Lease)
        .where(Lease.annotator_id == annotator_id, Lease.image_id == image_id)
        .execution_options(synchronize_session=False)
    )
