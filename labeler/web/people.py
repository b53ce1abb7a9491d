"""Managing people: roles, closing an account, opening it again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import flash, redirect, url_for
from werkzeug.wrappers import Response

from labeler.models import ROLES
from labeler.services import accounts
from labeler.services.accounts import Person
from labeler.web import access, forms
from labeler.web.admin import bp
from labeler.web.state import Page, db, render


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One account in the list."""

    id: int
    username: str
    pseudonym: str
    role: str
    votes: int
    created_at: datetime
    last_seen_at: datetime | None
    active: bool


@dataclass(frozen=True, slots=True)
class PeoplePage(Page):
    """All accounts."""

    template = "admin/people.html"
    people: list[PersonRow]
    roles: tuple[str, ...] = ROLES


@bp.get("/people")
@access.only("admin")
def people() -> tuple[str, int]:
    with db().read() as session:
        rows = [_row(person) for person in accounts.list_people(session)]
    return render(PeoplePage(rows))


@bp.post("/people/<id:annotator_id>/role")
@access.only("admin")
def set_role(annotator_id: int) -> Response:
    with db().write() as session:
        person = accounts.set_role(session, annotator_id, forms.text("role"))
    return _back(f"{person.username} is {person.role} now.")


@bp.post("/people/<id:annotator_id>/deactivate")
@access.only("admin")
def deactivate(annotator_id: int) -> Response:
    with db().write() as session:
        person = accounts.deactivate(session, annotator_id)
    return _back(f"The account of {person.username} is closed; the votes stay.")


@bp.post("/people/<id:annotator_id>/reactivate")
@access.only("admin")
def reactivate(annotator_id: int) -> Response:
    with db().write() as session:
        person = accounts.reactivate(session, annotator_id)
    return _back(f"The account of {person.username} is open again.")


def _back(text: str) -> Response:
    flash(text, "success")
    return redirect(url_for("admin.people"), 303)


def _row(person: Person) -> PersonRow:
    annotator = person.annotator
    return PersonRow(
        annotator.id,
        annotator.username,
        annotator.pseudonym,
        annotator.role,
        person.votes,
        annotator.created_at,
        person.last_seen_at,
        annotator.deactivated_at is None,
    )
