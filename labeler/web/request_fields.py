"""Reading what was sent, with messages that say what is allowed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import request

from labeler.errors import InvalidInput


def text(name: str) -> str:
    """A field of the form; empty where it is missing.

    Raises:
        InvalidInput: it holds a NUL, which no database text can.
    """
    given = request.form.get(name, "")
    if "\0" in given:
        raise InvalidInput(f"{name}: a NUL character is not allowed.")
    return given


def whole(name: str) -> int:
    """A whole number of the form.

    Raises:
        InvalidInput: it is missing or no whole number.
    """
    given = text(name).strip()
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise InvalidInput(f"{name}={given[:20]!r}: enter a whole number.")
    return int(given)


def json_object() -> dict[str, Any]:
    """The JSON object that was sent.

    Raises:
        InvalidInput: the JSON is something else than an object.
    """
    body = request.get_json()
    if not isinstance(body, dict):
        raise InvalidInput("Send a JSON object.")
    return body


def json_whole(body: dict[str, Any], name: str, low: int, high: int) -> int:
    """A whole number of a JSON object.

    Raises:
        InvalidInput: it is missing, no whole number, or out of range.
    """
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidInput(f"{name}: enter a whole number from {low} to {high}.")
    return value


def local_address(address: str, fallback: str) -> str:
    """`address` if it is a path on this site, else the fallback: no open redirects."""
    parts = urlsplit(address)
    is_path = address.startswith("/") and not address.startswith(("//", "/\\"))
    plain = not parts.scheme and not parts.netloc and address.isprintable()
    return address if is_path and plain else fallback
