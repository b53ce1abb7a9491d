"""What a browser remembers in cookies of its own: time zone, language, and light or dark pages.

None of them says who somebody is. The script of every page writes the time zone. The site writes
the others where somebody chooses them.
"""

from __future__ import annotations

from datetime import timedelta, tzinfo

from flask import Flask, Response, request

from labeler.accounts.appearance import FOLLOW_SYSTEM
from labeler.languages.current import LANGUAGES
from labeler.models.accounts import APPEARANCES
from labeler.web.access import cookie_name, cookie_path
from labeler.web.context import account_or_none, settings
from labeler.web.request_fields import find_zone

KEPT = timedelta(days=365)


def register(app: Flask) -> None:
    """Give templates the appearance, and what the script needs to write the time zone."""
    app.jinja_env.globals |= {
        "appearance": appearance,
        "zone_cookie": _zone_cookie,
        "cookie_path": lambda: cookie_path(settings()),
    }


def time_zone() -> tzinfo:
    """Return the time zone of the browser; UTC if it has not told any.

    Days of all pages are counted by it.
    """
    return find_zone(request.cookies.get(_zone_cookie(), ""))


def appearance() -> str:
    """Return one of `APPEARANCES`: the choice of the person, else of the browser, else "system"."""
    person = account_or_none()
    if person is not None and person.appearance is not None:
        return person.appearance
    chosen = request.cookies.get(_appearance_cookie(), "")
    return chosen if chosen in APPEARANCES else FOLLOW_SYSTEM


def remember_appearance(response: Response, chosen: str) -> None:
    """Keep the choice in this browser, for pages that are opened without being signed in."""
    _remember(response, _appearance_cookie(), chosen)


def chosen_language() -> str | None:
    """Return the language that was chosen in this browser, None if none was."""
    chosen = request.cookies.get(_language_cookie(), "")
    return chosen if chosen in LANGUAGES else None


def remember_language(response: Response, chosen: str) -> None:
    """Keep the language in this browser, for pages that are opened without being signed in."""
    _remember(response, _language_cookie(), chosen)


def _remember(response: Response, cookie: str, chosen: str) -> None:
    response.set_cookie(
        cookie,
        chosen,
        KEPT,
        path=cookie_path(settings()),
        secure=settings().cookie_secure,
        httponly=True,
        samesite="Lax",
    )


def _zone_cookie() -> str:
    return cookie_name("sidelight-zone", settings())


def _language_cookie() -> str:
    return cookie_name("sidelight-language", settings())


def _appearance_cookie() -> str:
    return cookie_name("sidelight-appearance", settings())
