"""The worker: take jobs and run them, one at a time, since each uses all processors.

The job runs in its own thread. So the main thread sees a signal at once, even in the middle of a
long computation.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from labeler.accounts.pruning import prune
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Interrupted, SidelightError
from labeler.jobs import kinds, queue
from labeler.jobs.kinds import KINDS, LABELS, QUEUES, Cancelled, JobContext
from labeler.jobs.queue import ABANDONED_AFTER_S, BEAT_S, AbandonedJobs, TakenJob
from labeler.jobs.turning import tidy_studio
from labeler.languages.stored import keep_text
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from rotation.errors import RotationError

POLL_S = 1.0
DUE_EVERY_S = 60.0
TIDY_EVERY_S = 300.0  # files of the studio that nobody needs
PRUNE_EVERY_S = 3600.0  # ended sessions, old failures and old addresses
LOOK_EVERY_S = 5.0  # for jobs whose workers have ended
STOP_WITHIN_S = 5.0  # `serve` kills its worker after 10 s
CANCEL_WITHIN_S = 60.0
MAX_LOG = 64_000  # characters; the oldest lines go first

log = logging.getLogger(__name__)


class Worker:
    """Runs the jobs of some queues.

    Parameters:
        queues: names of `QUEUES`; the worker takes no other jobs. One that takes `LABELS` also
            queues what is due, and tidies.
        abandoned_after_s: how long the job of another worker must be without a sign of life.
    """

    def __init__(
        self,
        settings: Settings,
        queues: Collection[str] = QUEUES,
        abandoned_after_s: float = ABANDONED_AFTER_S,
    ) -> None:
        self._settings, self._queues = settings, queues
        self._db = Database(settings.database_url)
        self._stopping = threading.Event()
        self._abandoned = AbandonedJobs(abandoned_after_s)
        self._prune_accounts = _Every(PRUNE_EVERY_S, lambda: prune(self._db, utc_now()))
        self._tidy_studio = _Every(TIDY_EVERY_S, lambda: tidy_studio(self._db, settings.home))

    def stop(self) -> None:
        """End `run` soon. The job in work is handed back. A signal handler may call this."""
        self._stopping.set()

    def run(self) -> None:
        """Run jobs until `stop`. An error of the database is waited for, not raised."""
        every_minute = _Every(DUE_EVERY_S, self._queue_due)
        look = _Every(LOOK_EVERY_S, self._hand_back_abandoned)
        while not self._stopping.is_set():
            with _unless_database_fails("looking for jobs"):
                look.call_if_due()
                every_minute.call_if_due()
                if self.run_next():
                    continue
            self._stopping.wait(POLL_S)

    def close(self) -> None:
        """Close the connections to the database."""
        self._db.dispose()

    def run_next(self) -> bool:
        """Take the next job and run it; False if none is queued."""
        name = f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        taken = queue.take(self._db, self._queues, name)
        if taken is not None:
            _Attempt(self._db, self._settings, taken).run(self._stopping)
        return taken is not None

    def _queue_due(self) -> None:
        if LABELS not in self._queues:  # `serve` runs a second worker: one is enough for this
            return
        try:
            for words in kinds.queue_due(self._db):
                log.info("%s is due", words)
            with self._db.write() as session:
                queue.prune(session)
            self._prune_accounts.call_if_due()
            self._tidy_studio.call_if_due()
        except SQLAlchemyError:
            raise
        except Exception:
            log.exception("looking for due jobs has failed")

    def _hand_back_abandoned(self) -> None:
        for job_id in self._abandoned.hand_back(self._db):
            log.warning("job %s: %s", job_id, queue.LOST)


class _Attempt:
    """One attempt at one job."""

    def __init__(self, db: Database, settings: Settings, taken: TakenJob) -> None:
        self._db, self._taken = db, taken
        self._context = JobContext(
            db, settings, taken.id, taken.attempt, taken.owner_id, worker=taken.worker
        )
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._result: dict[str, object] | None = None
        self._log = _JobLog(taken.log)
        self._words = f"{taken.kind} {taken.subject}"

    def run(self, stopping: threading.Event) -> None:
        """Run the job to its end, give signs of life meanwhile, and write how it ended."""
        thread = threading.Thread(target=self._work, name=f"job-{self._taken.id}", daemon=True)
        with self._log:
            log.info("%s begins (attempt %s)", self._words, self._taken.attempt)
            thread.start()
            must_end_by = None
            beat = _Every(BEAT_S, self._beat)
            while not self._ended.wait(0.05):
                if stopping.is_set() and self._context.stop is None:
                    self._context.stop = Interrupted("The worker was stopped.")
                if self._context.stop is not None:
                    limit = STOP_WITHIN_S if stopping.is_set() else CANCEL_WITHIN_S
                    must_end_by = must_end_by or time.monotonic() + limit
                    if time.monotonic() > must_end_by:
                        self._give_up()
                beat.call_if_due()
            thread.join()
            self._write_end()

    def _work(self) -> None:
        try:
            kind = KINDS.get(self._taken.kind)
            if kind is None:
                raise SidelightError(
                    _(
                        "This version of the program does not know jobs of the kind %(kind)r. Run "
                        "the version that queued it, or cancel the job.",
                        kind=self._taken.kind,
                    )
                )
            self._result = kind.work(self._context, self._taken.subject, **self._taken.parameters)
        except BaseException as error:  # noqa: BLE001 - `_ending` tells them apart
            self._error = error
        finally:
            self._ended.set()

    def _beat(self) -> None:
        try:
            if not queue.report(self._db, self._taken, self._context.progress, str(self._log)):
                self._context.stop = self._context.stop or Cancelled("The job was cancelled.")
        except SQLAlchemyError as error:  # the next beat follows soon
            log.warning("%s: no sign of life could be written (%s)", self._words, _first(error))

    def _write_end(self) -> None:
        """Write how the job ended. If the database fails, wait for it: the end must not be lost."""
        write, words = self._ending(self._error)
        for pause_s in (0.5, 1, 2, 4, 8, 16, 32):
            with _unless_database_fails(f"ending {self._words}"):
                if not write(self._db, self._taken, log=str(self._log), **words):
                    log.info("%s was cancelled or handed back meanwhile", self._words)
                return
            time.sleep(pause_s)

    def _ending(self, error: BaseException | None) -> tuple[Callable[..., bool], dict[str, Any]]:
        """Log how the job ended; returns the function that writes it, and its arguments."""
        if error is None:
            log.info("%s is done", self._words)
            return queue.end, {"result": self._result}
        if isinstance(error, Interrupted):
            log.info("%s: the worker was stopped, so the job is queued again", self._words)
            return queue.hand_back, {"problem": "The worker was stopped", "counted": False}
        if isinstance(error, SidelightError | RotationError):
            # Expected, for example too few votes: a message is enough, and trying again is vain.
            log.error("%s: %s", self._words, error)
            kept = keep_text(error.message) if isinstance(error, SidelightError) else None
            return queue.end, {"problem": str(error), "kept_problem": kept}
        log.error("%s has failed", self._words, exc_info=error)
        return queue.hand_back, {"problem": f"{type(error).__name__}: {_first(error)}".rstrip(".")}

    def _give_up(self) -> None:
        """End the process, because the job does not end by itself. Its data stays whole.

        What a job stores is stored in transactions and complete files, so it can be cut off.
        """
        log.warning("%s does not end; its process does", self._words)
        if isinstance(self._context.stop, Interrupted):
            self._error = self._context.stop
            self._write_end()
        os._exit(0)


class _JobLog(logging.Handler):
    """Collects the lines that a job logs, after those of its earlier attempts."""

    def __init__(self, before: str) -> None:
        super().__init__(logging.INFO)
        self._text = before
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._text = (self._text + self.format(record) + "\n")[-MAX_LOG:]

    def __str__(self) -> str:
        return self._text

    def __enter__(self) -> _JobLog:
        for name in ("labeler", "rotation"):
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("labeler", "rotation"):
            logging.getLogger(name).removeHandler(self)


class _Every:
    """Calls a function at most once in `seconds`, at first at once."""

    def __init__(self, seconds: float, function: Callable[[], object]) -> None:
        self._seconds, self._function = seconds, function
        self._next = time.monotonic()

    def call_if_due(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            self._function()


@contextlib.contextmanager
def _unless_database_fails(what: str) -> Iterator[None]:
    """Log an error of the database, and go on."""
    try:
        yield
    except SQLAlchemyError as error:
        log.warning("%s: the database failed (%s)", what, _first(error))


def _first(error: BaseException) -> str:
    """The first line of an error, without the statement that SQLAlchemy adds."""
    return str(getattr(error, "orig", None) or error).strip().split("\n", 1)[0]
