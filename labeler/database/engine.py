"""The engine, its two kinds of transaction (`read` and `write`), locks and statements.

On SQLite a write transaction waits for the `SqliteWriteLock` and begins with BEGIN IMMEDIATE. So it
never fails in the middle. On PostgreSQL it is a plain READ COMMITTED transaction, and statements
that need a row for themselves say FOR UPDATE.
"""

from __future__ import annotations

import logging
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
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from labeler.config import SQLITE
from labeler.database import patience
from labeler.database.conflicts import as_conflict
from labeler.database.patience import Patience
from labeler.database.sqlite_write_lock import SqliteWriteLock
from labeler.errors import ConfigError
from labeler.private_files import make_private_file, sqlite_files, tighten

log = logging.getLogger(__name__)


class Database:
    """The engine of one database. Pass it around instead of sessions.

    Parameters:
        url: `sqlite:///FILE`, where FILE may have any characters, or an SQLAlchemy URL.
        limits: how long it may keep its users waiting; default: `PATIENT`.
    """

    def __init__(self, url: str, limits: Patience | None = None) -> None:
        self.url = url
        self._limits = limits or patience.PATIENT
        self.engine = self._make_engine(_read_url(url))
        writing = self.engine.execution_options(sidelight_write=True)
        self._read = sessionmaker(self.engine, expire_on_commit=False)
        self._write = sessionmaker(writing, expire_on_commit=False)
        file = self.engine.url.database if self.is_sqlite else None
        self._file_lock = SqliteWriteLock(file, self._limits.lock_s) if file else None
        self._write_lock: AbstractContextManager[None] = self._file_lock or nullcontext()

    @property
    def is_sqlite(self) -> bool:
        """Whether it is an SQLite database."""
        return self.engine.dialect.name == "sqlite"

    @property
    def address(self) -> str:
        """The address as SIDELIGHT_DATABASE_URL gives it, without a password."""
        if self.is_sqlite:
            return f"{SQLITE}{self.engine.url.database or ''}"
        return self.engine.url.render_as_string(hide_password=True)

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
        if self._file_lock is not None:
            self._file_lock.close()

    def _make_engine(self, url: URL) -> Engine:
        if url.get_backend_name() != "sqlite":
            return self._make_postgres_engine(url)
        if not url.database:  # in memory: each thread has a connection of its own
            engine = create_engine(url)
        else:
            _make_folder(Path(url.database).parent)
            # A connection caches the pages that it has read until another connection writes. The
            # most recently used connection comes next, so one does nearly all the work and a vote
            # reads few pages again.
            engine = create_engine(url, pool_use_lifo=True, pool_timeout=self._limits.pool_s)
            _keep_private(engine, Path(url.database))
        event.listen(engine, "connect", self._prepare_sqlite)
        event.listen(engine, "begin", self._begin_sqlite)
        return engine

    def _make_postgres_engine(self, url: URL) -> Engine:
        # Without these a cut network would keep a thread for hours. An address may say otherwise.
        sockets = {
            "connect_timeout": max(2, round(self._limits.connect_s)),  # the driver's least
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        }
        arguments = {name: value for name, value in sockets.items() if name not in url.query}
        engine = create_engine(
            url, pool_pre_ping=True, pool_timeout=self._limits.pool_s, connect_args=arguments
        )
        event.listen(engine, "connect", self._prepare_postgres)
        return engine

    def _prepare_postgres(self, connection: Any, _record: Any) -> None:
        limits = self._limits
        seconds = {
            "statement_timeout": limits.statement_s,
            "idle_in_transaction_session_timeout": limits.idle_s,
            "lock_timeout": None if limits.waits_for_postgres_locks else limits.lock_s,
        }
        given = {name: str(round(1000 * one)) for name, one in seconds.items() if one is not None}
        if given:
            calls = ", ".join("set_config(%s, %s, false)" for _ in given)
            connection.execute(f"SELECT {calls}", [one for pair in given.items() for one in pair])
            connection.commit()

    def _prepare_sqlite(self, connection: Any, _record: Any) -> None:
        # The driver would begin a transaction only at the first write, which is too late.
        # `_begin_sqlite` does it.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(_busy_timeout(self._limits.lock_s))
        _switch_to_wal(cursor, self._limits.lock_s)
        # With WAL, NORMAL loses no committed transaction if the process dies. If the machine loses
        # power, it may lose the last ones. The database is never corrupted.
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        # Without this, INSERT OR REPLACE would delete rows unseen by the append-only triggers.
        cursor.execute("PRAGMA recursive_triggers = ON")
        cursor.close()

    def _begin_sqlite(self, connection: Connection) -> None:
        writing = connection.get_execution_options().get("sidelight_write", False)
        statement = "BEGIN IMMEDIATE" if writing else "BEGIN"
        # A statement through SQLAlchemy would take much longer than the driver's own call.
        driver: Any = connection.connection.driver_connection
        try:
            if writing and self._file_lock is not None:
                self._begin_in_time(driver, self._file_lock.left_s)
            else:
                driver.execute(statement)
        except sqlite3.Error as error:
            # As SQLAlchemy itself does for the statements that it sends.
            raise DBAPIError.instance(statement, None, error, sqlite3.Error) from error

    def _begin_in_time(self, driver: Any, left_s: float) -> None:
        """Begin to write. Those who have waited for their turn wait less for the file."""
        if left_s > self._limits.lock_s / 2:
            driver.execute("BEGIN IMMEDIATE")
            return
        driver.execute(_busy_timeout(left_s))
        try:
            driver.execute("BEGIN IMMEDIATE")
        finally:
            driver.execute(_busy_timeout(self._limits.lock_s))


def sqlite_url(file: str | Path) -> URL:
    """The URL of an SQLite file, whose name may have any characters."""
    return URL.create("sqlite", database=str(file))


def _read_url(text: str) -> URL:
    """The URL of a database. SQLAlchemy itself would take a `?` in a file's name for options."""
    if text.startswith(SQLITE):
        return sqlite_url(text.removeprefix(SQLITE))
    return make_url(text)


def _busy_timeout(seconds: float) -> str:
    return f"PRAGMA busy_timeout = {round(1000 * seconds)}"


def _keep_private(engine: Engine, file: Path) -> None:
    """Let only the owner read the database, which holds password hashes."""

    def before_connecting(*_: Any) -> None:
        make_private_file(file)
        for each in sqlite_files(file):
            if not tighten(each) and str(each) not in _told:
                _told.add(str(each))
                log.warning(
                    "%s can be read by other users. Its owner can run: chmod 600 %s", each, each
                )

    event.listen(engine, "do_connect", before_connecting)


_told: set[str] = set()  # the files that this process has warned about


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made for the database: {error.strerror}") from None


def _switch_to_wal(cursor: sqlite3.Cursor, wait_s: float) -> None:
    """Switch to WAL, and try again while another connection does so: here SQLite does not wait."""
    end = time.monotonic() + wait_s
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not is_busy or time.monotonic() > end:  # a full or read-only disk stays so
                raise
            time.sleep(0.02)


class AdvisoryLock(IntEnum):
    """The advisory locks by the work that they protect. The values are PostgreSQL's lock keys."""

    MIGRATION = 0x51DF
    SIGN_IN = 0x51E0
    IMPORT = 0x51E1
    PRIVACY_NOTICE = 0x51E2
    DUE_JOBS = 0x51E3


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
