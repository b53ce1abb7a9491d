"""One write transaction at a time on SQLite, in the order of arrival."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from contextlib import AbstractContextManager

from sqlalchemy.exc import OperationalError

POLL_S = 0.0005  # between two attempts of a process to take a file lock


class SqliteWriteLock(AbstractContextManager[None]):
    """A lock that lets one transaction at a time write to an SQLite file.

    If SQLite itself finds the file locked, a writer sleeps up to a tenth of a second before each
    new attempt. With 64 people at once some would wait for seconds.

    Here the threads of a process wait for a thread lock, which wakes the next one. So at most one
    thread of each process waits for the lock files beside the database, and it can try often.
    The operating system releases a file lock when the process that holds it dies.

    There are two file locks, the turnstile and the turn. A process takes the turnstile while it
    waits for the turn. So the process that has just had the turn cannot take it again before
    the process that waits.

    Parameters:
        database: the file.
        wait_s: how long to wait for the lock.

    Raises:
        OperationalError: the lock was not free in that time, as SQLite itself raises.
    """

    def __init__(self, database: str, wait_s: float) -> None:
        self._path, self._wait_s = f"{database}-turn", wait_s
        self._end, self._holder = 0.0, 0
        self._lock = threading.Lock()
        self._turnstile = self._turn = -1
        self._owner = 0

    def __enter__(self) -> None:
        end = time.monotonic() + self._wait_s
        if not self._lock.acquire(timeout=self._wait_s):
            raise _locked()
        self._end, self._holder = end, threading.get_ident()
        try:
            self._open()
            _wait(self._turnstile, end)
            try:
                _wait(self._turn, end)
            finally:
                fcntl.flock(self._turnstile, fcntl.LOCK_UN)
        except BaseException:
            self._holder = 0
            self._lock.release()
            raise

    @property
    def left_s(self) -> float:
        """What is left of this thread's time to wait; all of it if it does not have the lock."""
        if self._holder != threading.get_ident():
            return self._wait_s
        return max(0.0, self._end - time.monotonic())

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._turn, fcntl.LOCK_UN)
        self._holder = 0
        self._lock.release()

    def _open(self) -> None:
        if self._owner == os.getpid():
            return
        self.close()  # after a fork, the parent and this process would share the file locks
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._turnstile = os.open(f"{self._path}stile", flags, 0o600)
        self._turn = os.open(self._path, flags, 0o600)
        self._owner = os.getpid()

    def close(self) -> None:
        """Close the lock files."""
        for file in (self._turnstile, self._turn):
            if file >= 0:
                os.close(file)
        self._turnstile = self._turn = -1
        self._owner = 0


def _wait(file: int, end: float) -> None:
    """Lock an open file. It polls until `end`, since a lock call that waits has no timeout."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise _locked() from None
            time.sleep(POLL_S)


def _locked() -> OperationalError:
    """The error that SQLite raises when it has waited long enough."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("BEGIN IMMEDIATE", None, error)
