"""Say what to do when a database or a disk fails: in one line, without a traceback."""

from __future__ import annotations

import errno
import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

_FULL = "The disk is full. Free some space, then try again."
_READ_ONLY = (
    "The disk or the file is read-only. Make it writable for this user, or set SIDELIGHT_HOME and "
    "SIDELIGHT_DATABASE_URL to a place that is."
)
_DAMAGED = (
    "The file is damaged. Stop the site, keep a copy of the file, and restore the last backup: "
    "python manage.py restore FILE"
)
# Error codes of SQLite and what to do. The codes are those without their extension.
_SQLITE_ADVICE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: (
        "The file cannot be opened. Check that its folder exists, that this user may write to it, "
        "and that the disk is neither full nor read-only."
    ),
    sqlite3.SQLITE_IOERR: (
        "Free some space if the disk is full (df -h). Otherwise it may be failing (dmesg)."
    ),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: (
        "SIDELIGHT_DATABASE_URL or SIDELIGHT_HOME may name the wrong file. If it is the right "
        "one, restore the last backup: python manage.py restore FILE"
    ),
    sqlite3.SQLITE_BUSY: "Another program uses the database. Try again in a moment.",
    sqlite3.SQLITE_LOCKED: "Another program uses the database. Try again in a moment.",
}
_DISK_ADVICE = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "Your share of the disk is used up. Free some space, then try again.",
    errno.EFBIG: "The file would be larger than this user may write (ulimit -f). Raise the limit.",
    errno.EROFS: _READ_ONLY,
    errno.EACCES: "This user may not do that. Check the owner and the rights of the file.",
    errno.EPERM: "This user may not do that. Check the owner and the rights of the file.",
    errno.EMFILE: "Too many files are open (ulimit -n). Raise the limit.",
    errno.EIO: "The disk may be failing. Look at dmesg, and make a backup.",
}


def is_operational(error: BaseException) -> bool:
    """Whether the database or its disk failed, so that the program itself is not to blame."""
    if isinstance(error, DBAPIError):
        original = error.orig
        return isinstance(error, (OperationalError, InterfaceError)) or (
            isinstance(original, sqlite3.Error) and is_operational(original)
        )
    # The class itself stands for a damaged file; its subclasses are mistakes of the program.
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def explain_failure(error: BaseException) -> str:
    """The driver's words and what to do."""
    original = error.orig if isinstance(error, DBAPIError) else error
    said = str(original).strip().rstrip(".")
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", None)
        advice = _SQLITE_ADVICE.get(code & 0xFF) if code is not None else None
        if advice is None and "locked" in said:
            advice = _SQLITE_ADVICE[sqlite3.SQLITE_BUSY]
        return f"{said}. {advice}" if advice else said
    return said


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
