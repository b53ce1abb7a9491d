"""A run in training tells that it is alive and how far it is, and learns that it was stopped."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Any, Self, cast

from sqlalchemy import CursorResult, update
from sqlalchemy.exc import OperationalError

from labeler.db import Database
from labeler.errors import Conflict
from labeler.models import ModelRun, utc_now

BEAT_S = 2.0

log = logging.getLogger(__name__)


class Watch:
    """Writes `ModelRun.progress` every `BEAT_S`, from a thread of its own.

    A fit can take minutes without a word, and yet the run is not to be taken for abandoned. The
    work itself never waits for the database here.
    """

    def __init__(self, db: Database, run_id: int) -> None:
        self._db, self._run_id = db, run_id
        self._progress: dict[str, Any] = {}
        self._ended, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._beat, name=f"run-{run_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def tell(self, step: str, done: int = 0, total: int = 0) -> None:
        """How far the run is: `done` of `total` in this step; total 0: that cannot be told.

        Raises:
            Conflict: the run was stopped.
        """
        began = time.time()
        if self._progress.get("step") == step:
            began = self._progress["began"]
        # Replaced as a whole: the other thread sees one state or the next.
        self._progress = {"step": step, "done": done, "total": total, "began": began}
        self.check()

    def check(self) -> None:
        """Raises `Conflict` if the run was stopped."""
        if self._stopped:
            raise Conflict(f"Model run {self._run_id} was stopped.")

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self._write()
            except OperationalError as error:  # the database is busy: the next beat will do
                log.warning("run %s: %s", self._run_id, error.orig)

    def _write(self) -> None:
        with self._db.write() as session:
            result = session.execute(
                update(ModelRun)
                .where(ModelRun.id == self._run_id, ModelRun.status == "training")
                .values(beat_at=utc_now(), progress=self._progress)
            )
        self._stopped = cast(CursorResult[Any], result).rowcount != 1
