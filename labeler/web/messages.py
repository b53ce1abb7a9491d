"""Messages between people and supervisors: the own thread, all threads, and one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Flask, redirect, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.campaigns import audience
from labeler.errors import Conflict, Forbidden, NotFound, SidelightError
from labeler.languages.stored import translate_stored
from labeler.languages.texts import gettext as _
from labeler.messages import service as messages
from labeler.messages.service import MAX_LENGTH, PAGE, Thread, WrittenMessage
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.people import Message
from labeler.progress.annotator_progress import paused_for
from labeler.returns.service import RETURNED, WITHDRAWN
from labeler.web import access, confirmation, request_fields
from labeler.web.context import (
    Page,
    account,
    account_or_none,
    actor,
    db,
    manages,
    render,
    render_problem,
)
from labeler.web.person_name import PersonName, name_person
from labeler.web.status_reasons import write_reason

bp = Blueprint("messages", __name__)


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message. `author`: None for the reader. `unread`: by the reader."""

    id: int
    author: str
    person: PersonName | None
    mine: bool
    text: str
    at: datetime
    unread: bool


@dataclass(frozen=True, slots=True)
class ThreadPage(Page):
    """A thread, the oldest message of the page first, and the field to answer.

    `person`: None for the own thread. `paused_for`: why the reader is paused, None if not.
    `older`: the address of earlier messages. `newest`: the id up to which all are shown.
    """

    template = "messages/thread.html"
    person: PersonName | None
    messages: Sequence[MessageRow]
    older: str
    newest: int
    unread: int
    send: str
    read: str
    open: bool
    paused_for: str | None = None
    text: str = ""
    problem: str = ""
    max_length: int = MAX_LENGTH


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """A thread of the list, with the beginning of its newest message."""

    person: PersonName
    address: str
    text: str
    by_person: bool
    at: datetime
    unread: int


@dataclass(frozen=True, slots=True)
class ThreadsPage(Page):
    """All threads. `next`, `first`: addresses, "" without such a page."""

    template = "messages/threads.html"
    threads: Sequence[ThreadRow]
    next: str
    first: str


@bp.get("/messages")
@access.signed_in
def own() -> tuple[str, int]:
    """The thread of the person who is signed in."""
    with db().read() as session:
        return render(_own_page(session))


@bp.post("/messages")
@access.signed_in
def send() -> Response:
    """Write to the supervisors."""
    text = request_fields.text("text")
    try:
        with db().write() as session:
            messages.send_message(session, account().id, text, actor())
    except SidelightError as error:
        with db().read() as session:
            page = _own_page(session, text, error.message)
        return render_problem(page, error)
    confirmation.tell(_("Your message is sent."))
    return redirect(url_for("messages.own"), 303)


@bp.post("/messages/read")
@access.signed_in
def read_own() -> Response:
    """Mark the messages of the own thread that were shown as read."""
    with db().write() as session:
        messages.mark_read(
            session, account().id, as_person=True, up_to=request_fields.whole("up_to")
        )
    return redirect(url_for("messages.own"), 303)


@bp.get("/admin/messages")
@access.only("supervisor", "admin")
def threads() -> tuple[str, int]:
    """The threads of all people, the one with the newest message first."""
    before = request_fields.row_number("before")
    with db().read() as session:
        found = messages.list_threads(session, without=account().id, before=before, limit=PAGE + 1)
        rows = [_thread_row(one) for one in found[:PAGE]]
    following = found[PAGE - 1].last.id if len(found) > PAGE else 0
    return render(
        ThreadsPage(
            rows,
            url_for("messages.threads", before=following) if following else "",
            url_for("messages.threads") if before else "",
        )
    )


@bp.get("/admin/people/<id:annotator_id>/messages")
@access.only("supervisor", "admin")
def thread(annotator_id: int) -> tuple[str, int]:
    """The thread of a person."""
    with db().read() as session:
        return render(_person_page(session, annotator_id))


@bp.post("/admin/people/<id:annotator_id>/messages")
@access.only("supervisor", "admin")
def send_to(annotator_id: int) -> Response:
    """Write to a person."""
    if annotator_id == account().id:
        raise Conflict(_("This is your own account. Other supervisors read the page “Messages”."))
    text = request_fields.text("text")
    try:
        with db().write() as session:
            messages.send_message(session, annotator_id, text, actor())
    except (NotFound, Forbidden):
        raise
    except SidelightError as error:
        with db().read() as session:
            page = _person_page(session, annotator_id, text, error.message)
        return render_problem(page, error)
    confirmation.tell(_("Your message is sent."))
    return redirect(url_for("messages.thread", annotator_id=annotator_id), 303)


