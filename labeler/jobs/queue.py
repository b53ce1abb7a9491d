"""The queue of background jobs: add, take, report, end, hand back, cancel and list them.

A worker takes a job with one statement, so no two workers have the same one. From then on it
gives a sign of life every `BEAT_S` seconds. If these signs stop, another worker hands the job
back (`AbandonedJobs`), and it is taken again, at most `MAX_ATTEMPTS` times in all.

No decision depends on the clocks of two machines, or on a clock that may be set. A worker is
taken for dead when its count of beats has not moved for `ABANDONED_AFTER_S` seconds of the
observer's own monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Select, case, delete, exists, select
from sqlalchemy import update as update_rows
from sqlalchemy.orm import Session

from labeler.audit.log import NOBODY, Actor, record
from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound
from labeler.jobs.words import tell_state
from labeler.languages.texts import gettext as _
from labeler.models.base import utc_now
from labeler.models.jobs import Job

MAX_ATTEMPTS = 3
BEAT_S = 2.0
ABANDONED_AFTER_S = 30.0
KEPT = 500  # ended jobs, which the page lists
LOST = "its worker has ended or has lost the database"


@dataclass(frozen=True, slots=True)
class TakenJob:
    """A job that a worker has taken.

    `worker`: the name under which it reports. `log`: what earlier attempts have written.
    """

    id: int
    kind: str
    subject: int
    parameters: dict[str, Any]
    owner_id: int | None
    attempt: int
    log: str
    worker: str


def add(
    session: Session,
    kind: str,
    subject: int,
    parameters: dict[str, Any],
    *,
    queue: str,
    owner_id: int | None = None,
    once: bool = False,
) -> int | None:
    """Queue a job in the transaction of the session; returns its id.

    The job is there exactly if what it follows from was committed.

    Parameters:
        once: add nothing and return None while such a job for the same subject is queued.
    """
    if once and session.scalar(select(_of(kind, subject, "queued").exists())):
        return None
    job = Job(kind=kind, queue=queue, subject=subject, parameters=parameters, owner_id=owner_id)
    session.add(job)
    session.flush()
    return job.id


def take(db: Database, queues: Collection[str], worker: str) -> TakenJob | None:
    """Take the oldest queued job of these queues; None if there is none.

    Parameters:
        worker: a name that no other attempt has, also no later one of the same process.
    """
    waiting = select(Job.id).where(Job.state == "queued", Job.queue.in_(queues))
    with db.read() as session:
        if session.scalar(waiting.limit(1)) is None:  # most of the time; takes no write lock
            return None
    oldest = waiting.order_by(Job.id).limit(1).with_for_update(skip_locked=True)
    now = utc_now()
    statement = (
        update_rows(Job)
        .where(Job.id == oldest.scalar_subquery(), Job.state == "queued")
        .values(
            state="running",
            worker=worker,
            attempts=Job.attempts + 1,
            beats=0,
            progress=None,
            started_at=now,
            beat_at=now,
        )
        .returning(
            Job.id,
            Job.kind,
            Job.subject,
            Job.parameters,
            Job.owner_id,
            Job.attempts.label("attempt"),
            Job.log,
        )
    )
    with db.write() as session:
        row = session.execute(statement).one_or_none()
    return TakenJob(**row._mapping, worker=worker) if row else None


def report(db: Database, job: TakenJob, progress: dict[str, Any] | None, log: str) -> bool:
    """Give a sign of life, with the progress and the whole log.

    Returns:
        False if the job is no longer this worker's: it was cancelled, or handed back.
    """
    beat = {"beats": Job.beats + 1, "beat_at": utc_now()}
    return _write(db, job, {**beat, "progress": progress, "log": log})


def end(
    db: Database,
    job: TakenJob,
    *,
    log: str,
    problem: str | None = None,
    kept_problem: dict[str, Any] | None = None,
    result: dict[str, Any] | None = None,
) -> bool:
    """End a job: as done, or as failed if there is a problem; False if it is no longer ours.

    Parameters:
        kept_problem: the problem as `keep_text` returns it. It is stored as {"problem": ...} in
            the place of a result, which a failed job does not have.
    """
    return _write(
        db,
        job,
        {
            "state": "failed" if problem else "done",
            "worker": None,
            "problem": problem,
            "result": {"problem": kept_problem} if kept_problem else result,
            "ended_at": utc_now(),
            "log": log,
        },
    )


def hand_back(db: Database, job: TakenJob, problem: str, *, log: str, counted: bool = True) -> bool:
    """Queue a job again, or end it as failed after its last attempt; False if no longer ours.

    Parameters:
        problem: why, as a sentence without a full stop.
        counted: whether this was an attempt. It is not if the worker was asked to stop.
    """
    if counted:
        values = _handed_back(problem)
    else:
        values = _queued(f"{problem}. It is taken up again.", Job.attempts - 1)
    return _write(db, job, {**values, "log": log})


class AbandonedJobs:
    """Finds the jobs whose workers give no sign of life any more. Each worker has one.

    Parameters:
        after_s: how long a job must be without a sign of life.
    """

    def __init__(self, after_s: float = ABANDONED_AFTER_S) -> None:
        self._after_s = after_s
        self._seen: dict[int, tuple[str | None, int, float]] = {}

    def hand_back(self, db: Database) -> list[int]:
        """Look at all running jobs, and hand back the abandoned ones; returns their ids."""
        with db.read() as session:
            running = session.execute(
                select(Job.id, Job.worker, Job.beats).where(Job.state == "running")
            ).all()
        now, before = time.monotonic(), self._seen
        self._seen = {}
        for job_id, worker, beats in running:
            old = before.get(job_id)
            same = old is not None and old[:2] == (worker, beats)
            self._seen[job_id] = (worker, beats, old[2] if old and same else now)
        silent = [
            (job_id, worker, beats)
            for job_id, (worker, beats, since) in self._seen.items()
            if now - since >= self._after_s
        ]
        return [one[0] for one in silent if _hand_back_silent(db, *one)]


def cancel(session: Session, job_id: int, who: str, by: Actor = NOBODY) -> Job:
    """Cancel a job that has not ended. Its worker notices within seconds.

    Parameters:
        who: the name that the job then shows; `by` is for the audit log.

    Raises:
        NotFound: there is no such job.
        Conflict: it has ended.
    """
    job = get(session, job_id)
    changed = session.execute(
        update_rows(Job)
        .where(Job.id == job_id, Job.state.in_(("queued", "running")))
        .values(state="cancelled", worker=None, problem=f"cancelled by {who}", ended_at=utc_now())
    )
    if cast(CursorResult[Any], changed).rowcount != 1:
        raise Conflict(
            _(
                "Job %(number)s has ended already (%(state)s), so it cannot be cancelled.",
                number=job_id,
                state=tell_state(job.state),
            )
        )
    record(session, "job_cancelled", by, ("job", job_id), kind=job.kind)
    return job


def cancel_queued(
    session: Session, kinds: Collection[str], subjects: Select[Any], why: str, by: Actor = NOBODY
) -> None:
    """Cancel the queued jobs of these kinds about these subjects. Running ones go on.

    Parameters:
        subjects: selects their numbers.
        why: the reason that the jobs then show; `by` is for the audit log.
    """
    cancelled = session.execute(
        update_rows(Job)
        .where(Job.state == "queued", Job.kind.in_(kinds), Job.subject.in_(subjects))
        .values(state="cancelled", problem=why, ended_at=utc_now())
        .returning(Job.id, Job.kind)
        .execution_options(synchronize_session=False)
    ).all()
    for job_id, kind in cancelled:
        record(session, "job_cancelled", by, ("job", job_id), kind=kind)


def retry(session: Session, job_id: int, by: Actor = NOBODY) -> Job:
    """Queue a job again that failed or was cancelled, with all its attempts.

    Raises:
        NotFound: there is no such job.
        Conflict: it is queued, running or done.
    """
    job = get(session, job_id)
    changed = session.execute(
        update_rows(Job)
        .where(Job.id == job_id, Job.state.in_(("failed", "cancelled")))
        .values(**{**_queued(None, 0), "ended_at": None})
    )
    if cast(CursorResult[Any], changed).rowcount != 1:
        raise Conflict(
            _(
                "Job %(number)s is %(state)s. Only a failed or cancelled job starts again.",
                number=job_id,
                state=tell_state(job.state),
            )
        )
    record(session, "job_retried", by, ("job", job_id), kind=job.kind)
    return job


def get(session: Session, job_id: int) -> Job:
    """Return the job of that number.

    Raises:
        NotFound: there is no such job.
    """
    job = session.get(Job, job_id)
    if job is None:
        raise NotFound(
            _(
                "There is no job %(number)s. Ended jobs are deleted after %(kept)s others.",
                number=job_id,
                kept=KEPT,
            )
        )
    return job


def list_jobs(session: Session, limit: int, before: int | None = None) -> Sequence[Job]:
    """Return jobs, the newest first.

    Parameters:
        before: only jobs with smaller numbers.
    """
    statement = select(Job).order_by(Job.id.desc()).limit(limit)
    return session.scalars(statement.where(Job.id < before) if before else statement).all()


def list_open(session: Session) -> Sequence[Job]:
    """Return the jobs that matter now, the newest first.

    These are the queued and the running ones, and each failed one that no later job of the same
    kind and subject has made good.
    """
    later = Job.__table__.alias("later")
    followed = exists().where(
        later.c.kind == Job.kind, later.c.subject == Job.subject, later.c.id > Job.id
    )
    wanted = Job.state.in_(("queued", "running")) | ((Job.state == "failed") & ~followed)
    return session.scalars(select(Job).where(wanted).order_by(Job.id.desc()).limit(20)).all()


def is_open(session: Session, kind: str, subject: int) -> bool:
    """Whether such a job for this subject is queued or running."""
    return bool(session.scalar(select(_of(kind, subject, "queued", "running").exists())))


def is_held(session: Session, job_id: int, worker: str) -> bool:
    """Whether a job still runs under this name: it was not cancelled or handed back."""
    held = Job.id == job_id, Job.state == "running", Job.worker == worker
    return bool(session.scalar(select(select(Job.id).where(*held).exists())))


def list_waiting(session: Session, kind: str) -> Sequence[Job]:
    """Return the queued and running jobs of a kind, for pages that must not queue them twice."""
    wanted = Job.kind == kind, Job.state.in_(("queued", "running"))
    return session.scalars(select(Job).where(*wanted)).all()


def last_failure(session: Session, kind: str, subject: int) -> Job | None:
    """Return the last such job for this subject, if it has failed."""
    newest = select(Job).where(Job.kind == kind, Job.subject == subject).order_by(Job.id.desc())
    found = session.scalars(newest.limit(1)).first()
    return found if found is not None and found.state == "failed" else None


def prune(session: Session) -> int:
    """Delete all but the last `KEPT` ended jobs; returns how many were deleted."""
    ended = Job.state.in_(("done", "failed", "cancelled"))
    kept = select(Job.id).where(ended).order_by(Job.id.desc()).limit(KEPT)
    result = session.execute(delete(Job).where(ended, Job.id.not_in(kept)))
    return cast(CursorResult[Any], result).rowcount


def _of(kind: str, subject: int, *states: str) -> Select[Any]:
    return select(Job.id).where(Job.kind == kind, Job.subject == subject, Job.state.in_(states))


def _write(db: Database, job: TakenJob, values: dict[str, Any]) -> bool:
    return _change(db, job.id, job.worker, values)


def _hand_back_silent(db: Database, job_id: int, worker: str | None, beats: int) -> bool:
    return _change(db, job_id, worker, _handed_back(LOST), Job.beats == beats)


def _change(
    db: Database,
    job_id: int,
    worker: str | None,
    values: dict[str, Any],
    *conditions: ColumnElement[bool],
) -> bool:
    """Change a job that runs under this name; returns whether it still does."""
    statement = update_rows(Job).where(
        Job.id == job_id, Job.state == "running", Job.worker == worker, *conditions
    )
    with db.write() as session:
        changed = session.execute(statement.values(**values))
    return cast(CursorResult[Any], changed).rowcount == 1


def _queued(problem: str | None, attempts: Any) -> dict[str, Any]:
    return {
        "state": "queued",
        "worker": None,
        "progress": None,
        "problem": problem,
        "result": None,
        "attempts": attempts,
    }


def _handed_back(problem: str) -> dict[str, Any]:
    last: ColumnElement[bool] = Job.attempts >= MAX_ATTEMPTS
    return {
        **_queued(None, Job.attempts),
        "state": case((last, "failed"), else_="queued"),
        "ended_at": case((last, utc_now()), else_=None),
        "problem": case(
            (last, f"{problem}. This was attempt {MAX_ATTEMPTS} of {MAX_ATTEMPTS}."),
            else_=f"{problem}. It is tried again.",
        ),
    }
