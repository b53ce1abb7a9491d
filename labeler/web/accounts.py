"""Sign in and out, create an account by an invite, and manage one's own account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, flash, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.accounts import invites, sessions
from labeler.accounts import service as accounts
from labeler.accounts.keys import DEFAULT_KEYS, save_keys
from labeler.accounts.own_account import (
    MAX_DISPLAY_NAME,
    change_display_name,
    close_own_account,
)
from labeler.accounts.passwords import MIN_LENGTH
from labeler.accounts.reset_links import find_person_of_link, use_reset_link
from labeler.audit.log import record
from labeler.errors import Conflict, InvalidInput, SidelightError
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.models.accounts import Annotator, LoginSession
from labeler.web import access, request_fields
from labeler.web.context import (
    Page,
    account,
    account_or_none,
    actor,
    db,
    manages,
    render,
    render_problem,
    settings,
)

bp = Blueprint("accounts", __name__)
INVITED_AS = {
    "annotator": mark("You are invited as an annotator."),
    "supervisor": mark("You are invited as a supervisor."),
    "admin": mark("You are invited as the administrator."),
}
KEY_WORDS = {
    "left": mark("Left"),
    "center": mark("Center"),
    "right": mark("Right"),
    "unsure": mark("Unsure"),
    "undo": mark("Undo"),
    "help": mark("Help"),
    "gold": mark("Use as gold question"),
    "skip": mark("Skip"),
    "flag": mark("Flag"),
}
MANAGERS_KEYS = ("gold", "skip")  # of the page of contested images
_BROWSERS = ("Firefox", "Edg", "OPR", "Chromium", "Chrome", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux")


@dataclass(frozen=True, slots=True)
class SignInPage(Page):
    """The form to sign in. `next`: the path to go to afterwards."""

    template = "accounts/sign_in.html"
    next: str = ""
    username: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class JoinPage(Page):
    """The form to create an account by an invite. `invited_as`: the role, in a sentence."""

    template = "accounts/join.html"
    invited_as: str
    expires_at: datetime
    username: str = ""
    problem: str = ""
    min_password: int = MIN_LENGTH


@dataclass(frozen=True, slots=True)
class ResetPage(Page):
    """The form to choose a new password by a link of an admin."""

    template = "accounts/reset.html"
    username: str
    problem: str = ""
    min_password: int = MIN_LENGTH


@dataclass(frozen=True, slots=True)
class CloseAccountPage(Page):
    """The question whether to close the own account. `effects`: what it does, a sentence each."""

    template = "accounts/close.html"
    username: str
    effects: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BrowserRow:
    """A browser that is signed in. `current`: the browser that shows the page."""

    id: int
    browser: str
    created_at: datetime
    last_seen_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class KeyField:
    """A character of the person, and what it does. `key`: "" if it is turned off."""

    action: str
    words: str
    key: str


@dataclass(frozen=True, slots=True)
class AccountPage(Page):
    """A person's own account. `keys`: the fields of the form for the own keys."""

    template = "accounts/account.html"
    username: str
    pseudonym: str
    role: str
    created_at: datetime
    sessions: list[BrowserRow]
    keys: list[KeyField]
    problem: str = ""
    key_problem: str = ""
    display_name: str = ""
    name_problem: str = ""
    min_password: int = MIN_LENGTH
    max_name: int = MAX_DISPLAY_NAME


@bp.get("/sign-in")
@access.public
def sign_in() -> tuple[str, int] | Response:
    """The form to sign in."""
    if account_or_none() is not None:
        return redirect(_safe_target(request.args.get("next", "")))
    return render(SignInPage(next=request.args.get("next", "")))


@bp.post("/sign-in", endpoint="do_sign_in")
@access.public
def do_sign_in() -> Response:
    """Sign in with a name and a password. After too many errors people have to wait."""
    username, wanted = request_fields.text("username"), request_fields.text("next")
    try:
        opened = sessions.sign_in(
            db(),
            username,
            request_fields.text("password"),
            access.browser(),
            settings(),
        )
    except SidelightError as error:
        return render_problem(SignInPage(wanted, username, error.message), error)
    access.remember(opened)
    return redirect(_safe_target(wanted), 303)


