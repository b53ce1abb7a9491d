"""The page of the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, request

from labeler.accounts.service import list_names
from labeler.audit import log
from labeler.audit.log import LoggedEvent
from labeler.web import access
from labeler.web.context import Page, db, render
from labeler.web.converters import MAX_ID

bp = Blueprint("audit", __name__, url_prefix="/admin")


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event of the list, in words."""

    at: datetime
    actor: str
    what: str
    subject: str
    details: str
    address: str


@dataclass(frozen=True, slots=True)
class AuditPage(Page):
    """Events, the newest first. `older`: the id to go on with, None at the end."""

    template = "audit/audit.html"
    events: list[EventRow]
    actions: dict[str, str]
    people: dict[int, str]
    action: str
    person: int
    older: int | None
    address_days: int = log.ADDRESS_DAYS


@bp.get("/audit")
@access.only("admin")
def show() -> tuple[str, int]:
    """The audit log; with `action=CODE` or `person=ID` a part of it."""
    action = request.args.get("action", "")
    person, before = _number("person"), _number("before")
    with db().read() as session:
        events = log.list_events(
            session,
            action=action if action in log.ACTIONS else None,
            annotator_id=person or None,
            before=before or None,
            limit=log.PAGE + 1,
        )
        people = list_names(session)
    shown = events[: log.PAGE]
    older = shown[-1].event.id if len(events) > log.PAGE else None
    rows = [_row(one) for one in shown]
    return render(AuditPage(rows, log.ACTIONS, people, action, person, older))


def _number(name: str) -> int:
    found = request.args.get(name, 0, type=int)
    return found if 0 < found <= MAX_ID else 0


def _row(one: LoggedEvent) -> EventRow:
    event = one.event
    subject = one.subject if event.subject_kind == "account" else ""
    if not subject and event.subject_kind:
        subject = f"{event.subject_kind} {event.subject_id}"
    return EventRow(
        event.at,
        one.actor,
        one.words,
        subject,
        log.write_details(event.details),
        event.address or "",
    )
