"""One write transaction at a time on SQLite, in the order of arrival: threads, then processes."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import AbstractContextManager

from sqlalchemy.exc import OperationalError

BUSY_TIMEOUT_MS = 15_000
LOOK_AGAIN_S = 0.0005  # of a process that waits for another to have written


class SqliteWriteLock(AbstractContextManager[None]):
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
