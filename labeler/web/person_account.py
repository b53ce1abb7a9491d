"""What admins change about an account: its role, its password, whether it is open, who it is."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from flask import Blueprint, redirect, url_for
from flask import session as session_cookie
from werkzeug.wrappers import Response

from labeler.accounts import reset_links
from labeler.accounts import service as accounts
from labeler.accounts.service import AccountChange, AccountForecast
from labeler.errors import Conflict, InvalidInput
from labeler.web import access, confirmation, request_fields
from labeler.web.confirmation import Undo
from labeler.web.context import Page, account, actor, db, render, render_problem, site_address
from labeler.web.formatting import count_words

bp = Blueprint("person_account", __name__, url_prefix="/admin")
NEW_RESET_LINK = "new_reset_link"  # in the cookie: person and link, until their page has shown it
ROLE_MEANING = {
    "annotator": "An annotator labels images and sees no page under “Manage”.",
    "supervisor": "A supervisor sees all votes, changes campaigns and gold questions, decides "
    "contested images and pauses people.",
    "admin": "An admin can do everything a supervisor can. Admins also invite people, close "
    "accounts and change roles, yours too.",
}


@dataclass(frozen=True, slots=True)
class AnonymisePage(Page):
    """The question whether to anonymise an account."""

    template = "people/anonymise.html"
    id: int
    username: str
    pseudonym: str
    problem: str = ""


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
            return _back(annotator_id, f"{forecast.username} has the role {role} already.")
        return _ask_role(forecast, role)
    with db().write() as session:
        former = accounts.get_person(session, annotator_id).role
        change = accounts.set_role(session, annotator_id, role, actor())
    person = change.annotator
    said = f"{person.username} now has the role {person.role}.{_revoked(change)}"
    address = url_for("person_account.set_role", annotator_id=annotator_id)
    undo = Undo(address, f"Make {person.username} {_a(former)} again", {"role": former})
    return _back(annotator_id, said, undo if former != person.role else None)


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
    address = url_for("person_account.reactivate", annotator_id=annotator_id)
    return _back(
        annotator_id,
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
    return _back(annotator_id, f"The account of {person.username} is open again.")


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
    return _back(annotator_id, f"The account is now called {person.username}. Its votes stay.")


@bp.post("/people/<id:annotator_id>/reset-link")
@access.only("admin")
@access.asks_password("create a link for a new password", "people.people")
def create_reset_link(annotator_id: int) -> Response:
    """Create a link for a new password. The admin's own cookie brings it, so it is shown once."""
    if annotator_id == account().id:
        raise Conflict("Change your own password on the page “Account”.")
    with db().write() as session:
        token = reset_links.create_reset_link(session, annotator_id, actor())
    session_cookie[NEW_RESET_LINK] = annotator_id, f"{site_address()}/reset/{token}"
    return _back(annotator_id)


def take_reset_link(annotator_id: int) -> str:
    """Return the link that was just created for a person, once; "" if there is none."""
    person, link = session_cookie.get(NEW_RESET_LINK) or (0, "")
    if person != annotator_id:
        return ""
    session_cookie.pop(NEW_RESET_LINK)
    return str(link)


def _back(annotator_id: int, text: str = "", undo: Undo | None = None) -> Response:
    if text:
        confirmation.tell(text, undo)
    return redirect(url_for("person.show", annotator_id=annotator_id), 303)


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
    effects.append(f"The {count_words(forecast.votes, 'vote')} of {name} stay as they are.")
    title = f"Make {name} {_a(role)}?"
    return confirmation.ask(title, effects, f"Make {name} {_a(role)}", _page(forecast))


def _ask_closing(forecast: AccountForecast) -> tuple[str, int]:
    """Ask before an account is closed."""
    name = forecast.username
    effects = [
        f"{name} can no longer sign in, and is signed out of "
        f"{count_words(forecast.browsers, 'browser')}.",
        f"{count_words(forecast.held, 'image')} that {name} has open can no longer be answered. "
        "Other people get them."
        if forecast.held
        else f"{name} has no image open.",
        f"The {count_words(forecast.votes, 'vote')} of {name} stay and still count.",
    ]
    if forecast.links:
        effects.append(_links_lost(forecast))
    effects.append("You can reopen the account at any time. The same password then works.")
    return confirmation.ask(
        f"Close the account of {name}?", effects, "Close the account", _page(forecast)
    )


def _page(forecast: AccountForecast) -> str:
    return url_for("person.show", annotator_id=forecast.annotator_id)


def _links_lost(forecast: AccountForecast) -> str:
    links = count_words(forecast.links, "open invite link")
    return f"{links} of {forecast.username} will be revoked. They cannot be restored."


def _a(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"
