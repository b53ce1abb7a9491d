"""Row numbers in addresses."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import IntegerConverter, Map

MAX_ID = 2**63 - 1  # the largest number of a row in a database; a larger one is not found


class IdConverter(IntegerConverter):
    """Accept a row number, written `<id:NAME>` in a route."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=MAX_ID)


def register(app: Flask) -> None:
    """Make `<id:NAME>` known to an application."""
    app.url_map.converters["id"] = IdConverter
