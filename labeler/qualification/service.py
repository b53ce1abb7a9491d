"""The qualification: annotators answer gold questions and are then told the right answer.

A round has `Rules.training` gold images, or all of them if there are fewer. Each change of the
person's status begins a round (`campaigns.participation`). The first answer to each image counts.
People with enough right answers start to work. The others get another round, with gold images
that they have not seen. Once they have seen all, the images come again.

In the database and the rules the qualification has the name `training`.
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
from labeler.campaigns.participation import CurrentRound, RoundResult, current_round, set_status
from labeler.config import Settings
from labeler.consensus.store import recount
from labeler.errors import Conflict, NotFound
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.campaigns import Participation
from labeler.models.consensus import Consensus, Gold
from labeler.models.images import Image
from labeler.models.voting import NOT_COUNTED, Lease, Vote
from labeler.voting.service import CastVote, SubmittedAnswer, cast_vote

MODE = "training"


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """How far the current round is: the numbers of images asked, answered, and answered right.

    `number`: as in `Participation.round_number`.
    """

    asked: int
    answered: int
    right: int
    number: int = 0

    def needed(self, pass_share: float) -> int:
        """How many right answers pass the round, for a share `pass_share` of 0 to 1."""
        return math.ceil(pass_share * self.asked - 1e-9)


@dataclass(frozen=True, slots=True)
class ExerciseFeedback:
    """What a person is told after an exercise.

    `campaign_id`: of the exercise. `label`: the right answer. `round_result`: a sentence about the
    round if this answer ended it, else empty. `passed`: this answer ended the qualification.
    `again`: the person has another try, and must not be told the label yet.
    """

    campaign_id: int
    image: Image
    answer: str
    label: str
    explanation: str
    round_result: str
    passed: bool
    again: bool = False

    @property
    def is_right(self) -> bool:
        """Whether the answer was right."""
        return self.answer == self.label


def next_exercise(
    session: Session, annotator_id: int, *, settings: Settings, now: datetime | None = None
) -> LeasedImage | None:
    """Lease the next exercise to a person in the qualification.

    An exercise that the person already holds comes again. If no gold image can be shown, the
    qualification is over. Needs a write transaction.

    Returns:
        None if the person is not in the qualification, or the campaign or the person is paused.
    """
    now = now or utc_now()
    annotator = load_annotator_state(session, annotator_id, now=now)
    if annotator is None or not annotator.open or annotator.status != "training":
        return None
    this_round = current_round(session, annotator.campaign_id, annotator_id)
    image_id = _held_exercise(session, annotator) or _choose_exercise(
        session, annotator, this_round
    )
    if image_id is None:
        reason = "There were no gold questions for the qualification."
        _set_status(session, annotator, "working", reason, RoundResult(this_round.number), now)
        return None
    _lease_exercise(session, annotator, image_id, settings, now)
    return find_lease(session, annotator.campaign_id, annotator_id, image_id)


def _lease_exercise(
    session: Session, annotator: AnnotatorState, image_id: int, settings: Settings, now: datetime
) -> None:
    # An exercise is never mirrored: its explanation is about the unmirrored image.
    row = {"image_id": image_id, **asdict(Presentation(mode=MODE, blind=True))}
    write_leases(session, annotator.campaign_id, annotator.annotator_id, [row], settings, now)


def answer_exercise(
    session: Session,
    annotator_id: int,
    submitted: SubmittedAnswer,
    *,
    settings: Settings,
    now: datetime | None = None,
) -> CastVote:
    """Store the answer to an exercise. The last answer of a round ends the round.

    After a wrong answer the person gets the exercise again, if the rules allow another try.

    Needs a write transaction.

    Raises:
        Conflict: the exercise is already answered, so the right answer has been told; or there is
            no campaign for the person any more.
        InvalidInput, NotFound, StaleLease, Forbidden: as `cast_vote`.
    """
    now = now or utc_now()
    annotator = load_annotator_state(session, annotator_id, submitted.campaign_id, now=now)
    if annotator is None:
        raise Conflict(_("There is no campaign for you any more."))
    if not _is_asked(session, annotator, submitted):
        raise Conflict(_("You have already seen the correct answer. Continue with the next image."))
    vote = cast_vote(
        session, annotator_id, replace(submitted, next_count=0), settings=settings, now=now
    )
    if vote.created:
        # Once all gold images are used up, an exercise may supersede an answer that counted.
        recount(session, annotator.campaign_id, [submitted.image_id], now=now)
        if _has_another_try(session, annotator, submitted.image_id):
            _lease_exercise(session, annotator, submitted.image_id, settings, now)
        else:
            _end_round(session, annotator, vote.vote_id, now)
    return vote


def read_round(session: Session, annotator: AnnotatorState) -> RoundProgress:
    """How far the person is in the current round."""
    this_round = current_round(session, annotator.campaign_id, annotator.annotator_id)
    gold = _gold_labels(session, annotator)
    done = _finished(session, annotator, this_round, gold)
    asked = min(annotator.rules.training, len(gold))
    return RoundProgress(asked, len(done), sum(done.values()), this_round.number)


def read_feedback(session: Session, annotator_id: int, vote_id: int) -> ExerciseFeedback:
    """What the person is told about an exercise that they have answered.

    Raises:
        NotFound: the person has no such vote, it was no exercise, or the image is no longer gold.
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
        raise NotFound(_("This is not one of your qualification images."))
    vote, image, gold, participation = row
    ended = participation is not None and participation.ended_by_vote == vote.id
    held = find_lease(session, vote.campaign_id, annotator_id, vote.image_id)
    is_held = held is not None and held.presentation.mode == MODE
    return ExerciseFeedback(
        campaign_id=vote.campaign_id,
        image=image,
        answer=vote.answer,
        label=gold.label,
        explanation=gold.explanation,
        round_result=participation.reason if ended else "",
        passed=ended and participation.status == "working",
        again=is_held and vote.answer != gold.label,
    )


