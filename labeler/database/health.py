"""Whether votes can be stored at this moment, found out in a bounded time."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from labeler.database.engine import Database, is_sqlite
from labeler.database.failures import failure_of
from labeler.database.patience import FOR_HEALTH

ANSWER_S = 1.8  # a monitor waits that long at most
FRESH_S = 1.0  # for so long a result is given again, so that many questions cost little
LEAST_FREE_BYTES = 1024 * 1024
PROBE_BYTES = 64 * 1024
NO_ANSWER = "It did not answer in time."
log = logging.getLogger(__name__)


class Health:
    """Checks the database and the disk, each with connections and limits of its own.

    The checks run in a thread of their own, since some calls of a broken disk or network never
    return. Who asks waits `ANSWER_S` at most, and not at all if a check hangs already.

    Parameters:
        url: an SQLAlchemy URL of the database.
        home: the folder of the site's files.
    """

    def __init__(self, url: str, home: Path) -> None:
        self._db = Database(url, FOR_HEALTH)
        file = self._db.engine.url.database if self._db.is_sqlite else None
        self._folders = list(dict.fromkeys([home, *([Path(file).parent] if file else [])]))
        self._lock = threading.Lock()
        self._run: _Run | None = None

    def problems(self) -> dict[str, str]:
        """What each part suffers from, "" if nothing; the parts: disk, database, writing."""
        now = time.monotonic()
        with self._lock:
            run = self._run
            if run is None or (run.done.is_set() and now - run.started > FRESH_S):
                run = self._run = _Run(self._checks(), self._db.dispose)
                threading.Thread(target=run.work, name="health", daemon=True).start()
        run.done.wait(max(0.0, run.started + ANSWER_S - now))
        return run.problems()

    def _checks(self) -> Mapping[str, Callable[[], str]]:
        return {"disk": self._check_disk, "database": self._read, "writing": self._write}

    def _check_disk(self) -> str:
        """Write a file beside the database and in the home folder."""
        for folder in self._folders:
            try:
                if shutil.disk_usage(folder).free < LEAST_FREE_BYTES:
                    return "The disk is full."
                with tempfile.TemporaryFile(dir=folder) as probe:
                    probe.write(bytes(PROBE_BYTES))
            except OSError as error:
                return f"No file can be written: {os.strerror(error.errno or 0)}."
        return ""

    def _read(self) -> str:
        with self._db.read() as session:
            session.execute(text("SELECT version_num FROM alembic_version"))
        return ""

    def _write(self) -> str:
        """Take the locks of a vote, and give them back."""
        with self._db.write() as session:
            if is_sqlite(session):
                session.execute(text("SELECT 1"))  # the transaction begins with the lock
            else:
                session.execute(text("LOCK TABLE vote, lease, consensus IN ROW EXCLUSIVE MODE"))
            session.rollback()
        return ""


class _Run:
    """One run of the checks, which closes its connections at the end."""

    def __init__(self, checks: Mapping[str, Callable[[], str]], close: Callable[[], None]) -> None:
        self.started = time.monotonic()
        self.done = threading.Event()
        self._checks, self._close = checks, close
        self._found: dict[str, str] = {}

    def work(self) -> None:
        """Run the checks one after the other."""
        try:
            for part, check in self._checks.items():
                self._found[part] = _result(part, check)
            self._close()
        finally:
            self.done.set()

    def problems(self) -> dict[str, str]:
        found = dict(self._found)
        return {part: found.get(part, NO_ANSWER) for part in self._checks}


def _result(part: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except SQLAlchemyError as error:
        failure = failure_of(error)
        log.warning("The health check of %s failed: %s", part, error)
        return failure.problem if failure else "The database lacks the tables of this site."
