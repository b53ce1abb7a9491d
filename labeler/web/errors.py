"""Render all errors: as a page for people, as JSON for programs, with the right HTTP status.

JSON: `{"ok": false, "error": {"code": "stale_lease", "message": "..."}}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, Response, current_app, jsonify, make_response, request, url_for
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from labeler.database.failures import BUSY, failure_of
from labeler.errors import Forbidden, NotSignedIn, SidelightError
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, translate
from labeler.web.accounts import SignInPage
from labeler.web.context import (
    Link,
    Page,
    account_or_none,
    manages,
    own_address,
    render,
    with_retry,
)
from labeler.web.manage_menu import present_page

View = TypeVar("View", bound=Callable[..., Any])
OVERVIEW = "dashboard.overview"

# status: (code for programs, title of the page, message)
HTTP_ERRORS = {
    400: (
        "bad_request",
        mark("The request could not be understood"),
        mark("The request is incomplete or malformed. Go back, reload the page and try again."),
    ),
    404: (
        "not_found",
        mark("This page does not exist"),
        mark("The address is wrong, or the page has been removed."),
    ),
    405: (
        "method_not_allowed",
        mark("This address cannot be opened directly"),
        mark("Use the buttons on the page that led here."),
    ),
    413: (
        "too_large",
        mark("The request is too large"),
        mark("The limit is 64 kB for forms and 16 MB for files and lists."),
    ),
    415: (
        "unsupported_media_type",
        mark("The request could not be understood"),
        mark("Send JSON or a form."),
    ),
    500: (
        "internal_error",
        mark("Something went wrong on the server"),
        mark("The error has been logged. Try again."),
    ),
}
TITLES = {
    401: mark("Sign in first"),
    403: mark("You do not have access"),
    404: mark("Not found"),
    409: mark("This has changed in the meantime"),
    422: mark("This cannot be accepted"),
    429: mark("Too many attempts"),
    503: mark("The site is busy"),
    507: mark("The disk of the site is full"),
}
CSRF_MESSAGE = mark(
    "The form has expired or comes from another site. Go back, reload the page and send it again."
)


@dataclass(frozen=True, slots=True)
class ErrorPage(Page):
    """What went wrong, and where to go."""

    template = "error.html"
    status: int
    title: str
    message: str
    links: list[Link]


def always_json(view: View) -> View:
    """Mark a view for programs. Its errors are JSON, whatever the request accepts."""
    view.always_json = True  # type: ignore[attr-defined]
    return view


def wants_json() -> bool:
    """Whether the response to this request is JSON."""
    if request.is_json:
        return True
    view = current_app.view_functions.get(request.endpoint or "")
    accepted = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return accepted == "application/json" or hasattr(view, "always_json")


def register(app: Flask) -> None:
    """Handle all errors of an application."""
    app.register_error_handler(SidelightError, _on_sidelight_error)
    app.register_error_handler(CSRFError, _on_csrf_error)
    app.register_error_handler(DBAPIError, _on_database_error)
    app.register_error_handler(PoolTimeoutError, _on_database_error)
    app.register_error_handler(HTTPException, _on_http_error)


def _on_sidelight_error(error: SidelightError) -> Response:
    if isinstance(error, NotSignedIn) and not wants_json():
        return _sign_in_here(error)
    if isinstance(error, Forbidden):
        _log_refusal(error.code)
    title = translate(TITLES.get(error.status, mark("This is not possible")))
    return with_retry(_respond(error.status, error.code, title, error.message), error)


def _on_csrf_error(error: CSRFError) -> Response:
    _log_refusal("csrf_failed")
    return _respond(400, "csrf_failed", _("This form cannot be accepted"), _(CSRF_MESSAGE))


def _log_refusal(why: str) -> None:
    """Tell the program's log that somebody tried what they may not do; nothing that they sent."""
    found = account_or_none()
    current_app.logger.warning(
        "Refused (%s): %s %s. Account %s, address %s",
        why,
        request.method,
        request.endpoint,
        found.id if found else "none",
        request.remote_addr,
    )


def _on_database_error(error: DBAPIError | PoolTimeoutError) -> Response:
    failure = failure_of(error)
    if failure is None:
        raise error  # a defect, which becomes the page of status 500
    current_app.logger.error("the database refused: %s", getattr(error, "orig", error))
    title = _(TITLES[503]) if failure == BUSY else _("The site cannot work at present")
    response = _respond(503, failure.code, title, failure.message)
    response.headers["Retry-After"] = str(failure.retry_after_s)
    return response


def _on_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return make_response(error.get_response())
    code, title, message = HTTP_ERRORS.get(
        status, ("http_error", error.name, error.description or "")
    )
    response = _respond(status, code, translate(title), translate(message))
    if status == 405:
        response.headers["Allow"] = ", ".join(getattr(error, "valid_methods", None) or [])
    return response


def _respond(status: int, code: str, title: str, message: str) -> Response:
    if wants_json():
        body = jsonify(ok=False, error={"code": code, "message": message})
        return make_response(body, status)
    return make_response(render(ErrorPage(status, title, message, _links_out()), status))


def _sign_in_here(error: NotSignedIn) -> Response:
    """Show the sign-in page instead of the requested page, with status 401."""
    back = own_address() if request.method == "GET" else url_for("home.home")
    return make_response(render(SignInPage(next=back), error.status))


def _links_out() -> list[Link]:
    if account_or_none() is None:
        return [Link(url_for("accounts.sign_in"), _("Sign in"))]
    return [
        *_links_to_manage(),
        Link(url_for("voting.label"), _("Continue labelling")),
        Link(url_for("progress.own"), _("See your progress")),
    ]


def _links_to_manage() -> list[Link]:
    """Return the page of Manage to which the request belongs, and the overview."""
    if not manages():
        return []
    overview = Link(url_for(OVERVIEW), _("Manage"))
    page = present_page()
    if page is None or not page.is_open or page.endpoint in (request.endpoint, OVERVIEW):
        return [overview]
    return [Link(url_for(page.endpoint), page.words), overview]
