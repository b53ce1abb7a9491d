"""What a view needs of the application and of the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from flask import current_app, g, render_template

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import NotSignedIn


@dataclass(frozen=True, slots=True)
class Account:
    """Who is signed in, for the length of one request."""

    id: int
    username: str
    pseudonym: str
    role: str
    token: str


class Page:
    """Base of the dataclasses that templates are filled from, as `page`."""

    __slots__ = ()
    template: ClassVar[str]


def db() -> Database:
    """The database of this application."""
    return cast(Database, current_app.extensions["sidelight_db"])


def settings() -> Settings:
    """The settings of this application."""
    return cast(Settings, current_app.extensions["sidelight_settings"])


def account_or_none() -> Account | None:
    """Who is signed in; None on a public page for nobody."""
    return cast("Account | None", g.get("account"))


def account() -> Account:
    """Who is signed in.

    Raises:
        NotSignedIn: nobody is.
    """
    found = account_or_none()
    if found is None:
        raise NotSignedIn("Sign in to go on.")
    return found


def render(page: Page, status: int = 200) -> tuple[str, int]:
    """A page as the answer of a view."""
    return render_template(page.template, page=page), status