@bp.post("/admin/people/<id:annotator_id>/messages/read")
@access.only("supervisor", "admin")
def read(annotator_id: int) -> Response:
    """Mark the messages of a person that were shown as read, for all supervisors."""
    if annotator_id == account().id:
        raise Conflict(_("Another supervisor has to read your messages."))
    with db().write() as session:
        messages.mark_read(
            session, annotator_id, as_person=False, up_to=request_fields.whole("up_to")
        )
    return redirect(url_for("messages.thread", annotator_id=annotator_id), 303)


def register(app: Flask) -> None:
    """Give the number of unread messages to the menus."""
    app.jinja_env.globals["unread_messages"] = unread_messages


def unread_messages() -> int:
    """Return how many messages wait for the person of this request."""
    if account_or_none() is None:
        return 0
    with db().read() as session:
        return messages.count_unread(session, account().id, supervises=manages())


def _own_page(session: Session, text: str = "", problem: str = "") -> ThreadPage:
    me = account()
    campaign = audience.current_campaign(session, me.id)
    return _page(
        messages.list_messages(session, me.id, before=_before(), limit=PAGE + 1),
        None,
        ("messages.own", "messages.send", "messages.read_own", {}),
        is_open=True,
        paused=_paused(session, me.id, campaign),
        typed=(text, problem),
    )


def _paused(session: Session, annotator_id: int, campaign: Campaign | None) -> str | None:
    stored = paused_for(session, annotator_id, campaign.id) if campaign is not None else None
    return None if stored is None else write_reason(stored)


def _person_page(
    session: Session, annotator_id: int, text: str = "", problem: str = ""
) -> ThreadPage:
    annotator = session.get(Annotator, annotator_id)
    if annotator is None:
        raise NotFound(
            _(
                "The account with the number %(annotator_id)s does not exist.",
                annotator_id=annotator_id,
            )
        )
    if annotator_id == account().id:
        raise Conflict(_("This is your own account. Your messages are on the page “Messages”."))
    return _page(
        messages.list_messages(session, annotator_id, before=_before(), limit=PAGE + 1),
        name_person(annotator),
        ("messages.thread", "messages.send_to", "messages.read", {"annotator_id": annotator_id}),
        is_open=annotator.removed_at is None,
        paused=None,
        typed=(text, problem),
    )


def _page(
    found: Sequence[WrittenMessage],
    person: PersonName | None,
    views: tuple[str, str, str, dict[str, Any]],
    *,
    is_open: bool,
    paused: str | None,
    typed: tuple[str, str],
) -> ThreadPage:
    show, send_view, read_view, values = views
    shown = found[:PAGE]
    rows = [_row(one, as_person=person is None) for one in reversed(shown)]
    return ThreadPage(
        person,
        rows,
        url_for(show, before=shown[-1].message.id, **values) if len(found) > PAGE else "",
        shown[0].message.id if shown else 0,
        sum(one.unread for one in rows),
        url_for(send_view, **values),
        url_for(read_view, **values),
        is_open,
        paused,
        *typed,
    )


def _row(one: WrittenMessage, *, as_person: bool) -> MessageRow:
    message = one.message
    mine = message.author_id == account().id
    incoming = one.by_person != as_person
    by_other = _("Supervisor") if as_person else ""
    return MessageRow(
        message.id,
        _("You") if mine else by_other,
        None if mine or as_person else name_person(one.author),
        mine,
        _told(message),
        message.created_at,
        incoming and message.read_at is None,
    )


def _told(message: Message) -> str:
    """The text of a message. What the program has written is told in the language of the reader."""
    if message.author_id == message.annotator_id:
        return message.text
    return translate_stored(message.text, (RETURNED, WITHDRAWN))


def _thread_row(one: Thread) -> ThreadRow:
    last = one.last
    told = _told(last)
    return ThreadRow(
        name_person(one.person),
        url_for("messages.thread", annotator_id=one.person.id),
        told if len(told) <= 120 else f"{told[:119]}…",
        last.author_id == one.person.id,
        last.created_at,
        one.unread,
    )


def _before() -> int:
    return request_fields.row_number("before")
