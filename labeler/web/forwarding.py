"""Who calls, by which name and under which path: headers of proxies, and the Host header.

Everybody can send these headers. They are believed only where a proxy of
`SIDELIGHT_TRUSTED_PROXIES` has written them, and the site answers only to its own names.

The path under which people reach the site is that of `SIDELIGHT_PUBLIC_URL`. So links are right
whether the proxy takes the path away or keeps it, and whether it sends X-Forwarded-Prefix or not.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, request
from werkzeug.exceptions import BadHost

from labeler.config import Settings
from labeler.errors import SidelightError
from labeler.languages.texts import gettext as _
from labeler.web.context import settings as site_settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_PREFIX",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_SSL",
)
ALWAYS_NAMED = {"localhost", "127.0.0.1", "::1"}


class ForeignHostError(SidelightError):
    """The request names another site in its Host header."""

    status = 400
    code = "foreign_host"


class TrustedProxies:
    """WSGI middleware: apply the forwarding headers of trusted proxies, remove those of others.

    Parameters:
        app: the application below.
        proxies: networks, and perhaps `unix` for callers without an address.
    """

    def __init__(self, app: WSGIApplication, proxies: Sequence[str]) -> None:
        self._app = app
        self._unix = "unix" in proxies
        self._networks: list[Network] = [
            ipaddress.ip_network(one) for one in proxies if one != "unix"
        ]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        given = {name: environ.pop(name) for name in HEADERS if name in environ}
        if given and self._trusts(environ.get("REMOTE_ADDR", "")):
            self._apply(environ, given)
        return self._app(environ, start_response)

    def _apply(self, environ: WSGIEnvironment, given: dict[str, str]) -> None:
        caller = self._caller(given.get("HTTP_X_FORWARDED_FOR", ""))
        if caller:
            environ["REMOTE_ADDR"] = caller
        # The last value is that of the proxy which called; those before it may be made up.
        scheme = _last(given.get("HTTP_X_FORWARDED_PROTO", "")).lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = _last(given.get("HTTP_X_FORWARDED_HOST", ""))
        if host:
            environ["HTTP_HOST"] = host

    def _caller(self, forwarded_for: str) -> str:
        """Walk from the right: the first address that is no trusted proxy is the caller."""
        caller = ""
        for word in reversed(forwarded_for.split(",")):
            address = _address(word.strip())
            if address is None:
                break
            caller = str(address)
            if not self._contains(address):
                break
        return caller

    def _trusts(self, peer: str) -> bool:
        address = _address(peer)
        return self._unix if address is None else self._contains(address)

    def _contains(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


class UnderPath:
    """WSGI middleware: the site is under a path. Requests may come with it or without it.

    Parameters:
        app: the application below.
        path: such as `/sidelight`; "" for none.
    """

    def __init__(self, app: WSGIApplication, path: str) -> None:
        self._app, self._path = app, path

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        asked = environ.get("PATH_INFO", "")
        if asked == self._path or asked.startswith(f"{self._path}/"):
            environ["PATH_INFO"] = asked[len(self._path) :]
        environ["SCRIPT_NAME"] = self._path
        return self._app(environ, start_response)


def register(app: Flask, settings: Settings) -> None:
    """Read forwarding headers, refuse foreign names, and redirect within the site only."""
    app.wsgi_app = UnderPath(app.wsgi_app, settings.path)  # type: ignore[method-assign]
    app.wsgi_app = TrustedProxies(app.wsgi_app, settings.proxies)  # type: ignore[method-assign]
    app.before_request(_refuse_odd_host)
    app.before_request(_refuse_foreign_host)
    app.after_request(_redirect_here)


def own_names(settings: Settings) -> frozenset[str] | None:
    """The names under which the site answers. None: any name, since no public address is set."""
    named = urlsplit(settings.public_url or "").hostname
    if not named or _is_any(named):
        return None
    host = settings.host.lower()
    return frozenset(ALWAYS_NAMED | {named} | (set() if _is_any(host) else {host}))


def _refuse_odd_host() -> Response | None:
    """Refuse a Host header that is no name. The error page would need one for its links."""
    if not isinstance(request.routing_exception, BadHost):
        return None
    said = _("The Host header holds no name of a host. Open the site by its usual address.") + "\n"
    return Response(said, BadHost.code, mimetype="text/plain")


def _refuse_foreign_host() -> None:
    """Refuse a Host header that names another site. Links and caches might otherwise carry it."""
    names = own_names(site_settings())
    if names is None or request.endpoint == "home.healthz":
        return
    given = request.headers.get("Host", "")
    if _host_name(given) not in names:
        raise ForeignHostError(
            _(
                "This site does not answer under the name %(given)r. Open %(address)s instead. If "
                "that is wrong, the person who runs the site sets SIDELIGHT_PUBLIC_URL, or lets "
                "the proxy pass the Host header on.",
                given=given[:100],
                address=site_settings().public_url,
            )
        )


def _redirect_here(response: Response) -> Response:
    """Redirect by a path: the router builds an address from the Host header."""
    target = urlsplit(response.headers.get("Location", ""))
    if target.netloc:
        path = f"/{target.path.lstrip('/')}"
        response.headers["Location"] = path + (f"?{target.query}" if target.query else "")
    return response


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_any(name: str) -> bool:
    """Whether it stands for all addresses of a machine: `0.0.0.0` or `::`."""
    address = _address(name)
    return address is not None and address.is_unspecified


def _last(values: str) -> str:
    return values.rpartition(",")[2].strip()


def _address(text: str) -> Address | None:
    """An address as proxies write it: alone, with a port, or in brackets."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if found.version == 6 else None
    return mapped or found
