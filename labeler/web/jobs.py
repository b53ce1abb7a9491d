"""The page of background jobs: what runs, how far it is, its log; cancel it or try it again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.accounts.service import people_by_id
from labeler.jobs import queue
from labeler.jobs.kinds import KINDS
from labeler.jobs.queue import MAX_ATTEMPTS
from labeler.jobs.turning import retry_job
from labeler.jobs.words import tell_problem, tell_state
from labeler.languages.current import ENGLISH, current_language
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.image_imports import ImageImport
from labeler.models.images import Dataset
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.web import access, request_fields
from labeler.web.context import Page, account, actor, db, render, settings
from labeler.web.formatting import format_progress
from labeler.web.person_name import PersonName, name_person

bp = Blueprint("jobs", __name__, url_prefix="/admin/jobs")
SHOWN = 50
SUBJECTS = {
    "campaign": mark("campaign %(number)s"),
    "dataset": mark("data set %(number)s"),
    "import": mark("import %(number)s"),
    "run": mark("run %(number)s"),
    "turn": mark("turned head %(number)s"),
}


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job of a list.

    `words`: what it does and to what. `owner`: who asked for it; None: it was due by itself.
    `in_english`: whether the problem is, on a page that is in another language.
    `progress`: how far it is, "" if it does not run. `total` is 0 if the progress is not known.
    """

    id: int
    words: str
    owner: PersonName | None
    state: str
    attempts: int
    problem: str
    in_english: bool
    progress: str
    done: int
    total: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def state_words(self) -> str:
        """The state as people read it."""
        return tell_state(self.state)

    @property
    def can_be_cancelled(self) -> bool:
        """Whether it has not ended."""
        return self.state in ("queued", "running")

    @property
    def can_start_again(self) -> bool:
        """Whether it ended without being done."""
        return self.state in ("failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobsPage(Page):
    """The jobs, the newest first. `older`: the address of the older ones, if there are any."""

    template = "jobs/jobs.html"
    as_of: datetime
    jobs: Sequence[JobRow]
    older: str | None
    max_attempts: int = MAX_ATTEMPTS


@dataclass(frozen=True, slots=True)
class JobPage(Page):
    """One job. `result`: what it made, "" if nothing; `log`: what its attempts have written."""

    template = "jobs/job.html"
    as_of: datetime
    job: JobRow
    result: str
    log: str
    max_attempts: int = MAX_ATTEMPTS


@bp.get("", endpoint="jobs")
@access.only("supervisor", "admin")
def jobs_page() -> tuple[str, int]:
    """The background jobs, the newest first."""
    before = request_fields.row_number("before")
    with db().read() as session:
        found = queue.list_jobs(session, SHOWN + 1, before or None)
        rows = _job_rows(session, found[:SHOWN])
    more = len(found) > SHOWN
    older = url_for("jobs.jobs", before=rows[-1].id) if more else None
    return render(JobsPage(utc_now(), rows, older))


@bp.get("/<id:job_id>")
@access.only("supervisor", "admin")
def job(job_id: int) -> tuple[str, int]:
    """A job and its log."""
    with db().read() as session:
        found = queue.get(session, job_id)
        (row,) = _job_rows(session, [found])
    result = (found.result or {}) if found.state == "done" else {}
    told = ", ".join(f"{_(name)} {value}" for name, value in result.items())
    return render(JobPage(utc_now(), row, told, found.log))


@bp.post("/<id:job_id>/cancel")
@access.only("supervisor", "admin")
def cancel(job_id: int) -> Response:
    """Cancel a job. What it has stored so far stays."""
    with db().write() as session:
        queue.cancel(session, job_id, account().username, actor())
    flash(
        _("Job %(job_id)s has been cancelled. A running job ends within a minute.", job_id=job_id),
        "success",
    )
    return redirect(url_for("jobs.job", job_id=job_id), 303)


@bp.post("/<id:job_id>/retry")
@access.only("supervisor", "admin")
def retry(job_id: int) -> Response:
    """Queue a failed or cancelled job again."""
    with db().write() as session:
        retry_job(session, settings(), job_id, actor())
    flash(_("Job %(job_id)s is queued again.", job_id=job_id), "success")
    return redirect(url_for("jobs.job", job_id=job_id), 303)


def list_open_jobs(session: Session) -> Sequence[JobRow]:
    """Return the jobs that matter now, for the pages from which people start jobs."""
    return _job_rows(session, queue.list_open(session))


def find_job_row(session: Session, job_id: int) -> JobRow | None:
    """Return a job, for the page of what it works on; None if it was deleted meanwhile."""
    found = session.get(Job, job_id)
    return _job_rows(session, [found])[0] if found is not None else None


def _job_rows(session: Session, jobs: Sequence[Job]) -> list[JobRow]:
    names = {
        "campaign": _names(session, jobs, "campaign", Campaign),
        "dataset": _names(session, jobs, "dataset", Dataset),
        "import": _names(session, jobs, "import", ImageImport),
        "turn": _names(session, jobs, "turn", HeadTurn),
    }
    people = people_by_id(session, [job.owner_id for job in jobs if job.owner_id])
    return [_job_row(one, names, people) for one in jobs]


def _names(session: Session, jobs: Sequence[Job], subject: str, table: Any) -> dict[int, str]:
    """Return the names of the subjects of this kind that the jobs have, by number."""
    wanted = {job.subject for job in jobs if _is_about(job, subject)}
    if not wanted:
        return {}
    found = select(table.id, table.name).where(table.id.in_(wanted))
    return dict(session.execute(found).all())


def _is_about(job: Job, subject: str) -> bool:
    kind = KINDS.get(job.kind)
    return kind is not None and kind.subject == subject


def _job_row(
    job: Job, names: Mapping[str, Mapping[int, str]], people: Mapping[int, Annotator]
) -> JobRow:
    told = job.progress or {}
    problem = tell_problem(job.problem or "", job.result if job.state == "failed" else None)
    return JobRow(
        job.id,
        _describe(job, names),
        name_person(people[job.owner_id]) if job.owner_id else None,
        job.state,
        job.attempts,
        problem,
        current_language() != ENGLISH and problem == job.problem,
        format_progress(told, time.time()) if job.state == "running" else "",
        told.get("done", 0),
        told.get("total", 0),
        job.created_at,
        job.started_at,
        job.ended_at,
    )


def _describe(job: Job, names: Mapping[str, Mapping[int, str]]) -> str:
    """What the job does, as the name of a row: `Train a model and propose labels: Demo`."""
    kind = KINDS.get(job.kind)
    if kind is None:
        return f"{job.kind} {job.subject}"
    about = names.get(kind.subject, {}).get(job.subject)
    about = about or _(SUBJECTS[kind.subject], number=job.subject)
    title = _(kind.title)
    return f"{title[0].upper()}{title[1:]}: {about}"
