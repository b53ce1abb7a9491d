"""The model runs of a data set: what each measured, what more labels bring, two side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import flash, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler import jobs
from labeler.errors import NotFound
from labeler.models import Campaign, ModelRun, utc_now
from labeler.services import overview, restoring
from labeler.services.runs import current_run, get_run, running_run, stop_run
from labeler.web import access, chosen, forms
from labeler.web.admin import SURE_PRECISION, bp, links
from labeler.web.numbers import NONE
from labeler.web.plots import Plot, Series, Table, draw_shares
from labeler.web.run_state import Published, RunState, list_published, run_state
from labeler.web.state import Page, account, db, render, settings

RUNS_SHOWN = 50
STATES = {"training": "in training", "published": "published", "failed": "failed"}
# What a run measured by cross-validation, in the words of the page; True: a share.
MEASURES = {
    "accuracy": ("accuracy", True),
    "accuracy_of_commonest_label": ("always the most common label", True),
    "macro_f1": ("macro F1", True),
    "ece": ("calibration error", True),
    "log_loss": ("log loss", False),
}


@dataclass(frozen=True, slots=True)
class RunRow:
    """A model run in the list. `accuracy` and `error` (calibration) in words; `sure`: the
    probability from which 95 % of the proposals are right, None where that is not known."""

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


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of two runs; `change` from the first to the second, "" where it has no sense."""

    word: str
    first: str
    second: str
    change: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side."""

    first: int
    second: int
    rows: Sequence[Compared]


@dataclass(frozen=True, slots=True)
class RunsPage(Page):
    """All model runs of a campaign's data set, newest first."""

    template = "admin/runs.html"
    as_of: datetime
    campaign: dict[str, int] | None = None
    has_campaign: bool = False
    runs: Sequence[RunRow] = ()
    curve: Plot | None = None
    comparison: Comparison | None = None
    comparable: Sequence[int] = ()
    waiting_jobs: int = 0
    state: RunState | None = None
    published: Sequence[Published] = ()


@bp.get("/runs")
@access.only("supervisor", "admin")
def model_runs() -> tuple[str, int]:
    """The model runs, with the measures of each."""
    with db().read() as session:
        campaign = chosen.campaign_or_none(session)
        if campaign is None:
            return render(RunsPage(utc_now()))
        return render(_page(session, campaign))


@bp.post("/runs/restore")
@access.only("supervisor", "admin")
def restore_run() -> Response:
    """Go back to a run: at once where its proposals are there, else by the worker."""
    run_id, who = forms.whole("run"), account().id
    with db().write() as session:
        campaign = chosen.campaign(session)
        run = _own_run(session, campaign, run_id)
        restoring.check_restorable(session, run.id)
        missing = len(restoring.list_missing(session, run))
        if not missing:
            restoring.republish_run(session, run.id, who)
    if missing:
        jobs.restore_run(settings(), run_id, who)
        flash(
            f"{missing:,} proposals of run {run_id} are computed again. Then the run becomes "
            "current.",
            "success",
        )
    else:
        jobs.queue_dataset_refresh(settings(), campaign.dataset_id)
        flash(f"Run {run_id} is now current. The site shows its proposals.", "success")
    return redirect(url_for("admin.model_runs", **links(campaign)), 303)


@bp.post("/runs/stop")
@access.only("supervisor", "admin")
def stop_training() -> Response:
    """Stop the model run that is in training."""
    with db().write() as session:
        campaign = chosen.campaign(session)
        run = running_run(session, campaign.dataset_id)
        if run is None:
            raise NotFound("No run is in training. It may have just finished.")
        stop_run(session, run.id, account().username)
    flash(f"Run {run.id} has been stopped. The current proposals stay.", "success")
    return redirect(url_for("admin.model_runs", **links(campaign)), 303)


def _own_run(session: Session, campaign: Campaign, run_id: int) -> ModelRun:
    run = get_run(session, run_id)
    if run.dataset_id != campaign.dataset_id:
        raise NotFound(f"Model run {run_id} belongs to another data set than this campaign.")
    return run


def run_row(run: ModelRun, current_id: int | None = None) -> RunRow:
    """A run as the lists show it."""
    found = run.metrics.get("cross_validation") or {}
    labelled = run.metrics.get("n_training")
    sure = run.metrics.get("thresholds", {}).get(f"{SURE_PRECISION:g}")
    return RunRow(
        run.id,
        run.status,
        STATES[run.status],
        run.id == current_id,
        run.created_at,
        run.published_at,
        run.method,
        run.problem,
        NONE if labelled is None else f"{labelled:,}",
        _written("accuracy", found.get("accuracy")),
        _written("ece", found.get("ece")),
        None if sure is None else f"{100 * sure:.1f} %",
    )


def _page(session: Session, campaign: Campaign) -> RunsPage:
    runs = overview.list_runs(session, campaign.dataset_id, RUNS_SHOWN)
    current = current_run(session, campaign.dataset_id)
    published = [run for run in runs if run.status == "published"]
    return RunsPage(
        utc_now(),
        links(campaign),
        has_campaign=True,
        runs=[run_row(run, current.id if current else None) for run in runs],
        curve=_curve(published),
        comparison=_compare({run.id: run for run in published}),
        comparable=[run.id for run in published],
        waiting_jobs=jobs.count_waiting(settings()),
        state=run_state(session, campaign),
        published=list_published(session, campaign.dataset_id),
    )


def _curve(published: Sequence[ModelRun]) -> Plot | None:
    """Accuracy over labelled images; None before two runs have measured themselves."""
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
        written = [_written(name, found.get(name)) for name in ("accuracy", "ece")]
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
    """The two runs that the address names, else the last two."""
    newest = sorted(runs, reverse=True)[:2]
    if len(newest) < 2:
        return None
    second = runs.get(request.args.get("b", 0, type=int), runs[newest[0]])
    first = runs.get(request.args.get("a", 0, type=int), runs[newest[1]])
    rows = [Compared("method", first.method, second.method, "")]
    rows.append(_whole("labelled images", first, second, "n_training"))
    rows.append(_whole("proposals made", first, second, "n_proposed"))
    rows += [_measure(name, first, second) for name in MEASURES]
    return Comparison(first.id, second.id, rows)


def _whole(word: str, first: ModelRun, second: ModelRun, name: str) -> Compared:
    before, after = first.metrics.get(name), second.metrics.get(name)
    if before is None or after is None:
        return Compared(word, NONE, NONE, "")
    return Compared(word, f"{before:,}", f"{after:,}", _sign(f"{after - before:+,}"))


def _measure(name: str, first: ModelRun, second: ModelRun) -> Compared:
    word, is_share = MEASURES[name]
    before, after = (
        (run.metrics.get("cross_validation") or {}).get(name) for run in (first, second)
    )
    if before is None or after is None:
        return Compared(word, _written(name, before), _written(name, after), "")
    moved = f"{100 * (after - before):+.1f} points" if is_share else f"{after - before:+.3f}"
    return Compared(word, _written(name, before), _written(name, after), _sign(moved))


def _written(name: str, value: Any) -> str:
    if not isinstance(value, int | float):
        return NONE
    return f"{100 * value:.1f} %" if MEASURES[name][1] else f"{value:.3f}"


def _sign(text: str) -> str:
    return text.replace("-", "−")
