"""The pages of people: invites, status in the campaign, and accounts (admins only)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flask import Blueprint, flash, redirect, request, url_for
from flask import session as session_cookie
from werkzeug.wrappers import Response

from labeler.accounts import invites as accounts_invites
from labeler.accounts import service as accounts
from labeler.accounts.groups import GroupSize, list_groups
from labeler.accounts.invites import InviteStatus
from labeler.accounts.service import AccountChange, AccountForecast, Person
from labeler.campaigns import participation
from labeler.campaigns import service as campaigns
from labeler.campaigns.participation import ParticipantStatus
from labeler.errors import InvalidInput, NotFound
from labeler.models.accounts import ROLES
from labeler.progress.annotator_progress import count_votes
from labeler.web import access, confirmation, request_fields
from labeler.web.confirmation import Undo
from labeler.web.context import Page, account, actor, db, render, render_problem, settings
from labeler.web.current_campaign import campaign
from labeler.web.formatting import plural

bp = Blueprint("people", __name__, url_prefix="/admin")
ROLE_MEANING = {
    "annotator": "An annotator labels images and sees no page under “Manage”.",
    "supervisor": "A supervisor sees all votes, changes campaigns and gold questions, decides "
    "contested images and pauses people.",
    "admin": "An admin can do everything a supervisor can. Admins also invite people, close "
    "accounts and change roles, yours too.",
}
NEW_INVITE = "new_invite"  # in the cookie: number and link, until the list has shown them
STATUS_WORDS = {"training": "in qualification", "working": "working", "paused": "paused"}


@dataclass(frozen=True, slots=True)
class StatusRow:
    """The status of a person in the campaign. `flags`: findings about the votes, as sentences."""

    status: str
    words: str
    reason: str
    by_rules: bool
    changed_at: datetime | None
    flags: list[str]


@dataclass(frozen=True, slots=True)
class PersonRow:
    """An account of the list.

    `votes`: those that count in the active campaign. If none is active, those in all campaigns
    are counted, and `status` is None.
    """

    id: int
    username: str
    pseudonym: str
    role: str
    votes: int
    created_at: datetime
    last_seen_at: datetime | None
    active: bool
    anonymised: bool
    status: StatusRow | None


@dataclass(frozen=True, slots=True)
class PeoplePage(Page):
    """All accounts. `trains`: the campaign has a qualification. `manages`: admins see more."""

    template = "people/people.html"
    people: list[PersonRow]
    campaign: str
    trains: bool
    manages: bool
    roles: tuple[str, ...] = ROLES


@dataclass(frozen=True, slots=True)
class AnonymisePage(Page):
    """The question whether to anonymise an account."""

    template = "people/anonymise.html"
    id: int
    username: str
    pseudonym: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class InviteRow:
    """An invite of the list. `open`: its link still works."""

    id: int
    note: str
    role: str
    uses: int
    max_uses: int
    state: str
    open: bool
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InviteForm:
    """The values of the form for a new invite. `group`: the number of a group, or ""."""

    note: str = ""
    role: str = "annotator"
    group: str = ""
    max_uses: str = "1"
    days: str = "14"


@dataclass(frozen=True, slots=True)
class InvitesPage(Page):
    """All invites, and the groups that a new one can be for.

    `number`, `link`: those of the invite that was just created. `is_local`: the link works only on
    the machine that runs the site.
    """

    template = "people/invites.html"
    invites: list[InviteRow]
    groups: Sequence[GroupSize]
    form: InviteForm = field(default_factory=InviteForm)
    number: int = 0
    link: str = ""
    is_local: bool = False
    problem: str = ""
    roles: tuple[str, ...] = ROLES


@bp.get("/people")
@access.only("supervisor", "admin")
def people() -> tuple[str, int]:
    """The people who have an account."""
    with db().read() as session:
        found = campaigns.active_campaign(session)
        statuses = participation.list_statuses(session, found.id) if found else {}
        votes = count_votes(session, found.id if found else None)
        rows = [
            _row(person, votes.get(person.annotator.id, 0), statuses.get(person.annotator.id))
            for person in accounts.list_people(session)
        ]
    trains = found is not None and found.parsed_rules.training > 0
    name = found.name if found else ""
    return render(PeoplePage(rows, name, trains, account().role == "admin"))


@bp.post("/people/<id:annotator_id>/pause")
@access.only("supervisor", "admin")
def pause_person(annotator_id: int) -> Response:
    """Pause a person in a campaign. The person sees the reason."""
    with db().write() as session:
        participation.pause_person(
            session, campaign(session).id, annotator_id, request_fields.text("reason"), actor()
        )
    return _back("This person is paused and gets no new images. They can read the reason.")


@bp.post("/people/<id:annotator_id>/resume")
@access.only("supervisor", "admin")
def resume_person(annotator_id: int) -> Response:
    """End a pause or a qualification."""
    with db().write() as session:
        participation.resume_person(session, campaign(session).id, annotator_id, actor())
    return _back("This person can label again.")


@bp.post("/people/<id:annotator_id>/train")
@access.only("supervisor", "admin")
def train_person(annotator_id: int) -> Response:
    """Require a person to pass the qualification again."""
    with db().write() as session:
        participation.send_to_qualification(session, campaign(session).id, annotator_id, actor())
    return _back("This person has to pass the qualification before labelling.")


@bp.post("/people/<id:annotator_id>/role")
@access.only("admin")
@access.asks_password("change a role", "people.people")
def set_role(annotator_id: int) -> Response | tuple[str, int]:
    """Change the role of a person."""
    role = request_fields.text("role")
    if not confirmation.is_given():
        with db().read() as session:
            forecast = accounts.forecast_role(session, annotator_id, role)
        if role == forecast.role:
            return _back(f"{forecast.username} has the role {role} already.")
        return _ask_role(forecast, role)
    with db().write() as session:
        former = accounts.get_person(session, annotator_id).role
        change = accounts.set_role(session, annotator_id, role, actor())
    person = change.annotator
    said = f"{person.username} now has the role {person.role}.{_revoked(change)}"
    address = url_for("people.set_role", annotator_id=annotator_id)
    undo = Undo(address, f"Make {person.username} {_a(former)} again", {"role": former})
    return _back(said, undo if former != person.role else None)


@bp.post("/people/<id:annotator_id>/deactivate")
@access.only("admin")
@access.asks_password("close an account", "people.people")
def deactivate(annotator_id: int) -> Response | tuple[str, int]:
    """Close an account. Its votes stay."""
    if not confirmation.is_given():
        with db().read() as session:
            forecast = accounts.forecast_closing(session, annotator_id)
        return _ask_closing(forecast)
    with db().write() as session:
        change = accounts.deactivate(session, annotator_id, actor())
    name = change.annotator.username
    address = url_for("people.reactivate", annotator_id=annotator_id)
    return _back(
        f"The account of {name} is closed. Its votes stay.{_revoked(change)}",
        Undo(address, f"Reopen the account of {name}"),
    )


@bp.post("/people/<id:annotator_id>/reactivate")
@access.only("admin")
@access.asks_password("reopen an account", "people.people")
def reactivate(annotator_id: int) -> Response:
    """Reopen a closed account."""
    with db().write() as session:
        person = accounts.reactivate(session, annotator_id, actor())
    return _back(f"The account of {person.username} is open again.")


@bp.get("/people/<id:annotator_id>/anonymise")
@access.only("admin")
def confirm_anonymise(annotator_id: int) -> tuple[str, int]:
    """What anonymising an account does, and the form to confirm it."""
    return render(_anonymise_page(annotator_id))


@bp.post("/people/<id:annotator_id>/anonymise")
@access.only("admin")
@access.asks_password("anonymise an account", "people.people")
def anonymise(annotator_id: int) -> Response:
    """Erase the name of a person for good. The votes stay."""
    page = _anonymise_page(annotator_id)
    if request_fields.text("username").strip() != page.username:
        error = InvalidInput(f"Enter the user name {page.username} to confirm.")
        return render_problem(dataclasses.replace(page, problem=error.message), error)
    with db().write() as session:
        person = accounts.anonymise(session, annotator_id, actor())
    return _back(f"The account is now called {person.username}. Its votes stay.")


@bp.get("/invites")
@access.only("admin")
def invites() -> tuple[str, int]:
    """The invites, and the form for a new one. A link that was just created is shown once."""
    made = session_cookie.pop(NEW_INVITE, None)
    if made is None:
        return render(InvitesPage(_rows(), _groups()))
    number, link = made
    local = accounts_invites.is_local(link)
    return render(InvitesPage(_rows(), _groups(), number=number, link=link, is_local=local))


@bp.post("/invites")
@access.only("admin")
@access.asks_password("create an invite link", "people.invites")
def create_invite() -> tuple[str, int] | Response:
    """Create an invite. The site does not store its link, so the admin's own cookie brings it."""
    form = InviteForm(
        **{
            name: request_fields.text(name)
            for name in ("note", "role", "group", "max_uses", "days")
        }
    )
    try:
        uses, days = request_fields.whole("max_uses"), request_fields.whole("days")
        with db().write() as session:
            made, token = accounts_invites.create_invite(
                session,
                form.role,
                uses,
                days,
                form.note,
                actor(),
                group_id=request_fields.row_number("group") or None,
            )
            number = made.id
    except (InvalidInput, NotFound) as error:
        return render(InvitesPage(_rows(), _groups(), form, problem=error.message), error.status)
    session_cookie[NEW_INVITE] = number, _link(token)
    return redirect(url_for("people.invites"), 303)


