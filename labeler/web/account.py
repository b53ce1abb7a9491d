"""The own account: who one is, the password, and the browsers that are signed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, flash, redirect, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.errors import SidelightError
from labeler.models import Annotator, LoginSession
from labeler.services import accounts, browsers, sessions
from labeler.services.passwords import MIN_LENGTH
from labeler.web import access, forms
from labeler.web.state import Page, account, db, render

bp = Blueprint("account", __name__, url_prefix="/account")

_BROWSERS = ("Firefox", "Edg", "OPR", "Chromium", "Chrome", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux")


@dataclass(frozen=True, slots=True)
class BrowserRow:
    """One browser that is signed in. `current`: the one that asks."""

    id: int
    browser: str
    created_at: datetime
    last_seen_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class AccountPage(Page):
    """The own account."""

    template = "auth/account.html"
    username: str
    pseudonym: str
    role: str
    created_at: datetime
    sessions: list[BrowserRow]
    problem: str = ""
    min_password: int = MIN_LENGTH


@bp.get("")
@access.signed_in
def show() -> tuple[str, int]:
    """The person's own account: password, and browsers that are signed in."""
    return render(_account_page())


@bp.post("/password")
@access.signed_in
def change_password() -> tuple[str, int] | Response:
    """Change the password; all other browsers are signed out."""
    me = account()
    try:
        with db().write() as session:
            accounts.change_password(
                session, me.id, forms.text("current"), forms.text("new"), keep=me.token
            )
    except SidelightError as error:
        return render(_account_page(error.message), error.status)
    flash("Your password has been changed. All your other browsers are signed out.", "success")
    return redirect(url_for("account.show"), 303)


@bp.post("/sessions/<id:session_id>/revoke")
@access.signed_in
def revoke_session(session_id: int) -> Response:
    """Sign out one browser."""
    with db().write() as session:
        browsers.revoke_browser(session, account().id, session_id)
    flash("That browser has been signed out.", "success")
    return redirect(url_for("account.show"), 303)


@bp.post("/sessions/revoke-others")
@access.signed_in
def revoke_others() -> Response:
    """Sign out all browsers but this one."""
    me = account()
    with db().write() as session:
        sessions.revoke_sessions(session, me.id, keep=me.token)
    flash("All your other browsers have been signed out.", "success")
    return redirect(url_for("account.show"), 303)


def _account_page(problem: str = "") -> AccountPage:
    me = account()
    with db().read() as session:
        since = session.get_one(Annotator, me.id).created_at
        rows = _browser_rows(session, me.id, me.token)
    return AccountPage(me.username, me.pseudonym, me.role, since, rows, problem)


def _browser_rows(session: Session, annotator_id: int, token: str) -> list[BrowserRow]:
    return [
        BrowserRow(
            login.id,
            name_browser(login),
            login.created_at,
            login.last_seen_at,
            browsers.is_browser_of(login, token),
        )
        for login in browsers.list_browsers(session, annotator_id)
    ]


def name_browser(login: LoginSession) -> str:
    """Words for a browser, such as "Firefox on Linux"; the head of its own text if unknown."""
    agent = login.user_agent
    browser = next((name for name in _BROWSERS if f"{name}/" in agent), None)
    system = next((name for name in _SYSTEMS if name in agent), None)
    if browser is None or system is None:
        return agent[:40] or "Unknown browser"
    browser = {"Edg": "Edge", "OPR": "Opera"}.get(browser, browser)
    return f"{browser} on {system.replace('Mac OS X', 'Mac')}"
