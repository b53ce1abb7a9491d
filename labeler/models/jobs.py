"""Background jobs: what is to do, who asked for it, how far it is, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from labeler.models.base import Base, one_of, utc_now

JOB_STATES = ("queued", "running", "done", "failed", "cancelled")


class Job(Base):
    """A background job. `labeler.jobs.queue` alone writes it.

    `kind`: its name in `labeler.jobs.kinds`. `subject`: the number of what it works on, for
    example of a campaign. `parameters`: further arguments, by name. `owner_id`: who asked for it;
    null: it followed from the state of the database. `queue`: the workers that may take it.

    `attempts`: how often it was taken. `worker`: who has it now, a name that no other attempt
    has. A worker writes to its job only under this name, so a worker that was taken for dead
    cannot end the attempt of another one. `beats` counts the signs of life of that worker.

    `progress`: {"step", "done", "total", "began"} as in `ModelRun`. `log`: what the attempts have
    written. `problem`: why it failed, was cancelled or was tried again, in English. `result`: of a
    job that is done, its figures; of a failed one, {"problem"} as `keep_text` returns it, if the
    problem is in the catalogues.
    """

    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint(one_of("state", JOB_STATES), name="state_known"),
        CheckConstraint("(state = 'running') = (worker IS NOT NULL)", name="worker_if_running"),
        Index("ix_job_state_queue", "state", "queue"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    queue: Mapped[str] = mapped_column(String(20))
    subject: Mapped[int]
    parameters: Mapped[dict[str, Any]]
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    state: Mapped[str] = mapped_column(String(10), default="queued")
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    worker: Mapped[str | None] = mapped_column(String(120))
    beats: Mapped[int] = mapped_column(default=0)
    progress: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    problem: Mapped[str | None] = mapped_column(Text)
    log: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    beat_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
