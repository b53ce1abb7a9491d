"""Flags on images: a person reports an image, and a supervisor settles the report.

A person has at most one open flag on an image of a campaign. Flagging again replaces its reason
and note. A flag changes no vote and no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from labeler.audit.log import Actor, record
from labeler.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyAttempts
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.images import Image
from labeler.models.people import FLAG_REASONS, ImageFlag
from labeler.models.voting import Lease, Vote

MAX_NOTE = 300
PER_HOUR = 100  # flags that a person may set
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PlacedFlag:
    """A flag, its image and who set it. `settled_by`: None while it is open."""

    flag: ImageFlag
    image: Image
    person: Annotator
    settled_by: Annotator | None = None


@dataclass(frozen=True, slots=True)
class NewFlag:
    """A flag as a person sends it. `campaign_id`: under which they were assigned the image."""

    campaign_id: int
    image_id: int
    reason: str
    note: str = ""


def flag_image(
    session: Session, annotator_id: int, new: NewFlag, *, now: datetime | None = None
) -> ImageFlag:
    """Flag an image that the person holds or has answered. Needs a write transaction.

    Raises:
        InvalidInput: an unknown reason, "other" without a note, or a note that is too long or has
            characters that cannot be shown.
        Forbidden: the person neither holds the image nor has answered it.
        TooManyAttempts: the person has flagged too many images within an hour.
    """
    now = now or utc_now()
    note = new.note.strip()
    _check(new.reason, note)
    _refuse_stranger(session, annotator_id, new)
    _refuse_too_many(session, annotator_id, now)
    flag = session.scalar(_open_flag(annotator_id, new))
    if flag is None:
        try:
            with session.begin_nested():
                flag = ImageFlag(
                    campaign_id=new.campaign_id,
                    image_id=new.image_id,
                    annotator_id=annotator_id,
                    reason=new.reason,
                    note=note,
                    created_at=now,
                )
                session.add(flag)
        except IntegrityError:  # the person flagged it in another window at the same time
            flag = session.scalars(_open_flag(annotator_id, new)).one()
    flag.reason, flag.note, flag.created_at = new.reason, note, now
    session.flush()
    return flag


def withdraw_flag(
    session: Session, flag_id: int, annotator_id: int, *, now: datetime | None = None
) -> ImageFlag:
    """Withdraw an own flag; nothing happens if it is settled already.

    Raises:
        NotFound: the person has no such flag.
    """
    flag = session.get(ImageFlag, flag_id, with_for_update=True)
    if flag is None or flag.annotator_id != annotator_id:
        raise NotFound(_("You have no flag %(flag_id)s.", flag_id=flag_id))
    if flag.settled_at is None:
        flag.settled_at, flag.settled_by_id = now or utc_now(), annotator_id
        session.flush()
    return flag


def settle_flag(
    session: Session, flag_id: int, by: Actor, *, now: datetime | None = None
) -> ImageFlag:
    """Settle a flag; nothing happens if it is settled already.

    Raises:
        NotFound: no such flag.
    """
    now = now or utc_now()
    flag = _get(session, flag_id)
    if flag.settled_at is None:
        flag.settled_at, flag.settled_by_id = now, by.id
        record(session, "flag_settled", by, ("flag", flag_id), now=now, image=flag.image_id)
        session.flush()
    return flag


def reopen_flag(session: Session, flag_id: int, by: Actor) -> ImageFlag:
    """Open a settled flag again; nothing happens if it is open.

    Raises:
        NotFound: no such flag.
        Conflict: the person has withdrawn it, or has flagged the image again since.
    """
    flag = _get(session, flag_id)
    if flag.settled_at is None:
        return flag
    if flag.settled_by_id == flag.annotator_id:
        raise Conflict(_("The person has withdrawn this flag."))
    try:
        with session.begin_nested():
            flag.settled_at = flag.settled_by_id = None
            session.flush()
    except IntegrityError:
        raise Conflict(_("The person has flagged this image again since then.")) from None
    record(session, "flag_reopened", by, ("flag", flag_id), image=flag.image_id)
    return flag


def flags_of_image(session: Session, campaign_id: int, image_id: int) -> Sequence[PlacedFlag]:
    """All flags on an image of a campaign, in the order of time."""
    query = _placed().where(ImageFlag.campaign_id == campaign_id, ImageFlag.image_id == image_id)
    return _load(session, query.order_by(ImageFlag.id))


def flags_of_person(
    session: Session, annotator_id: int, campaign_id: int, *, limit: int
) -> Sequence[PlacedFlag]:
    """The open flags of a person in a campaign, the newest first."""
    query = _placed().where(
        ImageFlag.annotator_id == annotator_id,
        ImageFlag.campaign_id == campaign_id,
        ImageFlag.settled_at.is_(None),
    )
    return _load(session, query.order_by(ImageFlag.created_at.desc(), ImageFlag.id).limit(limit))


def last_vote_on(
    session: Session, campaign_id: int, image_id: int, annotator_id: int
) -> Vote | None:
    """The person's newest vote on an image, also a superseded one; None without any."""
    return session.scalar(
        select(Vote)
        .where(
            Vote.campaign_id == campaign_id,
            Vote.image_id == image_id,
            Vote.annotator_id == annotator_id,
        )
        .order_by(Vote.id.desc())
        .limit(1)
    )


