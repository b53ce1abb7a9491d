"""The engine, its two kinds of transaction (`read` and `write`), locks and statements.

On SQLite a write transaction waits for the `SqliteWriteLock` and begins with BEGIN IMMEDIATE. So it
never fails in the middle. On PostgreSQL it is a plain READ COMMITTED transaction, and statements
that need a row for themselves say FOR UPDATE.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from labeler.database.conflicts import as_conflict
from labeler.database.sqlite_write_lock import BUSY_TIMEOUT_MS, SqliteWriteLock
from labeler.errors import ConfigError


class Database:
    """The engine of one database. Pass it around instead of sessions.

    Parameters:
        url: an SQLAlchemy URL of an SQLite or a PostgreSQL database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _make_engine(url)
        writing = self.engine.execution_options(sidelight_write=True)
        self._read = sessionmaker(self.engine, expire_on_commit=False)
        self._write = sessionmaker(writing, expire_on_commit=False)
        file = self.engine.url.database if self.is_sqlite else None
        self._write_lock: AbstractContextManager[None] = (
            SqliteWriteLock(file) if file else nullcontext()
        )

    @property
    def is_sqlite(self) -> bool:
        """Whether it is an SQLite database."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading only. Whatever it changes is rolled back."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A write transaction, committed at the end or rolled back if an exception leaves it.

        Raises:
            Conflict: somebody else has taken a unique name or place at the same moment.
        """
        try:
            with self._write_lock, self._write.begin() as session:
                yield session
        except IntegrityError as error:
            conflict = as_conflict(error)
            if conflict is None:
                raise
            raise conflict from error

    def dispose(self) -> None:
        """Close all connections. Call it after a fork and at the end of a test."""
        self.engine.dispose()
        if isinstance(self._write_lock, SqliteWriteLock):
            self._write_lock.close()


def _make_engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        _make_folder(Path(parsed.database).parent)
    # A connection caches the pages that it has read until another connection writes. The most
    # recently used connection comes next, so one does nearly all the work and a vote reads few
    # pages again.
    engine = create_engine(
        parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, **_last_used_first(parsed)
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _last_used_first(url: URL) -> dict[str, Any]:
    return (
        {"pool_use_lifo": True} if url.database else {}
    )  # a database in memory has one connection for each thread


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made for the database: {error.strerror}") from None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin a transaction only at the first write, which is too late.
    # `_begin_sqlite` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    # With WAL, NORMAL loses no committed transaction if the process dies. If the machine loses
    # power, it may lose the last ones. The database is never corrupted.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # Without this, INSERT OR REPLACE would delete rows unseen by the append-only triggers.
    cursor.execute("PRAGMA recursive_triggers = ON")
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Switch to WAL, and try again while another connection does so: here SQLite does not wait."""
    end = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("sidelight_write", False)
    # A statement through SQLAlchemy would take much longer than the driver's own call.
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")


class AdvisoryLock(IntEnum):
    """The advisory locks by the work that they protect. The values are PostgreSQL's lock keys."""

    MIGRATION = 0x51DF
    SIGN_IN = 0x51E0


def take_advisory_lock(session: Session, lock: AdvisoryLock) -> None:
    """Wait for an advisory lock and hold it until the commit.

    SQLite needs none: its write transaction is alone.
    """
    if not is_sqlite(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(lock)})


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
