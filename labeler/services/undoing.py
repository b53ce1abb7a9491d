"""Taking back a vote."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.config import Settings
from labeler.errors import Conflict, Forbidden, NotFound
from labeler.models import NOT_COUNTED, Proposal, Vote, utc_now
from labeler.services.assigning import find_lease, write_leases
from labeler.services.consensus import current_run_of, lock_image, recount
from labeler.services.viewing import LeasedImage, view_values


def undo_vote(
    session: Session,
    annotator_id: int,
    vote_id: int,
    *,
    settings: Settings,
    mode: str = "single",
    now: datetime | None = None,
) -> LeasedImage:
    """Take back a vote and assign the image to the same person again, shown as it was.

    Parameters:
        mode: how the image is shown again: `single`, alone, or `grid`, on the verify grid.

    Undoing what has been undone already changes nothing and answers the same.

    Raises:
        NotFound: no such vote.
        Forbidden: somebody else's vote.
        Conflict: the person has answered the image anew since, or it was an exercise.
    """
    now = now or utc_now()
    vote = session.get(Vote, vote_id)
    if vote is None:
        raise NotFound(f"There is no vote {vote_id}.")
    if vote.annotator_id != annotator_id:
        raise Forbidden("This is somebody else's vote. You can undo only your own votes.")
    if vote.mode in NOT_COUNTED:
        raise Conflict(
            "You have already seen the correct answer. Answers of the qualification cannot be "
            "undone."
        )
    lock_image(session, vote.campaign_id, vote.image_id)
    session.refresh(vote)
    if vote.superseded_at is None:
        vote.superseded_at = now
        session.flush()
        recount(session, vote.campaign_id, [vote.image_id], now=now)
    elif _current(session, vote) is not None:
        raise Conflict("You have answered this image again since then. Undo the newer answer.")
    seen = {
        **view_values(vote),
        "mode": mode,
        "shown_probability": _how_probable(session, vote),
    }
    again = {"image_id": vote.image_id, **seen}
    write_leases(session, vote.campaign_id, annotator_id, [again], settings, now)
    lease = find_lease(session, vote.campaign_id, annotator_id, vote.image_id)
    assert lease is not None
    return lease


def _how_probable(session: Session, vote: Vote) -> float | None:
    """What stood beside the label that was shown; a planted one borrows the current run's."""
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
