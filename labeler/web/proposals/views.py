"""The page of model runs: train, stop and restore them, compare two."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, flash, redirect, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.audit.log import record
from labeler.errors import Conflict, NotFound
from labeler.jobs import kinds
from labeler.jobs import queue as job_queue
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.proposals import ModelRun
from labeler.proposals import rollback, runs, schedule, training_data
from labeler.proposals import runs as proposals_runs
from labeler.proposals.runs import current_run, get_run, running_run, stop_run, was_stopped
from labeler.web import access, current_campaign, request_fields
from labeler.web.context import Page, account, actor, db, render
from labeler.web.current_campaign import links
from labeler.web.exports import SURE_PRECISION
from labeler.web.formatting import UNKNOWN, format_progress
from labeler.web.jobs import JobRow, list_open_jobs
from labeler.web.plots import Plot
from labeler.web.proposals.measures import (
    Comparison,
    compare_runs,
    format_measure,
    plot_accuracy,
)
from labeler.web.proposals.rose import Rose, draw_rose
from labeler.web.stored_problems import run_problem

bp = Blueprint("proposals", __name__, url_prefix="/admin")
RUNS_SHOWN = 50
STATUS_WORDS = {
    "training": mark("in training"),
    "published": mark("published"),
    "failed": mark("failed"),
    "stopped": mark("stopped"),
}
PUBLICATIONS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RunRow:
    """A model run of the list.

    `accuracy` and `error` (of the calibration) are texts. `sure`: the probability from which 95 %
    of the proposals are right; None if that is not known. `returning`: it becomes current again as
    soon as the worker has computed its proposals.
    """

    id: int
    status: str
    state: str
    current: bool
    created_at: datetime
    published_at: datetime | None
    method: str
    problem: str | None
    labelled: str
    accuracy: str
    error: str
    sure: str | None
    returning: bool = False


@dataclass(frozen=True, slots=True)
class RunsPage(Page):
    """All model runs of a campaign's data set, newest first.

    `campaign_id`: forms name the campaign, so that they act on no other one if another campaign
    has become active meanwhile.
    """

    template = "proposals/runs.html"
    as_of: datetime
    campaign_id: int = 0
    has_campaign: bool = False
    runs: Sequence[RunRow] = ()
    curve: Plot | None = None
    rose: Rose | None = None
    comparison: Comparison | None = None
    comparable: Sequence[int] = ()
    jobs: Sequence[JobRow] = ()
    state: RunState | None = None
    published: Sequence[PublicationRow] = ()


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run in training. `total` is 0 if its progress is not known."""

    id: int
    begun_at: datetime
    automatic: bool
    words: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class RunState:
    """The run in training, if any. `next`: when the next run starts, as a sentence.

    `queued`: a training is requested, and its run has not begun.
    """

    running: RunProgress | None
    queued: bool
    next: str


@dataclass(frozen=True, slots=True)
class PublicationRow:
    """A run became current.

    `by`: who did it; None: the run was due. `again`: the run had been current before.
    """

    run: int
    at: datetime
    by: str | None
    again: bool


@bp.get("/runs")
@access.only("supervisor", "admin")
def model_runs() -> tuple[str, int]:
    """The model runs with their measures."""
    with db().read() as session:
        campaign = current_campaign.campaign_or_none(session)
        if campaign is None:
            return render(RunsPage(utc_now()))
        return render(_page(session, campaign))


@bp.post("/runs/restore")
@access.only("supervisor", "admin")
def restore_run() -> Response:
    """Go back to a run: at once if its proposals exist, else by the background worker."""
    run_id, who = request_fields.whole("run"), account().id
    with db().write() as session:
        campaign = current_campaign.campaign(session)
        run = _own_run(session, campaign, run_id)
        rollback.check_restorable(session, run.id)
        missing = len(rollback.list_missing(session, run))
        if missing:
            if run_id not in _returning(session):
                kinds.restore_run.queue(session, run_id, who)
        else:
            rollback.republish_run(session, run.id, actor())
            kinds.refresh_dataset.queue(session, campaign.dataset_id, who)
    if missing:
        flash(
            ngettext(
                "%(num)s proposal of run %(run)s is computed again. Then the run becomes current.",
                "%(num)s proposals of run %(run)s are computed again. Then the run becomes "
                "current.",
                missing,
                run=run_id,
            ),
            "success",
        )
    else:
        told = _("Run %(run)s is now current. The site shows its proposals.", run=run_id)
        flash(told, "success")
    return redirect(url_for("proposals.model_runs", **links(campaign)), 303)


@bp.post("/runs/stop")
@access.only("supervisor", "admin")
def stop_training() -> Response:
    """Stop the model run that is in training."""
    with db().write() as session:
        campaign = current_campaign.campaign(session)
        run = running_run(session, campaign.dataset_id)
        if run is None:
            raise NotFound(_("No run is in training. It may have just finished."))
        stop_run(session, run.id, account().username, actor())
        if (job_id := run.settings.get("job")) is not None:
            with contextlib.suppress(NotFound, Conflict):  # it may have ended in the meantime
                job_queue.cancel(session, job_id, account().username, actor())
    flash(_("Run %(run)s has been stopped. The current proposals stay.", run=run.id), "success")
    return redirect(url_for("proposals.model_runs", **links(campaign)), 303)


