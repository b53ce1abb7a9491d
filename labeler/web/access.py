"""Who may do what: the only place that asks.

Each view declares itself with `public`, `signed_in` or `only(...)`; the factory refuses to start
with a view that does not. The check runs before every view: who is this, may they, and (for
writes) does the request come from our own page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask_wtf import CSRFProtect

from labeler.accounts import sessions
from labeler.errors import Forbidden, NotSignedIn
from labeler.models import ROLES
from labeler.web.context import Account, account_or_none, db

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC: frozenset[str] = frozenset()
_UNWATCHED = {"static", "home.healthz"}  # need no account: neither asks the database who this is
_csrf = CSRFProtect()


class _Cookies(SecureCookieSessionInterface):
    """The cookie is sent anew when it has changed, and when a page is opened, which prolongs it.

    Flask would sign and send it with each answer, a vote's and a picture's as well.
    """

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        return session.modified or (session.permanent and _is_visit())


class OtherAccount(NotSignedIn):
    """The page was opened by one person, the browser is signed in as another by now."""

    code = "other_account"


def public(view: View) -> View:
    """Anybody may use the view."""
    return _declare(view, PUBLIC)


def signed_in(view: View) -> View:
    """Anybody with an account may use the view."""
    return _declare(view, frozenset(ROLES))


def only(*roles: str) -> Callable[[View], View]:
    """Only people of these roles may use the view."""
    return lambda view: _declare(view, frozenset(roles))


def roles_of(app: Flask, endpoint: str) -> frozenset[str] | None:
    """The roles that may use an endpoint; empty: public; None: not declared."""
    if endpoint == "static":
        return PUBLIC
    return getattr(app.view_functions[endpoint], "allowed_roles", None)


def register(app: Flask) -> None:
    """Put the check before every view, and `account` into every template."""
    app.session_interface = _Cookies()
    _csrf.init_app(app)
    app.before_request(_check)
    app.context_processor(lambda: {"account": account_or_none()})


def refuse_undeclared(app: Flask) -> None:
    """Raise `LookupError` if a view does not say who may use it."""
    undeclared = [name for name in app.view_functions if roles_of(app, name) is None]
    if undeclared:
        raise LookupError(f"Who may use these views? {', '.join(undeclared)}")


def remember(token: str) -> None:
    """Sign this browser in; whatever its cookie held before is gone."""
    session.clear()
    session.permanent = True
    session["token"] = token


def forget() -> None:
    """Empty the cookie."""
    session.clear()


def _declare(view: View, roles: frozenset[str]) -> View:
    view.allowed_roles = roles  # type: ignore[attr-defined]
    return view


def _check() -> None:
    if request.endpoint in _UNWATCHED:
        return
    g.account = _load_account()
    if request.endpoint is None:
        return  # the router's 404 or 405 follows
    roles = roles_of(current_app, request.endpoint)
    if roles != PUBLIC:
        _require(roles or frozenset())
    _csrf.protect()


def _load_account() -> Account | None:
    token = session.get("token")
    if not isinstance(token, str):
        return None
    with db().read() as read:
        found = sessions.authenticate(read, token)
    if found is not None and found.prolong_due and _is_visit():
        with db().write() as write:
            found = sessions.prolong(write, token)
    if found is None:
        return None
    return Account(found.id, found.username, found.pseudonym, found.role, token)


def _is_visit() -> bool:
    """Opening a page prolongs the session.

    Votes and pictures are too many to ask each time, and what a page asks for by itself is no
    visit: a dashboard that is left open would keep its session for ever, and an icon that arrives
    late would bring back a cookie that has been cleared meanwhile.
    """
    by_itself = request.endpoint in _UNWATCHED or request.endpoint == "images.picture"
    return request.method == "GET" and not by_itself and "X-Fragment" not in request.headers


def _require(roles: frozenset[str]) -> None:
    found = account_or_none()
    if found is None:
        raise NotSignedIn("You are not signed in.")
    claimed = request.headers.get("X-Annotator", str(found.id))
    if claimed != str(found.id):
        raise OtherAccount("Somebody else is now signed in in this browser.")
    if found.role not in roles:
        raise Forbidden(
            f"Only the role {' or '.join(sorted(roles))} may do this. Your role is {found.role}."
        )
