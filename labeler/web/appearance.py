"""Choose light or dark pages: by person when signed in, else by browser."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, flash, make_response, redirect, request, url_for

from labeler.accounts.appearance import check_appearance, save_appearance
from labeler.languages.texts import gettext as _
from labeler.web import access, request_fields
from labeler.web.browser_cookies import remember_appearance
from labeler.web.context import Page, account_or_none, db, render

bp = Blueprint("appearance", __name__)


@dataclass(frozen=True, slots=True)
class AppearancePage(Page):
    """The form. `next`: the path to go back to."""

    template = "appearance/choose.html"
    next: str


@bp.get("/appearance")
@access.public
def choose() -> tuple[str, int]:
    """The form with which everybody chooses light or dark pages."""
    return render(AppearancePage(_target(request.args.get("next", ""))))


@bp.post("/appearance")
@access.public
def save() -> Response:
    """Store the choice and go back."""
    chosen = check_appearance(request_fields.text("appearance"))
    person = account_or_none()
    response = make_response(redirect(_target(request_fields.text("next")), 303))
    if person is None:
        remember_appearance(response, chosen)
        return response
    with db().write() as session:
        save_appearance(session, person.id, chosen)
    flash(_("Your choice of light or dark has been saved."), "success")
    return response


def _target(path: str) -> str:
    return request_fields.local_address(path, url_for("home.home"))
