"""The page of model runs: train, stop and restore them, compare two."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.audit.log import record
from labeler.errors import Conflict, NotFound
from labeler.jobs import kinds
from labeler.jobs import queue as job_queue
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
from labeler.web.formatting import UNKNOWN, format_progress, plural
from labeler.web.jobs import JobRow, list_open_jobs
from labeler.web.light_rose import Rose, draw_rose
from labeler.web.plots import Plot, Series, Table, draw_shares

bp = Blueprint("proposals", __name__, url_prefix="/admin")
RUNS_SHOWN = 50
STATUS_WORDS = {
    "training": "in training",
    "published": "published",
    "failed": "failed",
    "stopped": "stopped",
}
# Measures by cross-validation: their names on the page, and whether each is a share.
MEASURES = {
    "accuracy": ("accuracy", True),
    "accuracy_of_commonest_label": ("always the most common label", True),
    "macro_f1": ("macro F1", True),
    "ece": ("calibration error", True),
    "log_loss": ("log loss", False),
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
class ComparedValue:
    """A measure of two runs, and its change. `change` is "" if there is none to compute."""

    word: str
    first: str
    second: str
    change: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side."""

    first: int
    second: int
    rows: Sequence[ComparedValue]


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
            f"{missing:,} proposals of run {run_id} are computed again. Then the run becomes "
            "current.",
            "success",
        )
    else:
        flash(f"Run {run_id} is now current. The site shows its proposals.", "success")
    return redirect(url_for("proposals.model_runs", **links(campaign)), 303)


@bp.post("/runs/stop")
@access.only("supervisor", "admin")
def stop_training() -> Response:
    """Stop the model run that is in training."""
    with db().write() as session:
        campaign = current_campaign.campaign(session)
        run = running_run(session, campaign.dataset_id)
        if run is None:
            raise NotFound("No run is in training. It may have just finished.")
        stop_run(session, run.id, account().username, actor())
        if (job_id := run.settings.get("job")) is not None:
            with contextlib.suppress(NotFound, Conflict):  # it may have ended in the meantime
                job_queue.cancel(session, job_id, account().username, actor())
    flash(f"Run {run.id} has been stopped. The current proposals stay.", "success")
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
    state = "is queued" if new else "was queued already"
    flash(f"The training {state}. Its run appears below once it has started.", "success")
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
        STATUS_WORDS[status],
        run.id == current_id,
        run.created_at,
        run.published_at,
        run.method,
        run.problem,
        UNKNOWN if labelled is None else f"{labelled:,}",
        _format_measure("accuracy", found.get("accuracy")),
        _format_measure("ece", found.get("ece")),
        None if sure is None else f"{100 * sure:.1f} %",
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
        again = any(one.model_run_id >= publication.model_run_id for one, _ in found[place + 1 :])
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
        curve=_accuracy_plot(published),
        rose=draw_rose(current) if current else None,
        comparison=_compare({run.id: run for run in published}),
        comparable=[run.id for run in published],
        jobs=list_open_jobs(session),
        state=run_state(session, campaign),
        published=list_published(session, campaign.dataset_id),
    )


def _accuracy_plot(published: Sequence[ModelRun]) -> Plot | None:
    """Plot accuracy over labelled images; None with fewer than two measured runs."""
    measured = [run for run in reversed(published) if _accuracy(run) is not None]
    if len(measured) < 2:
        return None
    points, baseline, rows = [], [], []
    for run in sorted(measured, key=lambda run: run.metrics["n_training"]):
        found, n = run.metrics["cross_validation"], run.metrics["n_training"]
        accuracy, common = found["accuracy"], found.get("accuracy_of_commonest_label")
        points.append((n, accuracy, f"Run {run.id}: {100 * accuracy:.1f} % with {n:,} images"))
        if common is not None:
            baseline.append(
                (n, common, f"Run {run.id}: {100 * common:.1f} % with always the most common label")
            )
        written = [_format_measure(name, found.get(name)) for name in ("accuracy", "ece")]
        rows.append((f"Run {run.id}", f"{n:,}", *written))
    series = [Series("the model", points), Series("always the most common label", baseline)]
    first, last = points[0], points[-1]
    return draw_shares(
        ("Accuracy by cross-validation", "labelled images that the run was trained on"),
        f"Accuracy goes from {100 * first[1]:.1f} % with {first[0]:,} images to "
        f"{100 * last[1]:.1f} % with {last[0]:,}.",
        [each for each in series if each.points],
        Table(("Run", "Labelled images", "Accuracy", "Calibration error"), rows),
    )


def _accuracy(run: ModelRun) -> float | None:
    found: float | None = (run.metrics.get("cross_validation") or {}).get("accuracy")
    return found if run.metrics.get("n_training") is not None else None


def _compare(runs: Mapping[int, ModelRun]) -> Comparison | None:
    """Compare the two runs that the address names, or the last two."""
    newest = sorted(runs, reverse=True)[:2]
    if len(newest) < 2:
        return None
    second = runs.get(request_fields.row_number("b"), runs[newest[0]])
    first = runs.get(request_fields.row_number("a"), runs[newest[1]])
    rows = [ComparedValue("method", first.method, second.method, "")]
    rows.append(_compare_counts("labelled images", first, second, "n_training"))
    rows.append(_compare_counts("proposals made", first, second, "n_proposed"))
    rows.append(_compare_counts("without a face", first, second, "n_without_face"))
    rows += [_compare_measures(name, first, second) for name in MEASURES]
    return Comparison(first.id, second.id, rows)


def _compare_counts(word: str, first: ModelRun, second: ModelRun, name: str) -> ComparedValue:
    before, after = first.metrics.get(name), second.metrics.get(name)
    if before is None or after is None:
        return ComparedValue(word, UNKNOWN, UNKNOWN, "")
    return ComparedValue(
        word, f"{before:,}", f"{after:,}", _with_true_minus(f"{after - before:+,}")
    )


def _compare_measures(name: str, first: ModelRun, second: ModelRun) -> ComparedValue:
    word, is_share = MEASURES[name]
    before, after = (
        (run.metrics.get("cross_validation") or {}).get(name) for run in (first, second)
    )
    if before is None or after is None:
        return ComparedValue(word, _format_measure(name, before), _format_measure(name, after), "")
    moved = f"{100 * (after - before):+.1f} points" if is_share else f"{after - before:+.3f}"
    return ComparedValue(
        word, _format_measure(name, before), _format_measure(name, after), _with_true_minus(moved)
    )


def _format_measure(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return UNKNOWN
    return f"{100 * value:.1f} %" if MEASURES[name][1] else f"{value:.3f}"


def _with_true_minus(text: str) -> str:
    return text.replace("-", "−")


def _running(run: ModelRun) -> RunProgress:
    told = run.progress or {}
    words = format_progress(told, time.time())
    automatic = bool(run.settings.get("automatic"))
    done, total = told.get("done", 0), told.get("total", 0)
    return RunProgress(run.id, run.created_at, automatic, words, done, total)


def _next(due: schedule.Schedule, active: bool) -> str:
    votes = f"{due.votes:,} {plural(due.votes, 'vote')}"
    if due.due_at is None:
        return f"A run starts only when somebody requests it. There are {votes}."
    if not active:
        return f"No run starts automatically while the campaign is inactive. There are {votes}."
    if due.is_due:
        return (
            f"With {votes} the next run is due. It starts within a minute, as soon as the "
            "background worker is free and people have given at least two different labels."
        )
    return f"The next run starts automatically at {due.due_at:,} votes. There are {due.votes:,}."
