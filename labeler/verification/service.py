"""The verify grid: one page of images that have the same claimed label.

A *label claim* is a label and who says it: the current model run, or the votes so far. A person
confirms the claim for the whole page and marks the images for which it is wrong.

The images are open, not answered by the person, and held by nobody. The most doubtful claims come
first. Images that the person must see blind are left out, so that the blind sample stays whole.
Images are never mirrored here: one word stands above all of them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.assignment.annotator_state import AnnotatorState, load_annotator_state
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import InvalidInput, SidelightError
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.voting import Vote
from labeler.verification.candidates import (
    MODE,
    Cell,
    LabelClaim,
    claim_candidates,
    find_candidates,
    find_held_cells,
    renew_cells,
)
from labeler.voting.service import SubmittedAnswer, cast_vote, undo_vote

SIZES = (24, 36, 48, 60)
SPARE = 20  # candidates beyond the page: other people may take some before they are leased
_BATCH = re.compile(r"grid[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class UndoResult:
    """How many answers were taken back. `claim`: that of the page, None if the page was empty."""

    count: int
    claim: LabelClaim | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that was not stored, and why."""

    image_id: int
    message: str


def open_page(
    db: Database,
    annotator_id: int,
    claim: LabelClaim,
    size: int,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> list[Cell]:
    """Assign a page of `size` images to a person; fewer if fewer are left.

    Images with the same claim that the person already holds come first, with the answers from
    before an undo. The search is a read transaction. A short write transaction then checks the
    candidates again and leases them.

    Raises:
        InvalidInput: a size that is not offered.
    """
    if size not in SIZES:
        raise InvalidInput(
            _(
                "size=%(given)s; allowed: %(allowed)s.",
                given=size,
                allowed=", ".join(map(str, SIZES)),
            )
        )
    now = now or utc_now()
    with db.read() as session:
        annotator = load_annotator_state(session, annotator_id, now=now)
        if annotator is None or not annotator.works or not is_offered(annotator):
            return []
        held = find_held_cells(session, annotator, claim, size, now)
        wanted = size - len(held)
        found = find_candidates(session, annotator, claim, wanted + SPARE, now) if wanted else []
    with db.write() as session:
        renew_cells(session, annotator, held, settings=settings, now=now)
        claim_candidates(session, annotator, claim, found, wanted, settings=settings, now=now)
    with db.read() as session:
        return find_held_cells(session, annotator, claim, size, now)


def is_offered(annotator: AnnotatorState) -> bool:
    """Whether the rules let people see proposals. Without proposals there is no grid."""
    return annotator.rules.blind_to_proposals() < 1


def new_batch() -> str:
    """A new name for one page of answers."""
    return f"grid{uuid.uuid4().hex[:16]}"


def store_page(
    db: Database,
    annotator_id: int,
    batch: str,
    answers: Mapping[int, str],
    *,
    settings: Settings,
    campaign_id: int | None = None,
    now: datetime | None = None,
) -> list[Refusal]:
    """Store a vote for each image, each in its own transaction; returns the refused answers.

    The `request_id` of a vote consists of the batch and the image. So a page that is sent twice,
    or again after a failure in the middle, stores nothing twice.

    Parameters:
        batch: the name of the page, from `new_batch`.
        answers: by id of the image.
        campaign_id: the campaign in which the page was opened; None if it was not told.

    Raises:
        InvalidInput: a malformed batch, or more answers than a page has.
    """
    if not _BATCH.fullmatch(batch) or len(answers) > max(SIZES):
        raise InvalidInput(_("This page has expired. Open “Verify many images” again."))
    refusals = []
    for image_id, answer in answers.items():
        request_id = f"{batch}-{image_id}"
        submitted = SubmittedAnswer(image_id, answer, request_id, campaign_id=campaign_id)
        try:
            with db.write() as session:
                cast_vote(session, annotator_id, submitted, settings=settings, now=now)
        except SidelightError as error:
            refusals.append(Refusal(image_id, error.message))
    return refusals


def last_batch(session: Session, annotator_id: int, campaign_id: int) -> str | None:
    """The batch of the person's newest vote, which undo would take back; None without one."""
    newest = session.execute(
        select(Vote.request_id, Vote.superseded_at)
        .where(Vote.annotator_id == annotator_id, Vote.campaign_id == campaign_id)
        .order_by(Vote.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None or newest.superseded_at is not None:
        return None
    batch: str = newest.request_id.partition("-")[0]
    return batch if _BATCH.fullmatch(batch) else None


def undo_page(
    db: Database,
    annotator_id: int,
    batch: str,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> UndoResult:
    """Take back all votes of a page and lease its images to the person again.

    An image that the person has answered again since keeps the newer answer.

    Raises:
        InvalidInput: a malformed batch.
    """
    if not _BATCH.fullmatch(batch):
        raise InvalidInput(_("This is not a page of “Verify many images”."))
    with db.read() as session:
        votes = _votes_of(session, annotator_id, batch)
    for vote in votes:
        with db.write() as session:
            undo_vote(session, annotator_id, vote.id, settings=settings, mode=MODE, now=now)
    return UndoResult(len(votes), _claim_of(votes[0]) if votes else None)


def _claim_of(vote: Vote) -> LabelClaim | None:
    if vote.shown_label is None:
        return None
    return LabelClaim(vote.shown_label, "votes" if vote.shown_run_id is None else "model")


def _votes_of(session: Session, annotator_id: int, batch: str) -> Sequence[Vote]:
    """The current votes of a page, in its order. They are among the person's newest votes."""
    newest = session.scalars(
        select(Vote)
        .where(Vote.annotator_id == annotator_id)
        .order_by(Vote.id.desc())
        .limit(10 * max(SIZES))
    ).all()
    of_page = [vote for vote in newest if vote.request_id.startswith(f"{batch}-")]
    return [vote for vote in reversed(of_page) if vote.superseded_at is None]
