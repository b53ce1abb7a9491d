"""Choose the language: by person when signed in, else by browser.

Without a choice the site speaks the language that the browser asks for, if it has that one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from flask import Blueprint, Flask, Response, flash, make_response, redirect, request, url_for
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from labeler.accounts.language import check_language, save_language
from labeler.languages.current import ENGLISH, LANGUAGES, current_language, use_language
from labeler.languages.numbers import write_day, write_minute, write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import translate, translate_in_context, translate_plural
from labeler.web import access, request_fields
from labeler.web.browser_cookies import chosen_language, remember_language
from labeler.web.context import Page, account_or_none, db, render

bp = Blueprint("languages", __name__)
LONGEST = 1_000  # characters of a header that are read; those of browsers are far shorter


@dataclass(frozen=True, slots=True)
class LanguagePage(Page):
    """The form. `next`: the path to go back to."""

    template = "languages/choose.html"
    next: str


def register(app: Flask) -> None:
    """Speak the language of each request, and give templates texts, numbers and times in it.

    It must be registered before `access`, which knows the choice of who is signed in.
    """
    app.before_request(_speak)
    app.teardown_request(_fall_silent)
    environment = app.jinja_env
    environment.add_extension("jinja2.ext.i18n")
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(  # type: ignore[attr-defined]
        translate, translate_plural, newstyle=True, pgettext=translate_in_context
    )
    environment.globals |= {"language": current_language, "languages": LANGUAGES}
    environment.filters |= {"number": write_number, "day": write_day, "minute": write_minute}


@bp.get("/language")
@access.public
def choose() -> tuple[str, int]:
    """The form with which everybody chooses a language."""
    return render(LanguagePage(_target(request.args.get("next", ""))))


@bp.post("/language")
@access.public
def save() -> Response:
    """Store the choice and go back."""
    chosen = check_language(request_fields.text("language"))
    person = account_or_none()
    response = make_response(redirect(_target(request_fields.text("next")), 303))
    remember_language(response, chosen)  # also of a person: it counts on the sign-in page
    if person is None:
        return response
    with db().write() as session:
        save_language(session, person.id, chosen)
    use_language(chosen)
    flash(_("The site now speaks English with you."), "success")
    return response


def _speak() -> None:
    use_language(chosen_language() or _wished(request.headers.get("Accept-Language", "")[:LONGEST]))


@lru_cache(maxsize=256)
def _wished(accepted: str) -> str:
    """The language that a browser asks for. Each vote is a request, so it is read once."""
    found = parse_accept_header(accepted, LanguageAccept).best_match(list(LANGUAGES))
    return found or ENGLISH


def _fall_silent(_error: BaseException | None) -> None:
    """What this thread does next is not for the person of this request."""
    use_language(ENGLISH)


def _target(path: str) -> str:
    return request_fields.local_address(path, url_for("home.home"))
