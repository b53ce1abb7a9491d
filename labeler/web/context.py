"""The application and the request, as views use them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, cast

from flask import Response, current_app, g, make_response, render_template, request

from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import NotSignedIn, SidelightError, StillPreparing, TooManyAttempts
from labeler.languages.texts import gettext as _

MANAGERS = ("supervisor", "admin")  # the roles that may open the pages of Manage


@dataclass(frozen=True, slots=True)
class Account:
    """The person who is signed in, for one request.

    `password_at`: when the password was last entered in this session.
    `keys`: the character of each action, from `accounts.keys`.
    `appearance`: one of `APPEARANCES`, None if the person has chosen none.
    `language`: one of `LANGUAGES`, None likewise.
    """

    id: int
    username: str
    pseudonym: str
    role: str
    token: str
    password_at: datetime | None
    keys: dict[str, str]
    appearance: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """An address on this site, and the words of its link."""

    address: str
    text: str


class Page:
    """Base of the dataclasses that a template gets as `page`."""

    __slots__ = ()
    template: ClassVar[str]


def db() -> Database:
    """Return the database of this application."""
    return cast(Database, current_app.extensions["sidelight_db"])


def settings() -> Settings:
    """Return the settings of this application."""
    return cast(Settings, current_app.extensions["sidelight_settings"])


def account_or_none() -> Account | None:
    """Return who is signed in, or None on a public page."""
    return cast("Account | None", g.get("account"))


def account() -> Account:
    """Return who is signed in.

    Raises:
        NotSignedIn: nobody is signed in.
    """
    found = account_or_none()
    if found is None:
        raise NotSignedIn(_("Sign in to go on."))
    return found


def manages() -> bool:
    """Return whether the pages of Manage are open to the person of this request."""
    found = account_or_none()
    return found is not None and found.role in MANAGERS


def site_address() -> str:
    """Return the public address of the site, or the one that this request came to."""
    return settings().public_url or request.url_root.rstrip("/")


def own_address() -> str:
    """Return the address of this request, as links on this site give it."""
    return request.script_root + request.full_path.rstrip("?")


def actor() -> Actor:
    """Return who is signed in and from where, for the audit log."""
    found = account_or_none()
    return Actor(found.id if found else None, request.remote_addr)


def render_problem(page: Page, error: SidelightError) -> Response:
    """Fill the template of a page that shows an error, with its status and headers."""
    return with_retry(make_response(render(page, error.status)), error)


def with_retry(response: Response, error: SidelightError) -> Response:
    """Tell programs how long they have to wait, if that is the error."""
    if isinstance(error, TooManyAttempts | StillPreparing):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def render(page: Page, status: int = 200) -> tuple[str, int]:
    """Fill the template of a page; returns text and status, as views do."""
    return render_template(page.template, page=page), status
