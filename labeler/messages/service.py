"""Messages: each person has one thread with the supervisors.

A message is unread until the other side has read it. Any supervisor reads for all of them. A
message is never changed; anonymising the person deletes the thread (`accounts.service.anonymise`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from labeler.audit.log import Actor, record
from labeler.errors import Conflict, Forbidden, InvalidInput, NotFound, TooManyAttempts
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.people import Message

MAX_LENGTH = 2000  # characters of a message
PER_HOUR = {"annotator": 20, "supervisor": 200, "admin": 200}  # messages that somebody may send
PAGE = 50
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class WrittenMessage:
    """A message and its author."""

    message: Message
    author: Annotator

    @property
    def by_person(self) -> bool:
        """Whether the person of the thread wrote it, and not a supervisor."""
        return self.message.author_id == self.message.annotator_id


@dataclass(frozen=True, slots=True)
class Thread:
    """A person's thread. `last`: its newest message. `unread`: by supervisors."""

    person: Annotator
    last: Message
    unread: int


def send_message(
    session: Session, annotator_id: int, text: str, by: Actor, *, now: datetime | None = None
) -> Message:
    """Add a message to the thread of a person.

    Parameters:
        annotator_id: the person of the thread.
        text: 1 to `MAX_LENGTH` characters.
        by: who writes: the person, or a supervisor.

    Raises:
        InvalidInput: the text is empty or too long.
        NotFound: no such account.
        Forbidden: the author is neither the person nor a supervisor.
        Conflict: the account was anonymised.
        TooManyAttempts: the author has sent too many messages within an hour.
    """
    now = now or utc_now()
    text = text.strip()
    if not 1 <= len(text) <= MAX_LENGTH:
        raise InvalidInput(
            _(
                "The message has %(count)s characters. Enter 1 to %(max_length)s characters.",
                count=write_number(len(text)),
                max_length=write_number(MAX_LENGTH),
            )
        )
    author = session.get(Annotator, by.id, with_for_update={"key_share": True}) if by.id else None
    if author is None or (author.id != annotator_id and author.role == "annotator"):
        raise Forbidden(_("You can write to the supervisors only, in your own thread."))
    _refuse_too_many(session, author, now)
    return tell(session, annotator_id, text, by, now=now)


def tell(
    session: Session, annotator_id: int, text: str, by: Actor, *, now: datetime | None = None
) -> Message:
    """Add a message that a change by a supervisor calls for. Limits of number do not apply.

    Raises:
        NotFound: no such account.
        Conflict: the account was anonymised.
    """
    now = now or utc_now()
    person = session.get(Annotator, annotator_id)
    if person is None:
        raise NotFound(
            _(
                "The account with the number %(annotator_id)s does not exist.",
                annotator_id=annotator_id,
            )
        )
    if person.removed_at is not None:
        raise Conflict(
            _(
                "The account %(username)r was anonymised. Nobody reads its messages.",
                username=person.username,
            )
        )
    message = Message(annotator_id=annotator_id, author_id=by.id, text=text, created_at=now)
    session.add(message)
    session.flush()
    record(session, "message_sent", by, ("account", annotator_id), now=now, message=message.id)
    return message


def list_messages(
    session: Session, annotator_id: int, *, before: int = 0, limit: int = PAGE
) -> Sequence[WrittenMessage]:
    """The newest messages of a thread, the newest first.

    Parameters:
        before: only messages with smaller ids; 0: all.
    """
    query = (
        select(Message, Annotator)
        .join(Annotator, Annotator.id == Message.author_id)
        .where(Message.annotator_id == annotator_id)
        .order_by(Message.id.desc())
        .limit(limit)
    )
    if before:
        query = query.where(Message.id < before)
    return [WrittenMessage(*row) for row in session.execute(query)]


def mark_read(
    session: Session,
    annotator_id: int,
    *,
    as_person: bool,
    up_to: int,
    now: datetime | None = None,
) -> int:
    """Mark the messages of the other side as read; returns how many were not.

    Parameters:
        as_person: the person reads; else a supervisor does.
        up_to: the id of the newest message that was shown. Later ones stay unread.
    """
    other = _by_supervisor() if as_person else _by_person()
    found = session.execute(
        update(Message)
        .where(
            Message.annotator_id == annotator_id,
            Message.id <= up_to,
            Message.read_at.is_(None),
            other,
        )
        .values(read_at=now or utc_now())
        .execution_options(synchronize_session=False)
    )
    return int(found.rowcount)  # type: ignore[attr-defined]


def count_unread(session: Session, annotator_id: int, *, supervises: bool) -> int:
    """How many messages wait for somebody: in their own thread, and those to supervisors.

    Parameters:
        supervises: messages of other people to the supervisors count too.
    """
    own = and_(Message.annotator_id == annotator_id, _by_supervisor())
    to_all = and_(Message.annotator_id != annotator_id, _by_person())
    wanted = or_(own, to_all) if supervises else own
    counted = select(func.count()).select_from(Message).where(Message.read_at.is_(None), wanted)
    return session.scalar(counted) or 0


def count_from_person(session: Session, annotator_id: int) -> int:
    """How many messages of a person no supervisor has read."""
    mine = Message.annotator_id == annotator_id, _by_person(), Message.read_at.is_(None)
    return session.scalar(select(func.count()).select_from(Message).where(*mine)) or 0


def list_threads(
    session: Session, *, without: int = 0, before: int = 0, limit: int = PAGE
) -> Sequence[Thread]:
    """The threads by their newest message, the newest first.

    Parameters:
        without: a person whose thread is left out, such as the reader's own.
        before: only threads whose newest message has a smaller id; 0: all.
    """
    unread = func.count(case((and_(Message.read_at.is_(None), _by_person()), 1)))
    threads = (
        select(func.max(Message.id).label("last"), unread.label("unread"))
        .where(Message.annotator_id != without)
        .group_by(Message.annotator_id)
        .subquery()
    )
    last = aliased(Message)
    query = (
        select(Annotator, last, threads.c.unread)
        .join(last, last.id == threads.c.last)
        .join(Annotator, Annotator.id == last.annotator_id)
        .order_by(last.id.desc())
        .limit(limit)
    )
    if before:
        query = query.where(last.id < before)
    return [Thread(*row) for row in session.execute(query)]


def _by_person() -> ColumnElement[bool]:
    return Message.author_id == Message.annotator_id


def _by_supervisor() -> ColumnElement[bool]:
    return Message.author_id != Message.annotator_id


def _refuse_too_many(session: Session, author: Annotator, now: datetime) -> None:
    limit = PER_HOUR[author.role]
    times = session.scalars(
        select(Message.created_at)
        .where(Message.author_id == author.id, Message.created_at > now - _HOUR)
        .order_by(Message.id.desc())
        .limit(limit)
    ).all()
    if len(times) < limit:
        return
    wait = max(1, int((times[-1] + _HOUR - now).total_seconds()) + 1)
    raise TooManyAttempts(
        _(
            "You have sent %(limit)s messages within an hour. Your text is still here. "
            "Send it in %(minutes)s minutes.",
            limit=limit,
            minutes=max(1, wait // 60),
        ),
        wait,
    )