def _check(reason: str, note: str) -> None:
    if reason not in FLAG_REASONS:
        allowed = ", ".join(FLAG_REASONS)
        raise InvalidInput(
            _(
                "%(reason)r is not a reason. Allowed: %(allowed)s.",
                reason=reason[:20],
                allowed=allowed,
            )
        )
    if len(note) > MAX_NOTE:
        raise InvalidInput(
            _(
                "The comment has %(count)s characters. At most %(max_note)s are allowed.",
                count=len(note),
                max_note=MAX_NOTE,
            )
        )
    if not note.isprintable():  # no database stores all of the others
        raise InvalidInput(_("The comment has a character that cannot be shown. Remove it."))
    if reason == "other" and not note:
        raise InvalidInput(_("Say in the comment what is wrong, or choose another reason."))


def _refuse_stranger(session: Session, annotator_id: int, new: NewFlag) -> None:
    def has(table: Any) -> Any:
        return exists().where(
            table.campaign_id == new.campaign_id,
            table.image_id == new.image_id,
            table.annotator_id == annotator_id,
        )

    if not session.scalar(select(has(Lease) | has(Vote))):
        raise Forbidden(_("This image is not assigned to you, and you have not answered it."))


def _refuse_too_many(session: Session, annotator_id: int, now: datetime) -> None:
    since = now - _HOUR
    counted = select(func.count()).where(
        ImageFlag.annotator_id == annotator_id, ImageFlag.created_at > since
    )
    if (session.scalar(counted) or 0) >= PER_HOUR:
        raise TooManyAttempts(
            _(
                "You have flagged %(per_hour)s images within an hour. Write a message instead, "
                "or go on later.",
                per_hour=PER_HOUR,
            ),
            int(_HOUR.total_seconds()),
        )


def _open_flag(annotator_id: int, new: NewFlag) -> Any:
    return select(ImageFlag).where(
        ImageFlag.campaign_id == new.campaign_id,
        ImageFlag.image_id == new.image_id,
        ImageFlag.annotator_id == annotator_id,
        ImageFlag.settled_at.is_(None),
    )


def _get(session: Session, flag_id: int) -> ImageFlag:
    flag = session.get(ImageFlag, flag_id, with_for_update=True)
    if flag is None:
        raise NotFound(_("There is no flag %(flag_id)s.", flag_id=flag_id))
    return flag


def _placed() -> Any:
    return (
        select(ImageFlag, Image, Annotator)
        .join(Image, Image.id == ImageFlag.image_id)
        .join(Annotator, Annotator.id == ImageFlag.annotator_id)
    )


def _load(session: Session, query: Any) -> list[PlacedFlag]:
    rows = session.execute(query).all()
    settlers = {flag.settled_by_id for flag, _, _ in rows} - {None}
    found = session.scalars(select(Annotator).where(Annotator.id.in_(settlers)))
    by_id = {one.id: one for one in found} if settlers else {}
    return [
        PlacedFlag(flag, image, person, by_id.get(flag.settled_by_id or 0))
        for flag, image, person in rows
    ]
