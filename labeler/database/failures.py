"""Why a database could not do its work, in words for the people who meet it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

SOON_S, LATER_S = 2, 30
_AGAIN = "Nothing was stored. Try again in a moment."
_TELL = "Nothing was stored. Tell the person who runs this site."


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that is not the fault of a statement.

    Attributes:
        code: for programs.
        problem: what is wrong.
        advice: what that means for the reader of a page.
        retry_after_s: when it is worth to try again.
    """

    code: str
    problem: str
    advice: str
    retry_after_s: int

    @property
    def message(self) -> str:
        """Problem and advice."""
        return f"{self.problem} {self.advice}"


BUSY = Failure("database_busy", "The database is busy.", _AGAIN, SOON_S)
AWAY = Failure("database_unreachable", "The database cannot be reached.", _AGAIN, SOON_S)
FULL = Failure("disk_full", "The disk of the database is full.", _TELL, LATER_S)
BROKEN_DISK = Failure(
    "disk_error", "The disk of the database is full or does not work.", _TELL, LATER_S
)
READ_ONLY = Failure(
    "database_read_only", "The database can only be read at present.", _TELL, LATER_S
)
DAMAGED = Failure("database_damaged", "The database is damaged.", _TELL, LATER_S)

_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_PROTOCOL: BUSY,
    sqlite3.SQLITE_CANTOPEN: AWAY,
    sqlite3.SQLITE_PERM: AWAY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: BROKEN_DISK,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_CORRUPT: DAMAGED,
    sqlite3.SQLITE_NOTADB: DAMAGED,
}
_OF_POSTGRES = {  # by the SQLSTATE, or by its class
    "55P03": BUSY,  # a lock was not free in time
    "57014": BUSY,  # a statement took too long
    "25P03": BUSY,  # a transaction was idle for too long
    "25P04": BUSY,  # a transaction took too long
    "40": BUSY,  # a deadlock
    "53": BUSY,  # too many connections, no memory
    "53100": FULL,
    "25006": READ_ONLY,
    "58": BROKEN_DISK,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
    "08": AWAY,
    "57": AWAY,  # it stops or starts
    "28": AWAY,  # it refuses the user
    "3D": AWAY,  # there is no such database
}


def failure_of(error: BaseException) -> Failure | None:
    """What is wrong with the database, or None if the error is of another kind."""
    if isinstance(error, PoolTimeoutError):
        return BUSY
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return _OF_SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    if isinstance(cause, psycopg.Error):
        return _failure_of_postgres(cause)
    return None


def _failure_of_postgres(error: psycopg.Error) -> Failure | None:
    state = error.sqlstate
    if state is None:  # the connection failed before the server said anything
        return (
            AWAY if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else None
        )
    return _OF_POSTGRES.get(state) or _OF_POSTGRES.get(state[:2])
