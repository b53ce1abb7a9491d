"""The qualification: annotators answer gold questions and are told the right answer afterwards.

A round has `Rules.training` gold images, or all of them if there are fewer. Each change of the
person's status begins a round (`campaigns.participation`). The first answer to each image counts.
People who are right often enough start to work. The others get another round with gold images that
they have not seen, and from the start again once all have been used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.orm import Session

from labeler.assignment.annotator_state import AnnotatorState, load_annotator_state
from labeler.assignment.leases import find_lease, write_leases
from labeler.assignment.presentation import LeasedImage, Presentation
from labeler.campaigns.participation import PresentRound, RoundResult, present_round, set_status
from labeler.config import Settings
from labeler.consensus.store import recount
from labeler.errors import Conflict, NotFound
from labeler.models import NOT_COUNTED, Consensus, Gold, Image, Lease, Participation, Vote, utc_now
from labeler.voting.service import CastVote, SubmittedAnswer, cast_vote

MODE = "training"


@dataclass(frozen=True, slots=True)
class Round:
    """How far the present round is: images asked for, answered, and answered rightly.

    `number`: as in `Participation.round_number`.
    """

    asked: int
    answered: int
    right: int
    number: int = 0

    def needed(self, pass_share: float) -> int:
        """How many right answers end the training."""
        return math.ceil(pass_share * self.asked - 1e-9)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a person is told after an exercise.

    `verdict`: how the round went, if this was its last answer; `passed`: the training is over.
    """

    image: Image
    answer: str
    label: str
    explanation: str
    verdict: str
    passed: bool

    @property
    def is_right(self) -> bool:
        return self.answer == self.label


def next_exercise(
    session: Session, annotator_id: int, *, settings: Settings, now: datetime | None = None
) -> LeasedImage | None:
    """Hand the next exercise to a person in training; None if they are not, or are paused.

    The one that they hold comes again. Without any gold image that can be shown the training is
    over. Needs a write transaction.
    """
    now = now or utc_now()
    annotator = load_annotator_state(session, annotator_id)
    if annotator is None or not annotator.open or annotator.standing != "training":
        return None
    present = present_round(session, annotator.campaign_id, annotator_id)
    image_id = _held(session, annotator) or _choose(session, annotator, present)
    if image_id is None:
        reason = "There were no gold questions for the qualification."
        _set_status(session, annotator, "working", reason, RoundResult(present.number), now)
        return None
    # Never mirrored: the explanation speaks of the picture as it is.
    row = {"image_id": image_id, **asdict(Presentation(mode=MODE, blind=True))}
    write_leases(session, annotator.campaign_id, annotator_id, [row], settings, now)
    return find_lease(session, annotator.campaign_id, annotator_id, image_id)


