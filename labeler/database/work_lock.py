"""One long work at a time on a database, such as an import.

A transaction is over in milliseconds. Work of minutes, in many transactions, needs a lock that
outlasts them. The system or the server frees it when the process that holds it dies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from labeler.database.engine import AdvisoryLock, Database
from rotation.file_locks import hold_lock

SUFFIX = ".lock"
log = logging.getLogger(__name__)


@contextmanager
def work_lock(db: Database, lock: AdvisoryLock) -> Iterator[None]:
    """Hold the lock of a kind of work during the block. If somebody else does it, wait and say so.

    SQLite: a lock file beside the database, `<database>-<kind>.lock`. PostgreSQL: an advisory lock
    of a connection of its own. A database in memory has no other users.

    Raises:
        OSError: the lock file cannot be made.
    """
    kind = lock.name.lower()

    def tell(holder: str) -> None:
        log.warning(
            "Another %s is at work on this database (%s). This one waits until it has ended, and "
            "then goes on. Ctrl+C ends the waiting.",
            kind,
            holder,
        )

    if not db.is_sqlite:
        with _advisory_lock(db, lock, tell):
            yield
    elif file := db.engine.url.database:
        with hold_lock(Path(f"{file}-{kind}{SUFFIX}"), tell):
            yield
    else:
        yield


@contextmanager
def _advisory_lock(
    db: Database, lock: AdvisoryLock, tell: Callable[[str], object]
) -> Iterator[None]:
    key = {"key": int(lock)}
    # Each statement is its own transaction: an open one would keep old rows from being cleaned up.
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key):
            tell(_holder(connection, lock))
            connection.execute(text("SELECT pg_advisory_lock(:key)"), key)
        try:
            yield
        finally:
            with suppress(DBAPIError):  # the server has freed it if the connection is lost
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)


def _holder(connection: Connection, lock: AdvisoryLock) -> str:
    row = connection.execute(
        text(
            "SELECT pid, coalesce(host(client_addr), 'the same machine') AS machine "
            "FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND classid = 0 AND objid = :key AND granted "
            "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = "
            "current_database())"
        ),
        {"key": int(lock)},
    ).first()
    return f"process {row.pid} of the server, from {row.machine}" if row else "another process"
