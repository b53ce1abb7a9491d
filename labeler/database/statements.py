"""Helpers for statements: for both databases, and for statements that are built once."""

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
    """The connection of a session of `Database`. It is cached in the session.

    Looking it up takes a tenth of the time of a statement. Such a session has one transaction, so
    its connection never changes.
    """
    found: Connection | None = session.info.get("connection")
    if found is None or found.closed:
        found = session.info["connection"] = session.connection()
    return found


def is_sqlite(session: Session) -> bool:
    """Whether the session works on an SQLite database."""
    return session.get_bind().dialect.name == "sqlite"


def insert_or(session: Session, model: Any) -> Any:
    """An INSERT with the methods `on_conflict_do_nothing` and `on_conflict_do_update`.

    Both databases have these clauses, but SQLAlchemy has a class of its own for each database.
    """
    return insert_into(model, is_sqlite(session))


_building = threading.RLock()


def built_once(build: Callable[P, R]) -> Callable[P, R]:
    """`functools.cache` for functions that build a statement, one thread at a time.

    An alias makes its columns at their first use. If two threads use them first at the same time,
    one may get columns of the table itself. The wrong statement would then stay in the cache.
    """
    cached = cache(build)

    @wraps(build)
    def get(*args: P.args, **kwargs: P.kwargs) -> R:
        with _building:
            return cached(*args, **kwargs)  # type: ignore[arg-type]

    return get


def insert_into(model: Any, on_sqlite: bool) -> Any:
    """`insert_or` for a statement that is built once, without a session at hand."""
    return sqlite.insert(model) if on_sqlite else postgresql.insert(model)
