"""Read the fields of a request. The messages say what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flask import Flask, current_app, request

from labeler.csv_input import read_upload
from labeler.errors import InvalidInput
from labeler.languages.texts import gettext as _
from labeler.models.base import MAX_ID
from labeler.rules.validation import read_whole

MAX_UPLOAD_BYTES = 16 * 1024 * 1024  # a list of all images of CelebA has 2 MB

View = TypeVar("View", bound=Callable[..., Any])


def accepts_uploads(view: View) -> View:
    """Let requests to this view have up to `MAX_UPLOAD_BYTES`, as a file or as a pasted list."""
    view.accepts_uploads = True  # type: ignore[attr-defined]
    return view


def register(app: Flask) -> None:
    """Apply the limit of `accepts_uploads` before anything of a request is read."""
    app.url_value_preprocessor(_set_limit)


def _set_limit(endpoint: str | None, _values: dict[str, Any] | None) -> None:
    view = current_app.view_functions.get(endpoint or "")
    if hasattr(view, "accepts_uploads"):
        request.max_content_length = request.max_form_memory_size = MAX_UPLOAD_BYTES


def refuse_nameless_parts() -> None:
    """Refuse a form that no browser sends: one with a part that has no name.

    Raises:
        InvalidInput: the form has such a part.
    """
    if None in request.form or None in request.files:
        raise InvalidInput(_("A part of the form has no name. Reload the page and send it again."))


def text(name: str) -> str:
    """Return a field of the form, or "" if it is missing; lines end with a line feed alone.

    Raises:
        InvalidInput: the field contains a NUL character, which databases do not store.
    """
    given = request.form.get(name, "")
    if "\0" in given:
        raise InvalidInput(_("%(field)s: a NUL character is not allowed.", field=name))
    return given.replace("\r\n", "\n")  # as browsers count what is typed


def whole(name: str) -> int:
    """Return a whole number of the form, 0 to `MAX_ID`.

    Raises:
        InvalidInput: the field is missing, is not a whole number, or no column holds it.
    """
    given = text(name).strip()
    number = read_whole(given)
    if number is None or number > MAX_ID:
        raise _no_number(name, given)
    return number


def row_number(name: str, largest: int = MAX_ID) -> int:
    """Return the number of a row that the address or the form names; 0 if it names none.

    Parameters:
        largest: the largest number that the column holds.
    """
    number = read_whole(request.values.get(name, "")) or 0
    return number if number <= largest else 0


def optional_row(name: str) -> int | None:
    """Return the number of a row that the address or the form names; None if it names none.

    Raises:
        InvalidInput: what is named is not a number of a row.
    """
    given = request.values.get(name, "").strip()
    if not given:
        return None
    number = read_whole(given)
    if number is None or number > MAX_ID:
        raise _no_number(name, given)
    return number


def _no_number(name: str, given: str) -> InvalidInput:
    return InvalidInput(
        _(
            "%(field)s=%(given)r: enter a whole number from 0 to %(most)s.",
            field=name,
            given=given[:20],
            most=MAX_ID,
        )
    )


def find_zone(name: str) -> tzinfo:
    """Return the time zone of a name such as Europe/Rome; UTC if there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # also the name of a folder, or one that is too long
        return UTC


def row_numbers(name: str) -> frozenset[int]:
    """Return the numbers of rows that are ticked in the form under one name.

    Raises:
        InvalidInput: one of them is not the number of a row.
    """
    numbers = [read_whole(one) for one in request.form.getlist(name)]
    if any(number is None or not 0 < number <= MAX_ID for number in numbers):
        raise InvalidInput(_("%(field)s: tick rows of the list only.", field=name))
    return frozenset(number for number in numbers if number is not None)


def uploaded_text(name: str) -> str:
    """Return the text of an uploaded file, or "" if no file was sent.

    Raises:
        BrokenData: the file is no text in an encoding that `csv_text.decode` knows.
    """
    file = request.files.get(name)
    return read_upload(file.stream) if file is not None and file.filename else ""


def json_object() -> dict[str, Any]:
    """Return the JSON object that was sent.

    Raises:
        InvalidInput: the JSON is not an object, or is nested too deeply.
    """
    try:
        body = request.get_json()
    except RecursionError:
        raise InvalidInput(_("The JSON is nested too deeply. Send a JSON object.")) from None
    if not isinstance(body, dict):
        raise InvalidInput(_("Send a JSON object."))
    return body


def json_whole(body: dict[str, Any], name: str, low: int, high: int) -> int:
    """Return a whole number of a JSON object.

    Parameters:
        low, high: the range that is allowed; both ends belong to it.

    Raises:
        InvalidInput: the number is missing, is not whole, or is out of range.
    """
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidInput(
            _(
                "%(field)s: enter a whole number from %(low)s to %(high)s.",
                field=name,
                low=low,
                high=high,
            )
        )
    return value


def local_address(address: str, fallback: str) -> str:
    """Return `address` if it is a path on this site, else `fallback`. Prevents open redirects."""
    try:
        parts = urlsplit(address)
    except ValueError:  # such as an opened bracket: no address at all
        return fallback
    is_path = address.startswith("/") and not address.startswith(("//", "/\\"))
    plain = not parts.scheme and not parts.netloc and address.isprintable()
    return address if is_path and plain else fallback


def way_back(fallback: str) -> str:
    """Return the page of this site that the form came from, else `fallback`.

    A form names it in the hidden field `back`.
    """
    return local_address(request.form.get("back", ""), fallback)
