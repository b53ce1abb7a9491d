"""Row numbers in addresses."""

from __future__ import annotations

from flask import Flask
from werkzeug.routing import IntegerConverter, Map

from labeler.models.base import MAX_ID, MAX_VOTE_ID


class IdConverter(IntegerConverter):
    """Accept the number of a row, written `<id:NAME>` in a route."""

    largest = MAX_ID

    def __init__(self, map: Map) -> None:
        super().__init__(map, max=self.largest)


class VoteIdConverter(IdConverter):
    """Accept the number of a vote, written `<vote_id:NAME>` in a route."""

    largest = MAX_VOTE_ID


def register(app: Flask) -> None:
    """Make `<id:NAME>` and `<vote_id:NAME>` known to an application."""
    app.url_map.converters["id"] = IdConverter
    app.url_map.converters["vote_id"] = VoteIdConverter