@bp.post("/invites/<id:invite_id>/revoke")
@access.only("admin")
def revoke_invite(invite_id: int) -> Response | tuple[str, int]:
    """End an invite. Its link cannot be restored, so the site asks first."""
    if not confirmation.is_given():
        with db().read() as session:
            status = accounts_invites.get_status(session, invite_id)
        if status.state == "open":
            return _ask_revoking(status)
    with db().write() as session:
        accounts_invites.revoke_invite(session, invite_id, actor())
    flash("The link no longer works. Accounts that were created with it stay.", "success")
    return redirect(url_for("people.invites"), 303)


def _anonymise_page(annotator_id: int) -> AnonymisePage:
    with db().read() as session:
        person = accounts.get_person(session, annotator_id)
        return AnonymisePage(annotator_id, person.username, person.pseudonym)


def _revoked(change: AccountChange) -> str:
    """Say how many links were revoked; "" if none."""
    count = change.revoked_links
    if not count:
        return ""
    if count == 1:
        return " One open invite link of this person was revoked."
    return f" {count} open invite links of this person were revoked."


def _ask_role(forecast: AccountForecast, role: str) -> tuple[str, int]:
    """Ask before a role changes."""
    name = forecast.username
    effects = [f"{name} is {_a(forecast.role)} now. {ROLE_MEANING[role]}"]
    if forecast.links:
        effects.append(_links_lost(forecast))
    effects.append(f"The {_count(forecast.votes, 'vote')} of {name} stay as they are.")
    title = f"Make {name} {_a(role)}?"
    return confirmation.ask(title, effects, f"Make {name} {_a(role)}", url_for("people.people"))


