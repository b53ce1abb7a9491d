"""Signing in and out, and opening an account with an invite link."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from labeler.errors import Conflict, InvalidInput, SidelightError
from labeler.services import invites, sessions
from labeler.services.passwords import MIN_LENGTH
from labeler.web import access, forms
from labeler.web.state import Page, account, account_or_none, db, render, settings

bp = Blueprint("auth", __name__)

ROLE_WORDS = {
    "annotator": "an annotator",
    "supervisor": "a supervisor",
    "admin": "the administrator",
}


@dataclass(frozen=True, slots=True)
class SignInPage(Page):
    """`next`: the path to go to afterwards."""

    template = "auth/sign_in.html"
    next: str = ""
    username: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class JoinPage(Page):
    """An invite that can be used."""

    template = "auth/join.html"
    role_words: str
    expires_at: datetime
    username: str = ""
    problem: str = ""
    min_password: int = MIN_LENGTH


@bp.get("/sign-in")
@access.public
def sign_in() -> tuple[str, int] | Response:
    """The form to sign in."""
    if account_or_none() is not None:
        return redirect(_wanted(request.args.get("next", "")))
    return render(SignInPage(next=request.args.get("next", "")))


@bp.post("/sign-in", endpoint="do_sign_in")
@access.public
def do_sign_in() -> tuple[str, int] | Response:
    """Sign in with a name and a password; too many wrong ones have to wait."""
    username, wanted = forms.text("username"), forms.text("next")
    address, browser = request.remote_addr or "", request.user_agent.string
    try:
        _, token = sessions.sign_in(
            db(), username, forms.text("password"), address, browser, settings()
        )
    except SidelightError as error:
        return render(SignInPage(wanted, username, error.message), error.status)
    access.remember(token)
    return redirect(_wanted(wanted), 303)


@bp.post("/sign-out")
@access.signed_in
def sign_out() -> Response:
    """Sign out this browser."""
    with db().write() as session:
        sessions.sign_out(session, account().token)
    access.forget()
    return redirect(url_for("auth.sign_in"), 303)


@bp.get("/join/<token>")
@access.public
def join(token: str) -> tuple[str, int]:
    """The form with which an invited person makes an account."""
    return render(_join_page(token))


@bp.post("/join/<token>", endpoint="do_join")
@access.public
def do_join(token: str) -> tuple[str, int] | Response:
    """Make an account by an invite, and sign in."""
    page = _join_page(token)
    username = forms.text("username")
    try:
        with db().write() as session:
            person = invites.accept_invite(session, token, username, forms.text("password"))
            browser = request.user_agent.string
            opened = sessions.open_session(session, person, browser, settings())
    except (InvalidInput, Conflict) as error:
        return render(
            JoinPage(page.role_words, page.expires_at, username, error.message), error.status
        )
    access.remember(opened)
    return redirect(url_for("site.guide" if person.role == "annotator" else "site.home"), 303)


def _join_page(token: str) -> JoinPage:
    with db().read() as session:
        invite = invites.find_invite(session, token)
    return JoinPage(ROLE_WORDS[invite.role], invite.expires_at)


def _wanted(path: str) -> str:
    return forms.local_address(path, url_for("site.home"))
