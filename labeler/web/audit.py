"""The page of the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, request

from labeler.accounts.service import list_names
from labeler.audit import log
from labeler.audit.log import LoggedEvent
from labeler.jobs.kinds import KINDS
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.accounts import ROLES
from labeler.models.audit import AuditEvent
from labeler.web import access, gold
from labeler.web.campaigns.rule_fields import tell_rule
from labeler.web.context import Page, db, render
from labeler.web.converters import MAX_ID
from labeler.web.person_name import PersonName, name_person

bp = Blueprint("audit", __name__, url_prefix="/admin")
# What an event concerns, and the words of its details. They are stored in English.
SUBJECTS = {
    "account": mark("account %(number)s"),
    "campaign": mark("campaign %(number)s"),
    "dataset": mark("data set %(number)s"),
    "decision": mark("decision %(number)s"),
    "flag": mark("flag %(number)s"),
    "gold": mark("gold question %(number)s"),
    "group": mark("group %(number)s"),
    "image_import": mark("import %(number)s"),
    "invite": mark("invite %(number)s"),
    "job": mark("job %(number)s"),
    "run": mark("run %(number)s"),
    "subset": mark("subset %(number)s"),
    "turn": mark("turned head %(number)s"),
}
DETAILS = {
    "added": mark("added"),
    "again": mark("again"),
    "answers": mark("answers"),
    "browser": mark("browser"),
    "bytes": mark("bytes"),
    "campaign": mark("campaign"),
    "campaigns": mark("campaigns"),
    "changed": mark("changed"),
    "characters": mark("characters"),
    "dataset": mark("data set"),
    "days": mark("days"),
    "end": mark("end"),
    "everybody": mark("everybody"),
    "file": mark("file"),
    "former": mark("former"),
    "groups": mark("groups"),
    "hours": mark("hours"),
    "image": mark("image"),
    "images": mark("images"),
    "invite": mark("invite"),
    "kind": mark("kind"),
    "link": mark("link"),
    "max_uses": mark("max uses"),
    "message": mark("message"),
    "of": mark("of"),
    "people": mark("people"),
    "removed": mark("removed"),
    "role": mark("role"),
    "source": mark("source"),
    "start": mark("start"),
    "upload": mark("upload"),
    "votes": mark("votes"),
}
VALUES = {
    "account": mark("account"),
    "address": mark("address"),
    "all others": mark("all others"),
    "confirm": mark("confirmation of the password"),
    "device": mark("device"),
    "frozen": mark("frozen"),
    "guideline": mark("guideline"),
    "known": mark("known"),
    "live": mark("live"),
    "name": mark("name"),
    "name and guideline": mark("name and guideline"),
    "new": mark("new"),
    "none": mark("none"),
    "yes": mark("yes"),
    **{role: role for role in ROLES},
    **gold.SOURCES,
}


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
    actions = {code: _(words) for code, words in log.ACTIONS.items()}
    return render(AuditPage(rows, actions, people, action, person, older))


def _number(name: str) -> int:
    found = request.args.get(name, 0, type=int)
    return found if 0 < found <= MAX_ID else 0


def _subject(event: AuditEvent) -> str:
    """Write what an event concerns, such as `campaign 3`; "" if nothing."""
    kind = event.subject_kind
    if not kind:
        return ""
    known = SUBJECTS.get(kind)
    return _(known, number=event.subject_id) if known else f"{kind} {event.subject_id}"


def _detail(event: AuditEvent, name: str, value: object) -> tuple[str, str]:
    """Return the name of a detail and its value, in words if they are not somebody's own."""
    if event.action == "rules_changed":
        return tell_rule(name, value)
    return _(DETAILS[name]) if name in DETAILS else name.replace("_", " "), _value(event, value)


def _value(event: AuditEvent, value: object) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if not isinstance(value, str):
        return str(value)
    if event.subject_kind == "job" and value in KINDS:
        return _(KINDS[value].title)
    return _(VALUES[value]) if value in VALUES else value


def _row(one: LoggedEvent) -> EventRow:
    event = one.event
    return EventRow(
        event.at,
        name_person(one.actor) if one.actor else None,
        _(one.words),
        name_person(one.subject) if one.subject else None,
        _subject(event),
        ", ".join(": ".join(_detail(event, *one)) for one in event.details.items()),
        event.address or "",
    )
