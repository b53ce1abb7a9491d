"""How pages show a person: the same everywhere, and linked to the page about the person.

Admins see names. Supervisors see names too, unless the setting `names_for_supervisors` is off. Then
they see pseudonyms, which exported files also have. The link stays on the campaign that the page
is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flask import Flask, url_for

from labeler.models.accounts import Annotator
from labeler.web.context import account_or_none, manages, settings
from labeler.web.current_campaign import page_query


@dataclass(frozen=True, slots=True)
class PersonName:
    """A person as a page shows them. `address`: "" if the reader may not open their page."""

    id: int
    text: str
    address: str


def name_person(annotator: Annotator) -> PersonName:
    """Return how the page of this request shows a person."""
    address = ""
    if manages():
        address = url_for("person.show", annotator_id=annotator.id, **page_query())
    return PersonName(annotator.id, _text(annotator), address)


def by_name(people: Iterable[Annotator]) -> list[tuple[str, Annotator]]:
    """Return people with the texts that the page of this request shows, in the order of these.

    The order of user names would tell something about those that are not shown.
    """
    named = [(_text(one), one) for one in people]
    return sorted(named, key=lambda pair: (pair[0].casefold(), pair[1].id))


def sees_names() -> bool:
    """Return whether the person of this request sees names, and not only pseudonyms."""
    found = account_or_none()
    if found is None or not manages():
        return False
    return found.role == "admin" or settings().names_for_supervisors


def register(app: Flask) -> None:
    """Give `sees_names` to the templates."""
    app.jinja_env.globals["sees_names"] = sees_names


def _text(annotator: Annotator) -> str:
    if not sees_names():
        return annotator.pseudonym
    if annotator.display_name:
        return f"{annotator.display_name} ({annotator.username})"
    return annotator.username