@bp.post("/propose")
@access.only("supervisor", "admin")
def propose() -> Response:
    """Queue the training of a model, whose proposals are then published."""
    with db().write() as session:
        campaign = current_campaign.campaign(session)
        # The job checks this too, but here the person learns at once what is missing.
        training_data.check_trainable(session, campaign.id)
        new = not _is_queued(session, campaign.id)
        if new:
            kinds.propose_labels.queue(session, campaign.id, account().id)
            record(session, "training_requested", actor(), ("campaign", campaign.id))
    flash(
        _("The training is queued. Its run appears below once it has started.")
        if new
        else _("The training was queued already. Its run appears below once it has started."),
        "success",
    )
    return redirect(url_for("proposals.model_runs", **links(campaign)), 303)


def run_row(
    run: ModelRun, current_id: int | None = None, returning: Collection[int] = ()
) -> RunRow:
    """Return a run as lists show it."""
    status = "stopped" if was_stopped(run) else run.status
    found = run.metrics.get("cross_validation") or {}
    labelled = run.metrics.get("n_training")
    sure = run.metrics.get("thresholds", {}).get(f"{SURE_PRECISION:g}")
    return RunRow(
        run.id,
        status,
        _(STATUS_WORDS[status]),
        run.id == current_id,
        run.created_at,
        run.published_at,
        run.method,
        run_problem(run.problem),
        UNKNOWN if labelled is None else write_number(labelled),
        format_measure("accuracy", found.get("accuracy")),
        format_measure("ece", found.get("ece")),
        None if sure is None else f"{write_number(100 * sure, 1)} %",
        run.id in returning,
    )


def run_state(session: Session, campaign: Campaign, votes: int | None = None) -> RunState:
    """Return the run in training, and when the next run starts.

    Parameters:
        votes: the votes that count, if they have been counted already.
    """
    running = runs.running_run(session, campaign.dataset_id)
    due = schedule.load_schedule(session, campaign, votes)
    queued = running is None and _is_queued(session, campaign.id)
    return RunState(_running(running) if running else None, queued, _next(due, campaign.active))


def list_published(session: Session, dataset_id: int) -> Sequence[PublicationRow]:
    """Return which run became current and when, the newest first."""
    found = rollback.list_publications(session, dataset_id, PUBLICATIONS_SHOWN + 1)
    rows = []
    for place, (publication, name) in enumerate(found):
        # Run numbers increase with time, and a data set has one run in training at a time.
        again = any(
            one.model_run_id >= publication.model_run_id for one, _name in found[place + 1 :]
        )
        rows.append(PublicationRow(publication.model_run_id, publication.at, name, again))
    return rows[:PUBLICATIONS_SHOWN]


def _is_queued(session: Session, campaign_id: int) -> bool:
    """Return whether a training of this campaign is queued or in work."""
    return job_queue.is_open(session, kinds.propose_labels.name, campaign_id)


def _returning(session: Session) -> set[int]:
    """Return the runs whose proposals are computed again, after which they become current."""
    return {job.subject for job in job_queue.list_waiting(session, kinds.restore_run.name)}


def _own_run(session: Session, campaign: Campaign, run_id: int) -> ModelRun:
    run = get_run(session, run_id)
    if run.dataset_id != campaign.dataset_id:
        raise NotFound(f"Model run {run_id} belongs to another data set than this campaign.")
    return run


def _page(session: Session, campaign: Campaign) -> RunsPage:
    runs = proposals_runs.list_runs(session, campaign.dataset_id, RUNS_SHOWN)
    current = current_run(session, campaign.dataset_id)
    published = [run for run in runs if run.status == "published"]
    returning = _returning(session)
    return RunsPage(
        utc_now(),
        campaign.id,
        has_campaign=True,
        runs=[run_row(run, current.id if current else None, returning) for run in runs],
        curve=plot_accuracy(published),
        rose=draw_rose(current) if current else None,
        comparison=compare_runs({run.id: run for run in published}),
        comparable=[run.id for run in published],
        jobs=list_open_jobs(session),
        state=run_state(session, campaign),
        published=list_published(session, campaign.dataset_id),
    )


def _running(run: ModelRun) -> RunProgress:
    told = run.progress or {}
    words = format_progress(told, time.time())
    automatic = bool(run.settings.get("automatic"))
    done, total = told.get("done", 0), told.get("total", 0)
    return RunProgress(run.id, run.created_at, automatic, words, done, total)


def _next(due: schedule.Schedule, active: bool) -> str:
    there_are = ngettext("There is %(num)s vote.", "There are %(num)s votes.", due.votes)
    if due.due_at is None:
        return " ".join((_("A run starts only when somebody requests it."), there_are))
    if not active:
        told = _("No run starts automatically while the campaign is inactive.")
        return " ".join((told, there_are))
    if due.is_due:
        return ngettext(
            "With %(num)s vote the next run is due. It starts within a minute, as soon as the "
            "background worker is free and people have given at least two different labels.",
            "With %(num)s votes the next run is due. It starts within a minute, as soon as the "
            "background worker is free and people have given at least two different labels.",
            due.votes,
        )
    return _(
        "The next run starts automatically at %(due)s votes. There are %(votes)s.",
        due=write_number(due.due_at),
        votes=write_number(due.votes),
    )