@bp.post("/sign-out")
@access.signed_in
def sign_out() -> Response:
    """Sign out this browser."""
    with db().write() as session:
        sessions.sign_out(session, account().token)
        record(session, "sign_out", actor())
    access.forget()
    response = redirect(url_for("accounts.sign_in"), 303)
    # Browsers keep pictures for a year. The next person at this browser does not get them.
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@bp.get("/join/<token>")
@access.public
def join(token: str) -> tuple[str, int]:
    """The form with which an invited person creates an account."""
    return render(_join_page(token))


@bp.post("/join/<token>", endpoint="do_join")
@access.public
def do_join(token: str) -> Response:
    """Create an account by an invite, and sign in."""
    page = _join_page(token)
    username = request_fields.text("username")
    try:
        with db().write() as session:
            password, address = request_fields.text("password"), request.remote_addr
            person = invites.accept_invite(session, token, username, password, address=address)
            opened = sessions.welcome(session, person, access.browser(), settings())
    except (InvalidInput, Conflict) as error:
        page = JoinPage(page.invited_as, page.expires_at, username, error.message)
        return render_problem(page, error)
    access.remember(opened)
    return redirect(url_for("home.guide" if person.role == "annotator" else "home.home"), 303)


@bp.get("/reset/<token>")
@access.public
def reset(token: str) -> tuple[str, int]:
    """The form with which a person chooses a new password."""
    return render(ResetPage(_person_of_link(token)))


@bp.post("/reset/<token>", endpoint="do_reset")
@access.public
def do_reset(token: str) -> Response:
    """Set a new password by a link, and sign in. All other browsers are signed out."""
    username, password = _person_of_link(token), request_fields.text("new")
    try:
        with db().write() as session:
            person = use_reset_link(session, token, password, address=request.remote_addr)
            opened = sessions.welcome(session, person, access.browser(), settings())
    except (InvalidInput, Conflict) as error:
        return render_problem(ResetPage(username, error.message), error)
    access.remember(opened)
    flash(_("Your new password works. All your other browsers are signed out."), "success")
    return redirect(url_for("home.home"), 303)


@bp.get("/account")
@access.signed_in
def show() -> tuple[str, int]:
    """The own account: the password, and the browsers that are signed in."""
    return render(_account_page())


@bp.post("/account/password")
@access.signed_in
def change_password() -> Response:
    """Change the password, and sign out all other browsers."""
    me = account()
    try:
        accounts.change_password(
            db(),
            me.id,
            request_fields.text("current"),
            request_fields.text("new"),
            access.browser(),
            settings(),
        )
    except SidelightError as error:
        return render_problem(_account_page(error.message), error)
    access.renew_token()
    flash(_("Your password has been changed. All your other browsers are signed out."), "success")
    return redirect(url_for("accounts.show"), 303)


@bp.post("/account/name")
@access.signed_in
def change_name() -> Response:
    """Change the display name."""
    name = request_fields.text("display_name")
    try:
        with db().write() as session:
            change_display_name(session, account().id, name, actor())
    except InvalidInput as error:
        return render_problem(_account_page(name_problem=error.message), error)
    flash(_("Your display name has been changed."), "success")
    return redirect(url_for("accounts.show"), 303)


@bp.get("/account/close")
@access.signed_in
def confirm_close() -> tuple[str, int]:
    """What closing the own account does, and the form to confirm it with the password."""
    return render(_close_page())


@bp.post("/account/close")
@access.signed_in
def close() -> Response:
    """Close the own account."""
    try:
        password = request_fields.text("current")
        close_own_account(db(), account().id, password, access.browser(), settings())
    except SidelightError as error:
        return render_problem(_close_page(error.message), error)
    access.forget()
    flash(_("Your account is closed. Your answers stay."), "success")
    response = redirect(url_for("accounts.sign_in"), 303)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@bp.post("/account/keys")
@access.signed_in
def change_keys() -> Response:
    """Change the characters that answer and act on the pages where people judge images."""
    choice = request_fields.text("choice")
    wanted = {} if choice == "off" else DEFAULT_KEYS if choice == "default" else _chosen_keys()
    try:
        with db().write() as session:
            save_keys(session, account().id, wanted)
    except InvalidInput as error:
        return render_problem(_account_page(key_problem=error.message), error)
    flash(_("Your keys have been changed."), "success")
    return redirect(url_for("accounts.show", _anchor="keys"), 303)


