"""Why a database or a disk could not do its work, in words for the people who meet it.

Pages use `Failure`. Commands end with one line of `failure_message` or `disk_message`.
"""

from __future__ import annotations

import errno
import sqlite3
from dataclasses import dataclass

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark

SOON_S, LATER_S = 2, 30
_AGAIN = mark("Nothing was stored. Try again in a moment.")
_TELL = mark("Nothing was stored. Tell the person who runs this site.")


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
        return f"{_(self.problem)} {_(self.advice)}"


BUSY = Failure("database_busy", mark("The database is busy."), _AGAIN, SOON_S)
AWAY = Failure("database_unreachable", mark("The database cannot be reached."), _AGAIN, SOON_S)
FULL = Failure("disk_full", mark("The disk of the database is full."), _TELL, LATER_S)
BROKEN_DISK = Failure(
    "disk_error", mark("The disk of the database is full or does not work."), _TELL, LATER_S
)
READ_ONLY = Failure(
    "database_read_only", mark("The database can only be read at present."), _TELL, LATER_S
)
DAMAGED = Failure("database_damaged", mark("The database is damaged."), _TELL, LATER_S)

_FREE_SPACE = "The disk is full. Free some space, then try again."
_MAKE_WRITABLE = (
    "The disk or the file is read-only. Make it writable for this user, or set SIDELIGHT_HOME and "
    "SIDELIGHT_DATABASE_URL to a place that is."
)
_RESTORE = (
    "The file is damaged. Stop the site, keep a copy of the file, and restore the last backup: "
    "python manage.py restore FILE"
)
# What the person who runs a command can do, by `Failure.code`.
_ADVICE = {
    BUSY.code: "Another program uses the database. Try again in a moment.",
    AWAY.code: "Check SIDELIGHT_DATABASE_URL and that the database runs. Try again.",
    FULL.code: _FREE_SPACE,
    BROKEN_DISK.code: (
        "Free some space if the disk is full (df -h). Otherwise it may be failing (dmesg)."
    ),
    READ_ONLY.code: _MAKE_WRITABLE,
    DAMAGED.code: _RESTORE,
}
_SQLITE_ADVICE = {  # where the code of SQLite says more
    sqlite3.SQLITE_CANTOPEN: (
        "The file cannot be opened. Check that its folder exists, that this user may write to it, "
        "and that the disk is neither full nor read-only."
    ),
    sqlite3.SQLITE_NOTADB: (
        "SIDELIGHT_DATABASE_URL or SIDELIGHT_HOME may name the wrong file. If it is the right "
        "one, restore the last backup: python manage.py restore FILE"
    ),
}
_DISK_ADVICE = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: "Your share of the disk is used up. Free some space, then try again.",
    errno.EFBIG: "The file would be larger than this user may write (ulimit -f). Raise the limit.",
    errno.EROFS: _MAKE_WRITABLE,
    errno.EACCES: "This user may not do that. Check the owner and the rights of the file.",
    errno.EPERM: "This user may not do that. Check the owner and the rights of the file.",
    errno.EMFILE: "Too many files are open (ulimit -n). Raise the limit.",
    errno.EIO: "The disk may be failing. Look at dmesg, and make a backup.",
}
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


def explain_failure(error: BaseException) -> str:
    """The driver's words and what to do, for the person who runs a command."""
    said = str(getattr(error, "orig", None) or error).strip().rstrip(".")
    failure = failure_of(error)
    if failure is None:
        return said
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & 0xFF
    if isinstance(getattr(error, "orig", error), sqlite3.Error) and code in _SQLITE_ADVICE:
        return f"{said}. {_SQLITE_ADVICE[code]}"
    return f"{said}. {_ADVICE[failure.code]}"


def failure_message(error: BaseException) -> str:
    """The line that a command ends with."""
    said = explain_failure(error)
    again = "" if "ry again" in said else " Try again."
    return f"The database failed: {said.rstrip('.')}. Unfinished work was not stored.{again}"


def disk_message(error: OSError) -> str:
    """What happened to which file, and what to do."""
    place = f"{error.filename}: " if error.filename else ""
    advice = _DISK_ADVICE.get(error.errno or 0, "")
    return f"{place}{error.strerror or error}. {advice}".strip()
