"""The engine and the two kinds of transaction: `read` and `write`.

A write transaction on SQLite waits for its turn (`_WriteTurn`) and begins with BEGIN IMMEDIATE, so
that it never fails in the middle; on PostgreSQL it is a plain READ COMMITTED transaction
and the statements that need a row to themselves say FOR UPDATE.
"""

from __future__ import annotations

import fcntl
import os
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
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from labeler.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")
BUSY_TIMEOUT_MS = 15_000
LOOK_AGAIN_S = 0.0005  # of a process that waits for another to have written


class Database:
    """Owns the engine; hand it around instead of sessions."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _make_engine(url)
        writing = self.engine.execution_options(sidelight_write=True)
        self._read = sessionmaker(self.engine, expire_on_commit=False)
        self._write = sessionmaker(writing, expire_on_commit=False)
        file = self.engine.url.database if self.is_sqlite else None
        self._turn: AbstractContextManager[None] = _WriteTurn(file) if file else nullcontext()

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading only; whatever it did is rolled back."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed at the end, rolled back when an exception leaves it."""
        with self._turn, self._write.begin() as session:
            yield session

    def dispose(self) -> None:
        """Close the pool; to be called after a fork and at the end of a test."""
        self.engine.dispose()
        if isinstance(self._turn, _WriteTurn):
            self._turn.close()


class _WriteTurn(AbstractContextManager[None]):
    """Lets one transaction at a time write to an SQLite file: threads, then processes.

    SQLite itself makes a writer that finds the file locked sleep and look again, up to a tenth of
    a second each time; with 64 people at once some would wait for seconds. The threads of a process
    wake each other, so that no more than one of each process waits for the locks on a file beside
    the database, and may look often. They die with the process that holds them.

    There are two locks, a turnstile and the turn: who waits for the turn stands in the turnstile,
    so that the process that has just had it cannot take it again before the one that waits.

    Raises:
        OperationalError: the turn did not come for as long as SQLite itself would wait.
    """

    def __init__(self, database: str) -> None:
        self._path = f"{database}-turn"
        self._lock = threading.Lock()
        self._turnstile = self._turn = -1
        self._owner = 0

    def __enter__(self) -> None:
        end = time.monotonic() + BUSY_TIMEOUT_MS / 1000
        if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise _locked()
        try:
            self._open()
            _wait(self._turnstile, end)
            try:
                _wait(self._turn, end)
            finally:
                fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._turn, fcntl.LOCK_UN)
        self._lock.release()

    def _open(self) -> None:
        if self._owner == os.getpid():
            return
        self.close()  # a lock would be shared with the process that forked this one
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._turnstile = os.open(f"{self._path}stile", flags, 0o600)
        self._turn = os.open(self._path, flags, 0o600)
        self._owner = os.getpid()

    def close(self) -> None:
        for file in (self._turnstile, self._turn):
            if file >= 0:
                os.close(file)
        self._turnstile = self._turn = -1
        self._owner = 0


def _wait(file: int, end: float) -> None:
    """Lock an open file; looks again until `end`, since a lock that waits cannot give up."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise _locked() from None
            time.sleep(LOOK_AGAIN_S)


def _locked() -> OperationalError:
    """What SQLite says when it has waited long enough."""
    return OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError("database is locked"))


class Turn(IntEnum):
    """What only one transaction does at a time: the names of PostgreSQL's advisory locks."""

    MIGRATION = 0x51DF
    SIGN_IN = 0x51E0


def take_turn(session: Session, turn: Turn) -> None:
    """Wait until no other transaction has this turn; it is ours until the commit.

    SQLite's write transaction is that already.
    """
    if not is_sqlite(session):
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(turn)})


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


def _make_engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        _make_folder(Path(parsed.database).parent)
    # A connection keeps the pages that it has read until another one writes. The last one used
    # is the next: so one connection does nearly all, and a vote reads few pages anew.
    engine = create_engine(
        parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, **_last_used_first(parsed)
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _last_used_first(url: URL) -> dict[str, Any]:
    return {"pool_use_lifo": True} if url.database else {}  # in memory there is one for each thread


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made for the database: {error.strerror}") from None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin only at the first write, which is too late; we begin ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    _switch_to_wal(cursor)
    # With WAL, NORMAL loses no committed transaction when the process dies, only (at most the last
    # ones) when the machine loses power; the database is never corrupted.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # INSERT OR REPLACE would otherwise delete rows behind the back of the append-only triggers.
    cursor.execute("PRAGMA recursive_triggers = ON")
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Tried again while another connection does the same: here SQLite does not wait by itself."""
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
    # Straight to the driver, which takes it as quickly as it is said.
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
