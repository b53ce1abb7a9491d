"""Numbers in addresses."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import IntegerConverter, Map

MAX_ID = 2**63 - 1  # what a database can hold; a larger number is simply not found


class IdConverter(IntegerConverter):
    """`<id:image_id>`: the number of a row."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=MAX_ID)


def register(app: Flask) -> None:
    """Make `<id:...>` known to the addresses of an application."""
    app.url_map.converters["id"] = IdConverter
