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
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.web import access, confirmation, request_fields
from labeler.web.confirmation import Undo
from labeler.web.context import Page, account, actor, db, render, render_problem, site_address

bp = Blueprint("person_account", __name__, url_prefix="/admin")
NEW_RESET_LINK = "new_reset_link"  # in the cookie: person and link, until their page has shown it
HAS_ROLE = {
    "annotator": mark("%(name)s is an annotator now."),
    "supervisor": mark("%(name)s is a supervisor now."),
    "admin": mark("%(name)s is an admin now."),
}
GIVE_ROLE = {
    "annotator": mark("Make %(name)s an annotator"),
    "supervisor": mark("Make %(name)s a supervisor"),
    "admin": mark("Make %(name)s an admin"),
}
ASK_ROLE = {
    "annotator": mark("Make %(name)s an annotator?"),
    "supervisor": mark("Make %(name)s a supervisor?"),
    "admin": mark("Make %(name)s an admin?"),
}
GIVE_ROLE_AGAIN = {
    "annotator": mark("Make %(name)s an annotator again"),
    "supervisor": mark("Make %(name)s a supervisor again"),
    "admin": mark("Make %(name)s an admin again"),
}
ROLE_MEANING = {
    "annotator": mark("An annotator labels images and sees no page under “Manage”."),
    "supervisor": mark(
        "A supervisor sees all votes, changes campaigns and gold questions, decides "
        "contested images and pauses people."
    ),
    "admin": mark(
        "An admin can do everything a supervisor can. Admins also invite people, close "
        "accounts and change roles, yours too."
    ),
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
@access.asks_password(mark("change a role"), "people.people")
def set_role(annotator_id: int) -> Response | tuple[str, int]:
    """Change the role of a person."""
    role = request_fields.text("role")
    if not confirmation.is_given():
        with db().read() as session:
            forecast = accounts.forecast_role(session, annotator_id, role)
        if role == forecast.role:
            return _back(
                annotator_id,
                _(
                    "%(username)s has the role %(role)s already.",
                    username=forecast.username,
                    role=_(role),
                ),
            )
        return _ask_role(forecast, role)
    with db().write() as session:
        former = accounts.get_person(session, annotator_id).role
        change = accounts.set_role(session, annotator_id, role, actor())
    person = change.annotator
    said = _(
        "%(username)s now has the role %(role)s.", username=person.username, role=_(person.role)
    )
    address = url_for("person_account.set_role", annotator_id=annotator_id)
    button = _(GIVE_ROLE_AGAIN[former], name=person.username)
    undo = Undo(address, button, {"role": former}) if former != person.role else None
    return _back(annotator_id, said + _revoked(change), undo)


@bp.post("/people/<id:annotator_id>/deactivate")
@access.only("admin")
@access.asks_password(mark("close an account"), "people.people")
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
        _("The account of %(name)s is closed. Its votes stay.", name=name) + _revoked(change),
        Undo(address, _("Reopen the account of %(name)s", name=name)),
    )


@bp.post("/people/<id:annotator_id>/reactivate")
@access.only("admin")
@access.asks_password(mark("reopen an account"), "people.people")
def reactivate(annotator_id: int) -> Response:
    """Reopen a closed account."""
    with db().write() as session:
        person = accounts.reactivate(session, annotator_id, actor())
    return _back(
        annotator_id, _("The account of %(username)s is open again.", username=person.username)
    )


@bp.get("/people/<id:annotator_id>/anonymise")
@access.only("admin")
def confirm_anonymise(annotator_id: int) -> tuple[str, int]:
    """What anonymising an account does, and the form to confirm it."""
    return render(_anonymise_page(annotator_id))


@bp.post("/people/<id:annotator_id>/anonymise")
@access.only("admin")
@access.asks_password(mark("anonymise an account"), "people.people")
def anonymise(annotator_id: int) -> Response:
    """Erase the name of a person for good. The votes stay."""
    page = _anonymise_page(annotator_id)
    if request_fields.text("username").strip() != page.username:
        error = InvalidInput(
            _("Enter the user name %(username)s to confirm.", username=page.username)
        )
        return render_problem(dataclasses.replace(page, problem=error.message), error)
    with db().write() as session:
        person = accounts.anonymise(session, annotator_id, actor())
    return _back(
        annotator_id,
        _("The account is now called %(username)s. Its votes stay.", username=person.username),
    )


@bp.post("/people/<id:annotator_id>/reset-link")
@access.only("admin")
@access.asks_password(mark("create a link for a new password"), "people.people")
def create_reset_link(annotator_id: int) -> Response:
    """Create a link for a new password. The admin's own cookie brings it, so it is shown once."""
    if annotator_id == account().id:
        raise Conflict(_("Change your own password on the page “Account”."))
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
    """Say how many links were revoked, as one more sentence; "" if none."""
    if not change.revoked_links:
        return ""
    return " " + ngettext(
        "One open invite link of this person was revoked.",
        "%(num)s open invite links of this person were revoked.",
        change.revoked_links,
    )


def _ask_role(forecast: AccountForecast, role: str) -> tuple[str, int]:
    """Ask before a role changes."""
    name = forecast.username
    effects = [f"{_(HAS_ROLE[forecast.role], name=name)} {_(ROLE_MEANING[role])}"]
    if forecast.links:
        effects.append(_links_lost(forecast))
    effects.append(
        ngettext(
            "The %(num)s vote of %(name)s stays as it is.",
            "The %(num)s votes of %(name)s stay as they are.",
            forecast.votes,
            name=name,
        )
    )
    button = _(GIVE_ROLE[role], name=name)
    return confirmation.ask(_(ASK_ROLE[role], name=name), effects, button, _page(forecast))


def _ask_closing(forecast: AccountForecast) -> tuple[str, int]:
    """Ask before an account is closed."""
    name = forecast.username
    effects = [
        ngettext(
            "%(name)s can no longer sign in, and is signed out of %(num)s browser.",
            "%(name)s can no longer sign in, and is signed out of %(num)s browsers.",
            forecast.browsers,
            name=name,
        ),
        ngettext(
            "%(num)s image that %(name)s has open can no longer be answered. Other people get it.",
            "%(num)s images that %(name)s has open can no longer be answered. Other people get "
            "them.",
            forecast.held,
            name=name,
        )
        if forecast.held
        else _("%(name)s has no image open.", name=name),
        ngettext(
            "The %(num)s vote of %(name)s stays and still counts.",
            "The %(num)s votes of %(name)s stay and still count.",
            forecast.votes,
            name=name,
        ),
    ]
    if forecast.links:
        effects.append(_links_lost(forecast))
    effects.append(_("You can reopen the account at any time. The same password then works."))
    return confirmation.ask(
        _("Close the account of %(name)s?", name=name),
        effects,
        _("Close the account"),
        _page(forecast),
    )


def _page(forecast: AccountForecast) -> str:
    return url_for("person.show", annotator_id=forecast.annotator_id)


def _links_lost(forecast: AccountForecast) -> str:
    return ngettext(
        "%(num)s open invite link of %(name)s will be revoked. It cannot be restored.",
        "%(num)s open invite links of %(name)s will be revoked. They cannot be restored.",
        forecast.links,
        name=forecast.username,
    )
