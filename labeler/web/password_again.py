"""Ask for the password again before a dangerous change, if it was last entered a while ago.

The question is a form that holds all fields of the one that was sent, and it goes to the same
address. So the change goes on with the right password, and nothing has to be kept in between.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask, Response, current_app, request, url_for

from labeler.accounts import sessions
from labeler.errors import PasswordNeeded, TooManyAttempts, WrongPassword
from labeler.languages.texts import gettext as _
from labeler.web import access, confirmation, request_fields
from labeler.web.context import Page, account, db, own_address, render_problem, settings
from labeler.web.errors import wants_json

FIELD = "password_again"


@dataclass(frozen=True, slots=True)
class PasswordPage(Page):
    """The question. `fields`: names and values of the form that was sent."""

    template = "accounts/password_again.html"
    what: str
    address: str
    fields: list[tuple[str, str]]
    minutes: int
    back: str
    problem: str = ""
    field: str = FIELD


def register(app: Flask) -> None:
    """Ask before the views that `access.asks_password` marks. Register `access` first."""
    app.before_request(_ask)


def _ask() -> Response | None:
    marked = getattr(current_app.view_functions.get(request.endpoint or ""), "asks_password", None)
    if marked is None or not sessions.password_is_old(account().password_at, settings()):
        return None
    what, back = marked
    error: PasswordNeeded | WrongPassword | TooManyAttempts = PasswordNeeded(
        _("You entered your password too long ago. Send it as well.")
    )
    problem = ""
    if FIELD in request.form:
        password = request_fields.text(FIELD)
        try:
            sessions.confirm_password(db(), account().id, password, access.browser(), settings())
        except (WrongPassword, TooManyAttempts) as refused:
            error, problem = refused, refused.message
        else:
            access.renew_token()
            return None
    if wants_json():
        raise error
    return render_problem(_page(what, back, problem), error)


def _page(what: str, back: str, problem: str) -> PasswordPage:
    fields = confirmation.sent_fields()
    if confirmation.is_given():
        fields.append((confirmation.FIELD, confirmation.YES))
    minutes = settings().confirm_minutes
    return PasswordPage(what, own_address(), fields, minutes, url_for(back), problem)
