"""The answers of one person that count, found by a filter, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from labeler.errors import InvalidInput
from labeler.labels import ANSWERS, mirror_label
from labeler.languages.texts import gettext as _
from labeler.models.consensus import Consensus, Gold
from labeler.models.images import Image
from labeler.models.voting import NOT_COUNTED, Vote

GOLD = ("any", "right", "wrong")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerFilter:
    """The conditions that an answer has to meet. "" and False: no condition.

    Attributes:
        answer: one of `ANSWERS`.
        as_seen: `answer` is what the person pressed; else it is about the unmirrored image.
        gold: `any`: on a gold question; `right` or `wrong`: and it equals its label, or not.
        differs: names another label than the consensus.

    Raises:
        InvalidInput: an unknown word.
    """

    answer: str = ""
    as_seen: bool = False
    gold: str = ""
    differs: bool = False

    def __post_init__(self) -> None:
        for name, allowed in {"answer": ANSWERS, "gold": GOLD}.items():
            given = getattr(self, name)
            if given and given not in allowed:
                raise InvalidInput(
                    _(
                        "%(field)s=%(given)r: allowed are %(allowed)s.",
                        field=name,
                        given=given[:20],
                        allowed=", ".join(allowed),
                    )
                )


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer, its image, the consensus, and the label of the gold question if it is one."""

    vote: Vote
    image: Image
    consensus: Consensus | None
    gold: str | None


def list_answers(
    session: Session,
    annotator_id: int,
    campaign_id: int,
    wanted: AnswerFilter,
    *,
    before: int = 0,
    limit: int,
) -> Sequence[GivenAnswer]:
    """The person's answers in a campaign that count, the newest first.

    Parameters:
        before: only votes with smaller ids; 0: all.
    """
    here = Vote.campaign_id, Vote.image_id
    query = (
        select(Vote, Image, Consensus, Gold.label)
        .join(Image, Image.id == Vote.image_id)
        .outerjoin(Consensus, and_(Consensus.campaign_id == here[0], Consensus.image_id == here[1]))
        .outerjoin(
            Gold,
            and_(Gold.campaign_id == here[0], Gold.image_id == here[1], Gold.revoked_at.is_(None)),
        )
        .where(
            Vote.annotator_id == annotator_id,
            Vote.campaign_id == campaign_id,
            Vote.counts,
            *_conditions(wanted),
        )
        .order_by(Vote.id.desc())
        .limit(limit)
    )
    if before:
        query = query.where(Vote.id < before)
    return [GivenAnswer(*row) for row in session.execute(query)]


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """An answer for the person who gave it. `place`: in the order of their answers."""

    vote: Vote
    image: Image
    place: int


def list_own_answers(
    session: Session,
    annotator_id: int,
    campaign_id: int,
    *,
    answer: str = "",
    before: int = 0,
    limit: int,
) -> Sequence[OwnAnswer]:
    """The person's votes that count in a campaign, the newest image first.

    The first vote on an image gives its place. So an image whose answer is changed stays there.
    A changed answer is stored at the moment when the former one ends. A vote after an undo is not,
    and so it counts as the first again.

    Parameters:
        answer: only this answer, as the person pressed it; "" for all.
        before: only images with a smaller place; 0: all.

    Raises:
        InvalidInput: an unknown answer.
    """
    wanted = AnswerFilter(answer=answer, as_seen=True)
    mine = and_(Vote.annotator_id == annotator_id, Vote.campaign_id == campaign_id)
    ended = func.lag(Vote.superseded_at).over(partition_by=Vote.image_id, order_by=Vote.id)
    cast = (
        select(Vote.image_id, Vote.id, Vote.created_at, ended.label("former_ended"))
        .where(mine, Vote.mode.not_in(NOT_COUNTED))
        .subquery()
    )
    first = (
        select(cast.c.image_id, func.max(cast.c.id).label("place"))
        .where(cast.c.former_ended.is_distinct_from(cast.c.created_at))
        .group_by(cast.c.image_id)
        .subquery()
    )
    query = (
        select(Vote, Image, first.c.place)
        .join(first, first.c.image_id == Vote.image_id)
        .join(Image, Image.id == Vote.image_id)
        .where(mine, Vote.counts, *_conditions(wanted))
        .order_by(first.c.place.desc())
        .limit(limit)
    )
    if before:
        query = query.where(first.c.place < before)
    return [OwnAnswer(*row) for row in session.execute(query)]


def gives(answer: str, as_seen: bool) -> ColumnElement[bool]:
    """The condition that a vote has this answer.

    Parameters:
        as_seen: the answer is what the person pressed, perhaps on a mirrored image.
    """
    if not as_seen:
        return Vote.answer == answer
    return or_(
        and_(~Vote.mirrored, Vote.answer == answer),
        and_(Vote.mirrored, Vote.answer == mirror_label(answer)),
    )


def _conditions(wanted: AnswerFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.answer:
        yield gives(wanted.answer, wanted.as_seen)
    if wanted.gold:
        yield Gold.id.is_not(None)
    if wanted.gold == "right":
        yield Vote.answer == Gold.label
    if wanted.gold == "wrong":
        yield Vote.answer != Gold.label
    if wanted.differs:
        yield and_(Vote.answer != Consensus.label, Vote.answer != "unsure")