def _has_another_try(session: Session, annotator: AnnotatorState, image_id: int) -> bool:
    """Whether the person may answer an exercise again that they have just answered."""
    if annotator.status != "training":
        return False
    this_round = current_round(session, annotator.campaign_id, annotator.annotator_id)
    gold = _gold_labels(session, annotator)
    return image_id in gold and image_id not in _finished(session, annotator, this_round, gold)


def _finished(
    session: Session,
    annotator: AnnotatorState,
    this_round: CurrentRound,
    gold: Mapping[int, str],
) -> dict[int, bool]:
    """Whether each finished exercise of a round was right, by id of the image.

    It is finished by a right answer, or by as many answers as there are tries.
    """
    given: dict[int, list[str]] = {}
    for image_id, answer in _answers_in(session, annotator, this_round):
        if image_id in gold:
            given.setdefault(image_id, []).append(answer)
    tries = annotator.rules.tries
    right = {image_id: gold[image_id] in answers[:tries] for image_id, answers in given.items()}
    return {
        image_id: right[image_id]
        for image_id, answers in given.items()
        if right[image_id] or len(answers) >= tries
    }


def _end_round(session: Session, annotator: AnnotatorState, vote_id: int, now: datetime) -> None:
    if annotator.status != "training":
        return
    progress = read_round(session, annotator)
    if progress.answered < progress.asked:
        return
    needed = progress.needed(annotator.rules.pass_share)
    score = f"{progress.right} of {progress.asked} correct"
    result = RoundResult(progress.number, vote_id)
    if progress.right >= needed:
        passed = f"{score}. You have passed the qualification."
        _set_status(session, annotator, "working", passed, result, now)
    else:
        another = f"{score}. You need {needed}. Another round follows."
        _set_status(session, annotator, "training", another, result, now)


def _set_status(
    session: Session,
    annotator: AnnotatorState,
    status: str,
    reason: str,
    result: RoundResult,
    now: datetime,
) -> None:
    """Write the status that the qualification decides, unless a supervisor decided meanwhile."""
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
    """Whether the person holds the image as an exercise, or has already sent this answer."""
    held = find_lease(session, annotator.campaign_id, annotator.annotator_id, submitted.image_id)
    if held is not None and held.presentation.mode == MODE:
        return True
    sent = select(Vote.id).where(
        Vote.request_id == submitted.request_id, Vote.annotator_id == annotator.annotator_id
    )
    return session.scalar(sent) is not None


def _held_exercise(session: Session, annotator: AnnotatorState) -> int | None:
    """The image that the person holds as an exercise, even if expired; None without one."""
    return session.scalar(
        select(Lease.image_id)
        .join(Gold, _is_gold(Lease.campaign_id, Lease.image_id))
        .join(Consensus, _has_consensus(Lease))
        .where(
            Lease.campaign_id == annotator.campaign_id,
            Lease.annotator_id == annotator.annotator_id,
            Lease.mode == MODE,
        )
        .limit(1)
    )


def _choose_exercise(
    session: Session, annotator: AnnotatorState, this_round: CurrentRound
) -> int | None:
    """A gold image that the person has not finished in this round; None if there is none.

    First come images that they have never answered. Then come exercises of previous rounds, the
    oldest first, and last the images that they answered at work.
    """
    asked = _finished(session, annotator, this_round, _gold_labels(session, annotator))
    mine = and_(
        Vote.campaign_id == Gold.campaign_id,
        Vote.image_id == Gold.image_id,
        Vote.annotator_id == annotator.annotator_id,
        Vote.superseded_at.is_(None),
    )
    seen = case((Vote.id.is_(None), 0), (Vote.mode.in_(NOT_COUNTED), 1), else_=2)
    return session.scalar(
        select(Gold.image_id)
        .join(Consensus, _has_consensus(Gold))
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
    """The label of each gold image that can be shown, by id of the image."""
    rows = session.execute(
        select(Gold.image_id, Gold.label)
        .join(Consensus, _has_consensus(Gold))
        .where(Gold.campaign_id == annotator.campaign_id, Gold.revoked_at.is_(None))
    )
    return dict(rows.all())


def _answers_in(session: Session, annotator: AnnotatorState, this_round: CurrentRound) -> list[Any]:
    """(image_id, answer) of the exercises of a round in their order, superseded ones included."""
    return list(
        session.execute(
            select(Vote.image_id, Vote.answer)
            .where(
                Vote.campaign_id == annotator.campaign_id,
                Vote.annotator_id == annotator.annotator_id,
                Vote.mode == MODE,
                Vote.id > this_round.after_vote,
            )
            .order_by(Vote.id)
        ).all()
    )


def _is_gold(campaign_id: Any, image_id: Any) -> Any:
    return and_(
        Gold.campaign_id == campaign_id, Gold.image_id == image_id, Gold.revoked_at.is_(None)
    )


def _has_consensus(table: Any) -> Any:
    """The condition that joins `Consensus`. An image has a row there as long as it can be shown."""
    return and_(Consensus.campaign_id == table.campaign_id, Consensus.image_id == table.image_id)
