"""Access control: who may use a view.

Each view declares itself with `public`, `signed_in` or `only(...)`. The site does not start if a
view declares nothing. Before each view three checks run: who the person is, whether they may use
the view, and whether a write comes from a page of this site.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from flask import Flask, Request, Response, after_this_request, current_app, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_wtf import CSRFProtect
from flask_wtf.csrf import CSRFError
from itsdangerous import BadSignature

from labeler.accounts import sessions
from labeler.accounts.devices import DEVICE_DAYS
from labeler.accounts.keys import DEFAULT_KEYS, keys_of
from labeler.accounts.sessions import Browser, Opened
from labeler.config import Settings
from labeler.errors import Forbidden, NotSignedIn
from labeler.languages.current import LANGUAGES, use_language
from labeler.languages.texts import gettext as _
from labeler.models.accounts import ROLES
from labeler.web import request_fields
from labeler.web.context import (
    Account,
    account,
    account_or_none,
    db,
    manages,
    own_address,
    settings,
)

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC: frozenset[str] = frozenset()
_UNWATCHED = {"static", "home.healthz"}  # these do not ask the database who is signed in
_PICTURES = {  # pages ask for these by themselves
    "images.image_file",
    "studio_files.file",
    "studio_files.mean",
    "studio_files.picture",
    "studio_files.thumbnail",
    "studio_shares.shared_strip",
}
_csrf = CSRFProtect()


class _Cookies(SecureCookieSessionInterface):
    """Send the cookie only if it has changed, or if a person opens a page.

    Flask would sign and send it with every response, also for votes and images.
    """

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Read the cookie, whatever the time of its signature: the database ends sessions.

        Flask would refuse a cookie from the future. So a clock that is set back would sign out
        everybody who has come since.
        """
        signer = self.get_signing_serializer(app)
        if signer is None:
            return None
        try:
            return self.session_class(
                signer.loads(request.cookies.get(self.get_cookie_name(app), ""))
            )
        except BadSignature:
            return self.session_class()

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        return session.modified or (session.permanent and _is_visit())


class OtherAccount(NotSignedIn):
    """The browser is now signed in as another person than the one who opened the page."""

    code = "other_account"


def public(view: View) -> View:
    """Let everybody use a view."""
    return _declare(view, PUBLIC)


def signed_in(view: View) -> View:
    """Let everybody with an account use a view."""
    return _declare(view, frozenset(ROLES))


def only(*roles: str) -> Callable[[View], View]:
    """Let only people with these roles use a view."""
    return lambda view: _declare(view, frozenset(roles))


def asks_password(what: str, back: str) -> Callable[[View], View]:
    """Ask for the password before a view if it was last entered a while ago.

    `labeler.web.password_again` does it.

    Parameters:
        what: what the view does, as the end of the sentence "Enter your password to ...". It is
            marked for translation where the view is, and translated where it is shown.
        back: the endpoint of the page to which a person can go back.
    """

    def mark(view: View) -> View:
        view.asks_password = (what, back)  # type: ignore[attr-defined]
        return view

    return mark


def roles_of(app: Flask, endpoint: str) -> frozenset[str] | None:
    """Return the roles that may use an endpoint. Empty: public. None: not declared."""
    if endpoint == "static":
        return PUBLIC
    return getattr(app.view_functions[endpoint], "allowed_roles", None)


def register(app: Flask) -> None:
    """Run the checks before every view, and give `account` to every template."""
    app.session_interface = _Cookies()
    _csrf.init_app(app)
    app.before_request(_check)
    app.context_processor(lambda: {"account": account_or_none(), "manages": manages})
    app.jinja_env.globals |= {"key_of": _key_of, "own_address": own_address}


def _key_of(action: str) -> str:
    """Return the character by which the person of this request does something; "" for none."""
    found = account_or_none()
    return (found.keys if found else DEFAULT_KEYS)[action]


def refuse_undeclared(app: Flask) -> None:
    """Check that every view declares who may use it.

    Raises:
        LookupError: a view does not.
    """
    undeclared = [name for name in app.view_functions if roles_of(app, name) is None]
    if undeclared:
        raise LookupError(f"Who may use these views? {', '.join(undeclared)}")


