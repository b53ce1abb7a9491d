"""Statements for both databases, and statements that are built once and kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

P = ParamSpec("P")
R = TypeVar("R")


def connection_of(session: Session) -> Connection:
    """The connection of a session of `Database`, kept: to find it is a tenth of a statement.

    Such a session has one transaction, so it never changes connections.
    """
    found: Connection | None = session.info.get("connection")
    if found is None or found.closed:
        found = session.info["connection"] = session.connection()
    return found


def is_sqlite(session: Session) -> bool:
    """Whether the session speaks to SQLite."""
    return session.get_bind().dialect.name == "sqlite"


def insert_or(session: Session, model: Any) -> Any:
    """An INSERT that can say `on_conflict_do_nothing()` or `on_conflict_do_update()`.

    Both databases know them by the same names, but SQLAlchemy keeps one class for each.
    """
    return insert_into(model, is_sqlite(session))


_building = threading.RLock()


def built_once(build: Callable[P, R]) -> Callable[P, R]:
    """`functools.cache` for statements, one thread at a time.

    An alias makes its columns when they are first asked for. Two threads that do so at once may get
    columns of the table itself, and the wrong statement would be kept for good.
    """
    cached = cache(build)

    @wraps(build)
    def get(*args: P.args, **kwargs: P.kwargs) -> R:
        with _building:
            return cached(*args, **kwargs)  # type: ignore[arg-type]

    return get


def insert_into(model: Any, on_sqlite: bool) -> Any:
    """`insert_or` for a statement that is built once and kept."""
    return sqlite.insert(model) if on_sqlite else postgresql.insert(model)
