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
from labeler.web.person_name import PersonName, name_person

bp = Blueprint("audit", __name__, url_prefix="/admin")


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event of the list, in words. `subject`: what it concerns, if that is no person."""

    at: datetime
    actor: PersonName | None
    what: str
    person: PersonName | None
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
    return EventRow(
        event.at,
        name_person(one.actor) if one.actor else None,
        one.words,
        name_person(one.subject) if one.subject else None,
        f"{event.subject_kind} {event.subject_id}" if event.subject_kind else "",
        log.write_details(event.details),
        event.address or "",
    )
