"""Managing: the overview, data sets, the proposing job and the downloads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask import Response as FlaskResponse
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler import jobs
from labeler.domain.labels import ANSWERS, LABELS
from labeler.errors import NotFound
from labeler.models import Campaign, Dataset, ModelRun
from labeler.services import campaigns, exporting, overview, progress, proposing, runs
from labeler.services.progress import CampaignProgress
from labeler.web import access
from labeler.web.progress import Figure, Tally
from labeler.web.state import Page, db, render, settings

bp = Blueprint("admin", __name__, url_prefix="/admin")

RUNS_SHOWN = 10
BROKEN_SHOWN = 50
RUN_STATES = {"training": "in training", "published": "published", "failed": "failed"}
# What a run measured by cross-validation, in the words of the page.
MEASURES = {
    "accuracy": "accuracy",
    "accuracy_of_commonest_label": "commonest label alone",
    "macro_f1": "macro F1",
    "ece": "calibration error",
}
NO_DATASET = "No data set is being labelled: python manage.py images import PATH"


@dataclass(frozen=True, slots=True)
class RunRow:
    """A model run in the list."""

    id: int
    status: str
    state: str
    created_at: datetime
    method: str
    problem: str | None
    metrics: list[Figure]


@dataclass(frozen=True, slots=True)
class OverviewPage(Page):
    """The state of the data set that is being labelled, if there is one."""

    template = "admin/overview.html"
    heading: str
    dataset: bool = False
    figures: list[Figure] | None = None
    finished: int = 0
    total: int = 0
    votes: int = 0
    broken: int = 0
    required_votes: int = 0
    labels: list[Tally] | None = None
    answers: list[Tally] | None = None
    runs: list[RunRow] | None = None
    has_proposals: bool = False
    waiting_jobs: int = 0


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file kept out of labelling, and why."""

    filename: str
    problem: str


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """One data set with the first of its broken files."""

    id: int
    name: str
    path: str
    active: bool
    created_at: datetime
    figures: list[Figure]
    broken: list[BrokenFile]
    more_broken: int


@dataclass(frozen=True, slots=True)
class DatasetsPage(Page):
    """All data sets."""

    template = "admin/datasets.html"
    datasets: list[DatasetCard]


@bp.get("/", endpoint="overview")
@access.only("supervisor", "admin")
def overview_page() -> tuple[str, int]:
    with db().read() as session:
        campaign = campaigns.active_campaign(session)
        return render(_overview(session, campaign) if campaign else OverviewPage("Overview"))


@bp.get("/data-sets")
@access.only("supervisor", "admin")
def datasets() -> tuple[str, int]:
    with db().read() as session:
        cards = [_dataset_card(session, one) for one in overview.list_datasets(session)]
    return render(DatasetsPage(cards))


@bp.post("/propose")
@access.only("supervisor", "admin")
def propose() -> Response:
    campaign_id = _active_id()
    with db().read() as session:
        # Asked here as well as in the job, so that a person learns at once what is missing.
        proposing.check_trainable(session, campaign_id)
    jobs.propose_labels(settings(), campaign_id)
    flash("The training is queued. Its run appears below when it has begun.", "success")
    return redirect(url_for("admin.overview"), 303)


@bp.get("/export/labels.csv")
@access.only("supervisor", "admin")
def labels_csv() -> Response:
    with_proposals = request.args.get("proposals") == "yes"
    return _csv("labels.csv", exporting.stream_labels(db(), _active_id(), with_proposals))


@bp.get("/export/votes.csv")
@access.only("supervisor", "admin")
def votes_csv() -> Response:
    return _csv("votes.csv", exporting.stream_votes(db(), _active_id()))


def _active_id() -> int:
    with db().read() as session:
        campaign = campaigns.active_campaign(session)
    if campaign is None:
        raise NotFound(NO_DATASET)
    return campaign.id


def _csv(name: str, chunks: Iterator[str]) -> Response:
    response = FlaskResponse(chunks, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def _overview(session: Session, campaign: Campaign) -> OverviewPage:
    done = progress.campaign_progress(session, campaign.id)
    images = progress.dataset_progress(session, campaign.dataset_id)
    return OverviewPage(
        heading=campaign.name,
        dataset=True,
        figures=_figures(done),
        finished=done.agreed + done.contested,
        total=done.images,
        votes=done.votes,
        broken=images.broken,
        required_votes=campaign.rules["required_votes"],
        labels=[Tally(label, done.labels.get(label, 0)) for label in LABELS],
        answers=[Tally(answer, done.answers.get(answer, 0)) for answer in ANSWERS],
        runs=[
            _run_row(run) for run in overview.list_runs(session, campaign.dataset_id, RUNS_SHOWN)
        ],
        has_proposals=runs.current_run(session, campaign.dataset_id) is not None,
        waiting_jobs=jobs.count_waiting(settings()),
    )


def _figures(done: CampaignProgress) -> list[Figure]:
    words = {
        "votes": done.votes,
        "agreed": done.agreed,
        "contested": done.contested,
        "open": done.open,
    }
    return [Figure(word, f"{number:,}") for word, number in words.items()]


def _run_row(run: ModelRun) -> RunRow:
    return RunRow(
        run.id,
        run.status,
        RUN_STATES[run.status],
        run.created_at,
        run.method,
        run.problem,
        _metrics(run.metrics),
    )


def _metrics(measured: dict[str, Any]) -> list[Figure]:
    """The shares in percent, and on how many labelled images the run was trained."""
    validated = measured.get("cross_validation") or {}
    shown = [
        Figure(word, f"{100 * validated[name]:.1f} %")
        for name, word in MEASURES.items()
        if isinstance(validated.get(name), int | float)
    ]
    if "n_training" in measured:
        shown.append(Figure("labelled images", f"{measured['n_training']:,}"))
    return shown


def _dataset_card(session: Session, dataset: Dataset) -> DatasetCard:
    done = progress.dataset_progress(session, dataset.id)
    broken = overview.list_broken(session, dataset.id, BROKEN_SHOWN)
    words = {
        "images": done.images,
        "to label": done.ok,
        "not checked yet": done.unchecked,
        "broken": done.broken,
    }
    return DatasetCard(
        dataset.id,
        dataset.name,
        dataset.path,
        dataset.active,
        dataset.created_at,
        [Figure(word, f"{number:,}") for word, number in words.items()],
        [BrokenFile(image.filename, image.problem or "") for image in broken],
        max(0, done.broken - len(broken)),
    )