def _ask_closing(forecast: AccountForecast) -> tuple[str, int]:
    """Ask before an account is closed."""
    name = forecast.username
    effects = [
        f"{name} can no longer sign in, and is signed out of "
        f"{_count(forecast.browsers, 'browser')}.",
        f"{_count(forecast.held, 'image')} that {name} has open can no longer be answered. "
        "Other people get them."
        if forecast.held
        else f"{name} has no image open.",
        f"The {_count(forecast.votes, 'vote')} of {name} stay and still count.",
    ]
    if forecast.links:
        effects.append(_links_lost(forecast))
    effects.append("You can reopen the account at any time. The same password then works.")
    return confirmation.ask(
        f"Close the account of {name}?", effects, "Close the account", url_for("people.people")
    )


def _ask_revoking(status: InviteStatus) -> tuple[str, int]:
    """Ask before an invite that still works is revoked."""
    invite = status.invite
    name = f"invite {invite.id}" + (f" for {invite.note}" if invite.note else "")
    left = _count(invite.max_uses - status.uses, "more account")
    stays = "That account stays" if status.uses == 1 else "Those accounts stay"
    effects = [
        f"The link could create {left} with the role {invite.role}. It will no longer work.",
        f"{_count(status.uses, 'account')} {'was' if status.uses == 1 else 'were'} created with "
        f"it. {stays}."
        if status.uses
        else "No account was created with it.",
        "It cannot be restored. You can create another link at any time.",
    ]
    return confirmation.ask(
        f"Revoke {name}?", effects, "Revoke the link", url_for("people.invites")
    )


def _links_lost(forecast: AccountForecast) -> str:
    links = _count(forecast.links, "open invite link")
    return f"{links} of {forecast.username} will be revoked. They cannot be restored."


def _count(number: int, word: str) -> str:
    return f"{number:,} {plural(number, word)}"


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


def _back(text: str, undo: Undo | None = None) -> Response:
    confirmation.tell(text, undo)
    return redirect(url_for("people.people"), 303)


def _row(person: Person, votes: int, status: ParticipantStatus | None) -> PersonRow:
    annotator = person.annotator
    return PersonRow(
        annotator.id,
        annotator.username,
        annotator.pseudonym,
        annotator.role,
        votes,
        annotator.created_at,
        person.last_seen_at,
        annotator.deactivated_at is None,
        annotator.removed_at is not None,
        _status_row(status) if status else None,
    )


def _status_row(found: ParticipantStatus) -> StatusRow:
    return StatusRow(
        found.status,
        STATUS_WORDS[found.status],
        found.reason,
        found.by_rules,
        found.changed_at,
        list(found.flags),
    )


def _link(token: str) -> str:
    """Return the full link, with the public address or the one that the admin uses."""
    if settings().public_url:
        return accounts_invites.invite_address(settings(), token)
    return request.host_url.rstrip("/") + url_for("accounts.join", token=token)


def _rows() -> list[InviteRow]:
    with db().read() as session:
        return [_invite_row(status) for status in accounts_invites.list_invites(session)]


def _groups() -> Sequence[GroupSize]:
    with db().read() as session:
        return list_groups(session)


def _invite_row(status: InviteStatus) -> InviteRow:
    invite = status.invite
    return InviteRow(
        invite.id,
        invite.note,
        invite.role,
        status.uses,
        invite.max_uses,
        status.state,
        status.state == "open",
        invite.created_at,
        invite.expires_at,
    )