def remember(opened: Opened) -> None:
    """Sign this browser in. Everything else in its cookie is removed.

    A second cookie tells for a year that the browser is known. It opens nothing by itself.
    """
    session.clear()
    session.permanent = True
    session["token"] = opened.token

    def set_device(response: Response) -> Response:
        response.set_cookie(
            _device_cookie(),
            opened.device,
            timedelta(days=DEVICE_DAYS),
            path=cookie_path(settings()),
            secure=settings().cookie_secure,
            httponly=True,
            samesite="Lax",
        )
        return response

    after_this_request(set_device)


def renew_token() -> None:
    """Give this browser a new token, after it has proved again who uses it."""
    me = account()
    with db().write() as write:
        token = sessions.renew_token(write, me.token)
    session["token"] = token
    g.account = replace(me, token=token)


def browser() -> Browser:
    """Return the browser of this request, with what its cookies tell."""
    return Browser(
        address=request.remote_addr or "",
        user_agent=request.user_agent.string,
        device=request.cookies.get(_device_cookie(), "")[:100],
        session=_session_token(),
    )


def cookie_name(name: str, settings: Settings) -> str:
    """Return the name of a cookie. No other site has it.

    Browsers send cookies to all ports of a host, and those of `/` to all its paths. Sites there
    would sign each other's people out if their cookies had one name.

    Over HTTPS the name has a prefix. With `__Host-` browsers accept the cookie from this host only,
    but for the whole host; with `__Secure-` they accept it from a page with HTTPS only.
    """
    key = hashlib.sha256(f"cookies of {settings.secret_key}".encode()).hexdigest()
    prefix = "" if not settings.cookie_secure else "__Secure-" if settings.path else "__Host-"
    return f"{prefix}{name}-{key[:8]}"


def cookie_path(settings: Settings) -> str:
    """Return the path of the cookies: other programs of the same host do not get them."""
    return settings.path or "/"


def _session_token() -> str:
    """Return the token of the browser's session, "" if it has none. It may have expired."""
    token = session.get("token")
    return token if isinstance(token, str) else ""


def _device_cookie() -> str:
    return cookie_name("sidelight-device", settings())


def forget() -> None:
    """Sign this browser out by emptying its cookie."""
    session.clear()


def _declare(view: View, roles: frozenset[str]) -> View:
    view.allowed_roles = roles  # type: ignore[attr-defined]
    return view


def _check() -> None:
    if request.endpoint in _UNWATCHED:
        return
    g.account = _load_account()
    if g.account is not None and g.account.language in LANGUAGES:
        use_language(g.account.language)
    if request.endpoint is None:
        return  # the router's 404 or 405 follows
    roles = roles_of(current_app, request.endpoint)
    if roles != PUBLIC:
        _require(roles or frozenset())
    _check_token()


def _check_token() -> None:
    """Check the token of a write, and over https also the page that it came from.

    Raises:
        CSRFError: the token is missing or wrong, or the referring page is not of this site.
        InvalidInput: the form has a part without a name.
    """
    request_fields.refuse_nameless_parts()
    try:
        _csrf.protect()
    except ValueError:  # the address of the referring page is no address
        raise CSRFError("The referrer is not an address.") from None


def _load_account() -> Account | None:
    token = _session_token()
    if not token:
        return None
    with db().read() as read:
        found = sessions.authenticate(read, token, settings())
    if found is not None and found.prolong_due and _is_visit():
        with db().write() as write:
            found = sessions.prolong(write, token, settings())
    if found is None:
        return None
    return Account(
        found.id,
        found.username,
        found.pseudonym,
        found.role,
        token,
        found.password_at,
        keys_of(found.keys),
        found.appearance,
        found.language,
    )


def _is_visit() -> bool:
    """Whether a person opens a page, which prolongs the session.

    Votes and images are too frequent to prolong it each time. Requests that a page sends by itself
    do not count either. Otherwise an open dashboard would keep its session for ever, and a late
    image would restore a cookie that was cleared in the meantime.
    """
    not_opened = request.endpoint in _UNWATCHED | _PICTURES
    return request.method == "GET" and not not_opened and "X-Fragment" not in request.headers


def _require(roles: frozenset[str]) -> None:
    found = account_or_none()
    if found is None:
        raise NotSignedIn(_("You have been signed out."))
    claimed = request.headers.get("X-Annotator", str(found.id))
    if claimed != str(found.id):
        raise OtherAccount(_("Somebody else is now signed in in this browser."))
    if found.role not in roles:
        raise Forbidden(
            _(
                "Only the role %(allowed)s may do this. Your role is %(role)s.",
                allowed=_(" or ").join(_(role) for role in sorted(roles)),
                role=_(found.role),
            )
        )
