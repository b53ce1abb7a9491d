"""The application and the request, as views use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from flask import current_app, g, render_template

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import NotSignedIn


@dataclass(frozen=True, slots=True)
class Account:
    """The person who is signed in, for one request."""

    id: int
    username: str
    pseudonym: str
    role: str
    token: str


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
        raise NotSignedIn("Sign in to go on.")
    return found


def render(page: Page, status: int = 200) -> tuple[str, int]:
    """Fill the template of a page; returns text and status, as views do."""
    return render_template(page.template, page=page), status
