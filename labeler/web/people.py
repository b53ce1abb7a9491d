"""Managing people: how they stand in the campaign, and (for admins) their accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import flash, redirect, url_for
from werkzeug.wrappers import Response

from labeler.models import ROLES
from labeler.services import accounts, campaigns, participating
from labeler.services.accounts import Person
from labeler.services.participating import Standing
from labeler.web import access, forms
from labeler.web.admin import bp
from labeler.web.chosen import campaign
from labeler.web.state import Page, account, db, render

STATES = {"training": "in qualification", "working": "working", "paused": "paused"}


@dataclass(frozen=True, slots=True)
class StandingRow:
    """How a person stands in the campaign, in words; `flags`: sentences of what looks wrong."""

    standing: str
    words: str
    reason: str
    by_rules: bool
    changed_at: datetime | None
    flags: list[str]


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One account in the list; `standing` is None where no campaign is active."""

    id: int
    username: str
    pseudonym: str
    role: str
    votes: int
    created_at: datetime
    last_seen_at: datetime | None
    active: bool
    standing: StandingRow | None


@dataclass(frozen=True, slots=True)
class PeoplePage(Page):
    """All accounts. `trains`: the campaign has a training; `manages`: may close accounts."""

    template = "admin/people.html"
    people: list[PersonRow]
    campaign: str
    trains: bool
    manages: bool
    roles: tuple[str, ...] = ROLES


@bp.get("/people")
@access.only("supervisor", "admin")
def people() -> tuple[str, int]:
    """The people who have an account."""
    with db().read() as session:
        found = campaigns.active_campaign(session)
        standings = participating.list_standings(session, found.id) if found else {}
        rows = [
            _row(person, standings.get(person.annotator.id))
            for person in accounts.list_people(session)
        ]
    trains = found is not None and found.parsed_rules.training > 0
    name = found.name if found else ""
    return render(PeoplePage(rows, name, trains, account().role == "admin"))


@bp.post("/people/<id:annotator_id>/pause")
@access.only("supervisor", "admin")
def pause_person(annotator_id: int) -> Response:
    """Pause a person in a campaign; the person reads the reason."""
    with db().write() as session:
        participating.pause_person(
            session, campaign(session).id, annotator_id, forms.text("reason"), account().id
        )
    return _back("This person is paused and gets no new images. They can read the reason.")


@bp.post("/people/<id:annotator_id>/resume")
@access.only("supervisor", "admin")
def resume_person(annotator_id: int) -> Response:
    """Ends a pause, and excuses from the training."""
    with db().write() as session:
        participating.resume_person(session, campaign(session).id, annotator_id, account().id)
    return _back("This person can label again.")


@bp.post("/people/<id:annotator_id>/train")
@access.only("supervisor", "admin")
def train_person(annotator_id: int) -> Response:
    """Send a person through the qualification again."""
    with db().write() as session:
        participating.send_to_training(session, campaign(session).id, annotator_id, account().id)
    return _back("This person has to pass the qualification before labelling.")


@bp.post("/people/<id:annotator_id>/role")
@access.only("admin")
def set_role(annotator_id: int) -> Response:
    """Change the role of a person."""
    with db().write() as session:
        person = accounts.set_role(session, annotator_id, forms.text("role"))
    return _back(f"{person.username} now has the role {person.role}.")


@bp.post("/people/<id:annotator_id>/deactivate")
@access.only("admin")
def deactivate(annotator_id: int) -> Response:
    """Deactivate an account; its votes stay."""
    with db().write() as session:
        person = accounts.deactivate(session, annotator_id)
    return _back(f"The account of {person.username} is closed. Its votes stay.")


@bp.post("/people/<id:annotator_id>/reactivate")
@access.only("admin")
def reactivate(annotator_id: int) -> Response:
    """Reactivate an account."""
    with db().write() as session:
        person = accounts.reactivate(session, annotator_id)
    return _back(f"The account of {person.username} is open again.")


def _back(text: str) -> Response:
    flash(text, "success")
    return redirect(url_for("admin.people"), 303)


def _row(person: Person, standing: Standing | None) -> PersonRow:
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
        _standing(standing) if standing else None,
    )


def _standing(found: Standing) -> StandingRow:
    return StandingRow(
        found.standing,
        STATES[found.standing],
        found.reason,
        found.by_rules,
        found.changed_at,
        list(found.flags),
    )