@bp.post("/account/sessions/<id:session_id>/revoke")
@access.signed_in
@access.asks_password(mark("sign out another browser"), "accounts.show")
def revoke_session(session_id: int) -> Response:
    """Sign out one browser."""
    with db().write() as session:
        sessions.revoke_browser(session, account().id, session_id, actor())
    flash(_("That browser has been signed out."), "success")
    return redirect(url_for("accounts.show"), 303)


@bp.post("/account/sessions/revoke-others")
@access.signed_in
@access.asks_password(mark("sign out all other browsers"), "accounts.show")
def revoke_others() -> Response:
    """Sign out all other browsers."""
    me = account()
    with db().write() as session:
        sessions.revoke_other_browsers(session, me.id, me.token, actor())
    flash(_("All your other browsers have been signed out."), "success")
    return redirect(url_for("accounts.show"), 303)


def name_browser(login: LoginSession) -> str:
    """Name a browser, such as "Firefox on Linux", or return the start of its own text."""
    agent = login.user_agent
    browser = next((name for name in _BROWSERS if f"{name}/" in agent), None)
    system = next((name for name in _SYSTEMS if name in agent), None)
    if browser is None or system is None:
        return agent[:40] or _("Unknown browser")
    browser = {"Edg": "Edge", "OPR": "Opera"}.get(browser, browser)
    return _("%(browser)s on %(system)s", browser=browser, system=system.replace("Mac OS X", "Mac"))


def _join_page(token: str) -> JoinPage:
    with db().read() as session:
        invite = invites.find_invite(session, token)
    return JoinPage(_(INVITED_AS[invite.role]), invite.expires_at)


def _person_of_link(token: str) -> str:
    with db().read() as session:
        return find_person_of_link(session, token).username


def _close_page(problem: str = "") -> CloseAccountPage:
    with db().read() as session:
        forecast = accounts.forecast_closing(session, account().id)
    effects = [
        ngettext(
            "You are signed out of %(num)s browser, and you can no longer sign in.",
            "You are signed out of %(num)s browsers, and you can no longer sign in.",
            forecast.browsers,
        ),
        ngettext(
            "Your %(num)s answer stays and still counts, under the pseudonym %(pseudonym)s.",
            "Your %(num)s answers stay and still count, under the pseudonym %(pseudonym)s.",
            forecast.votes,
            pseudonym=account().pseudonym,
        ),
        _(
            "Your messages, your flags and the log of sign-ins stay until an admin anonymises the "
            "account."
        ),
        _("Only an admin can open the account again. The same password then works."),
    ]
    return CloseAccountPage(account().username, effects, problem)


def _safe_target(path: str) -> str:
    return request_fields.local_address(path, url_for("home.home"))


def _chosen_keys() -> dict[str, str]:
    """Read the form. Keys that it does not show stay, unless their character is used now."""
    shown = {
        action: request_fields.text(f"key-{action}")
        for action in DEFAULT_KEYS
        if f"key-{action}" in request.form
    }
    used = {key.strip().lower() for key in shown.values()}  # as `save_keys` stores them
    others = {
        action: key
        for action, key in account().keys.items()
        if action not in shown and key not in used
    }
    return shown | others


def _account_page(problem: str = "", key_problem: str = "", name_problem: str = "") -> AccountPage:
    me = account()
    keys = [
        KeyField(action, _(words), request.form.get(f"key-{action}", me.keys[action]))
        for action, words in KEY_WORDS.items()
        if manages() or action not in MANAGERS_KEYS
    ]
    with db().read() as session:
        annotator = session.get_one(Annotator, me.id)
        rows = _browser_rows(session, me.id, me.token)
    return AccountPage(
        me.username,
        me.pseudonym,
        me.role,
        annotator.created_at,
        rows,
        keys,
        problem,
        key_problem,
        request.form.get("display_name", annotator.display_name),
        name_problem,
    )


def _browser_rows(session: Session, annotator_id: int, token: str) -> list[BrowserRow]:
    return [
        BrowserRow(
            login.id,
            name_browser(login),
            login.created_at,
            login.last_seen_at,
            sessions.is_browser_of(login, token),
        )
        for login in sessions.list_browsers(session, annotator_id)
    ]
