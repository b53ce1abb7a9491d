"""Managing: data sets, the proposing job and the downloads."""

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
from labeler.models import Campaign, Dataset
from labeler.services import exporting, overview, progress, teaching
from labeler.web import access, chosen
from labeler.web.progress import Figure
from labeler.web.state import Page, account, db, render, settings

bp = Blueprint("admin", __name__, url_prefix="/admin")

BROKEN_SHOWN = 50
SURE_PRECISION = 0.95  # of the proposals that the button gives out


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


def links(campaign: Campaign) -> dict[str, Any]:
    """What the address of a page must carry besides to stay with this campaign."""
    return {} if campaign.active else {"campaign": campaign.id}


@bp.get("/data-sets")
@access.only("supervisor", "admin")
def datasets() -> tuple[str, int]:
    """The data sets, with what could not be read."""
    with db().read() as session:
        cards = [_dataset_card(session, one) for one in overview.list_datasets(session)]
    return render(DatasetsPage(cards))


@bp.post("/propose")
@access.only("supervisor", "admin")
def propose() -> Response:
    """Have a model trained in the background and its proposals published."""
    with db().read() as session:
        campaign = chosen.campaign(session)
        # Asked here as well as in the job, so that a person learns at once what is missing.
        teaching.check_trainable(session, campaign.id)
    jobs.propose_labels(settings(), campaign.id, account().id)
    flash("The training is queued. Its run appears below once it has started.", "success")
    return redirect(url_for("admin.model_runs", **links(campaign)), 303)


@bp.get("/export/labels.csv")
@access.only("supervisor", "admin")
def labels_csv() -> Response:
    """With `proposals=yes` also the model's, with `sure=yes` those that may stand for labels."""
    sure = request.args.get("sure") == "yes"
    with_proposals = sure or request.args.get("proposals") == "yes"
    rows = exporting.stream_labels(
        db(), _chosen_id(), with_proposals, SURE_PRECISION if sure else None
    )
    return _csv("labels.csv", rows)


@bp.get("/export/votes.csv")
@access.only("supervisor", "admin")
def votes_csv() -> Response:
    """All votes of a campaign as CSV."""
    return _csv("votes.csv", exporting.stream_votes(db(), _chosen_id()))


def _chosen_id() -> int:
    with db().read() as session:
        return chosen.campaign(session).id


def _csv(name: str, chunks: Iterator[str]) -> Response:
    response = FlaskResponse(chunks, mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def _dataset_card(session: Session, dataset: Dataset) -> DatasetCard:
    done = progress.dataset_progress(session, dataset.id)
    broken = overview.list_broken(session, dataset.id, BROKEN_SHOWN)
    words = {
        "images": done.images,
        "can be labelled": done.ok,
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