def answer_exercise(
    session: Session,
    annotator_id: int,
    submitted: SubmittedAnswer,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> CastVote:
    """Store the answer to an exercise; the last one of a round ends it.

    Needs a write transaction.

    Raises:
        Conflict: it is answered already, and what is right has been told; no campaign is active.
        As `cast_vote`.
    """
    now = now or utc_now()
    annotator = load_annotator_state(session, annotator_id)
    if annotator is None:
        raise Conflict("No campaign is active any more.")
    if not _is_asked(session, annotator, submitted):
        raise Conflict("You have already seen the correct answer. Continue with the next image.")
    vote = cast_vote(session, annotator_id, replace(submitted, then=0), settings=settings, now=now)
    if vote.created:
        # An answer given at work may have been superseded, when the gold images were used up.
        recount(session, annotator.campaign_id, [submitted.image_id], now=now)
        _end_round(session, annotator, vote.vote_id, now)
    return vote


def read_round(session: Session, annotator: AnnotatorState) -> Round:
    """How far the person is in the present round."""
    present = present_round(session, annotator.campaign_id, annotator.annotator_id)
    first: dict[int, str] = {}
    right = _gold_labels(session, annotator)
    for image_id, answer in _answers_in(session, annotator, present):
        first.setdefault(image_id, answer)
    counted = {image_id: answer for image_id, answer in first.items() if image_id in right}
    hits = sum(answer == right[image_id] for image_id, answer in counted.items())
    asked = min(annotator.rules.training, len(right))
    return Round(asked, len(counted), hits, present.number)


def read_lesson(session: Session, annotator_id: int, vote_id: int) -> Lesson:
    """What to tell about an exercise that was answered.

    Raises:
        NotFound: the person has no such vote, it was no exercise, or the image is gold no more.
    """
    row = session.execute(
        select(Vote, Image, Gold, Participation)
        .join(Image, Image.id == Vote.image_id)
        .join(Gold, _is_gold(Vote.campaign_id, Vote.image_id))
        .outerjoin(
            Participation,
            and_(
                Participation.campaign_id == Vote.campaign_id,
                Participation.annotator_id == Vote.annotator_id,
            ),
        )
        .where(Vote.id == vote_id, Vote.annotator_id == annotator_id, Vote.mode == MODE)
    ).one_or_none()
    if row is None:
        raise NotFound("This is not one of your qualification images.")
    vote, image, gold, participation = row
    ended = participation is not None and participation.ended_by_vote == vote.id
    return Lesson(
        image=image,
        answer=vote.answer,
        label=gold.label,
        explanation=gold.explanation,
        verdict=participation.reason if ended else "",
        passed=ended and participation.standing == "working",
    )


def _end_round(session: Session, annotator: AnnotatorState, vote_id: int, now: datetime) -> None:
    if annotator.standing != MODE:
        return
    done = read_round(session, annotator)
    if done.answered < done.asked:
        return
    needed = done.needed(annotator.rules.pass_share)
    verdict = f"{done.right} of {done.asked} right"
    result = RoundResult(done.number, vote_id)
    if done.right >= needed:
        passed = f"{verdict}. You have passed the qualification."
        _set_status(session, annotator, "working", passed, result, now)
    else:
        another = f"{verdict}. You need {needed}. Another round follows."
        _set_status(session, annotator, MODE, another, result, now)


def _set_status(
    session: Session,
    annotator: AnnotatorState,
    status: str,
    reason: str,
    result: RoundResult,
    now: datetime,
) -> None:
    """Write what the qualification decides, unless a supervisor has decided meanwhile."""
    set_status(
        session,
        annotator.campaign_id,
        annotator.annotator_id,
        status,
        reason=reason,
        result=result,
        now=now,
    )


def _is_asked(session: Session, annotator: AnnotatorState, submitted: SubmittedAnswer) -> bool:
    """The person holds the image as an exercise, or has sent this very answer before."""
    held = find_lease(session, annotator.campaign_id, annotator.annotator_id, submitted.image_id)
    if held is not None and held.view.mode == MODE:
        return True
    sent = select(Vote.id).where(
        Vote.request_id == submitted.request_id, Vote.annotator_id == annotator.annotator_id
    )
    return session.scalar(sent) is not None


def _held(session: Session, annotator: AnnotatorState) -> int | None:
    """The exercise in the person's hands, run out or not, if it is one still."""
    return session.scalar(
        select(Lease.image_id)
        .join(Gold, _is_gold(Lease.campaign_id, Lease.image_id))
        .join(Consensus, _of(Lease))
        .where(
            Lease.campaign_id == annotator.campaign_id,
            Lease.annotator_id == annotator.annotator_id,
            Lease.mode == MODE,
        )
        .limit(1)
    )


def _choose(session: Session, annotator: AnnotatorState, present: PresentRound) -> int | None:
    """A gold image that was not answered in this round: new ones first, then the exercises of
    former rounds, the oldest first, and at last those that were answered at work."""
    asked = {image_id for image_id, _ in _answers_in(session, annotator, present)}
    mine = and_(
        Vote.campaign_id == Gold.campaign_id,
        Vote.image_id == Gold.image_id,
        Vote.annotator_id == annotator.annotator_id,
        Vote.superseded_at.is_(None),
    )
    seen = case((Vote.id.is_(None), 0), (Vote.mode.in_(NOT_COUNTED), 1), else_=2)
    return session.scalar(
        select(Gold.image_id)
        .join(Consensus, _of(Gold))
        .outerjoin(Vote, mine)
        .where(
            Gold.campaign_id == annotator.campaign_id,
            Gold.revoked_at.is_(None),
            Gold.image_id.not_in(asked),
        )
        .order_by(seen, func.coalesce(Vote.id, 0), Consensus.random_key)
        .limit(1)
    )


def _gold_labels(session: Session, annotator: AnnotatorState) -> Mapping[int, str]:
    """The label of each gold image that can be shown."""
    rows = session.execute(
        select(Gold.image_id, Gold.label)
        .join(Consensus, _of(Gold))
        .where(Gold.campaign_id == annotator.campaign_id, Gold.revoked_at.is_(None))
    )
    return dict(rows.all())


def _answers_in(session: Session, annotator: AnnotatorState, present: PresentRound) -> list[Any]:
    """(image_id, answer) of the exercises of a round, also superseded ones, in their order."""
    return list(
        session.execute(
            select(Vote.image_id, Vote.answer)
            .where(
                Vote.campaign_id == annotator.campaign_id,
                Vote.annotator_id == annotator.annotator_id,
                Vote.mode == MODE,
                Vote.id > present.after_vote,
            )
            .order_by(Vote.id)
        ).all()
    )


def _is_gold(campaign_id: Any, image_id: Any) -> Any:
    return and_(
        Gold.campaign_id == campaign_id, Gold.image_id == image_id, Gold.revoked_at.is_(None)
    )


def _of(table: Any) -> Any:
    """The row of `Consensus`, which an image has as long as it can be shown."""
    return and_(Consensus.campaign_id == table.campaign_id, Consensus.image_id == table.image_id)
