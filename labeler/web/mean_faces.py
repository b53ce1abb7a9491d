"""The page of the mean faces, which the background worker draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, request, send_file, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.jobs import kinds, queue
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.mean_faces import files
from labeler.mean_faces.coverage import Coverage, count_coverage
from labeler.mean_faces.files import DrawnFigure, Options
from labeler.models.base import utc_now
from labeler.web import access, current_campaign, request_fields
from labeler.web.campaigns.forms import Choice
from labeler.web.context import Page, account, db, render, settings
from labeler.web.current_campaign import links
from labeler.web.formatting import download_name
from labeler.web.images.datasets import PosesView
from labeler.web.jobs import JobRow, list_open_jobs
from labeler.web.subsets.choice import chosen_subset, subset_choices
from rotation.data.labels import LABELS

bp = Blueprint("mean_faces", __name__, url_prefix="/admin")
PERCENTS = (0, 80, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class FigureView:
    """The figure that was drawn last."""

    made_at: datetime
    width: int
    height: int
    images: int
    version: int
    left_out: Sequence[str]
    poses: Sequence[str]
    counts: Sequence[tuple[str, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class MeanFacesPage(Page):
    """The page of the mean faces. `query`: the query values of the figure's address.

    `campaign_id`: its form names the campaign, so that it draws the figure of no other one if
    another campaign has become active meanwhile.

    `queued`: this figure is queued or is being drawn. `labels`: the images that have a label;
    `poses`: what is known of the poses of these.
    """

    template = "mean_faces/mean_faces.html"
    as_of: datetime
    campaign_id: int = 0
    has_campaign: bool = False
    choices: Options | None = None
    query: dict[str, Any] | None = None
    percents: Sequence[int] = PERCENTS
    figure: FigureView | None = None
    queued: bool = False
    subsets: Sequence[Choice] = ()
    jobs: Sequence[JobRow] = ()
    labels: int = 0
    poses: PosesView | None = None
    dataset_id: int = 0
    can_draw: bool = False


@bp.get("/mean-faces", endpoint="mean_faces")
@access.only("supervisor", "admin")
def mean_faces_page() -> tuple[str, int]:
    """The mean face of each light and pose."""
    with db().read() as session:
        campaign = current_campaign.campaign_or_none(session)
        if campaign is None:
            return render(MeanFacesPage(utc_now()))
        choices = _choices()
        subsets = subset_choices(session, campaign.dataset_id, choices.subset_id)
        open_jobs = list_open_jobs(session)
        queued = _is_queued(session, campaign.id, choices)
        found = _coverage(session, campaign.id, choices)
        measuring = queue.is_open(session, kinds.measure_poses.name, campaign.dataset_id)
    stored = files.find(settings().home, campaign.id, choices)
    page = MeanFacesPage(
        utc_now(),
        campaign.id,
        has_campaign=True,
        choices=choices,
        query={**links(campaign), **_query(choices)},
        figure=_figure_view(stored) if stored and stored.numbers["images"] else None,
        queued=queued,
        subsets=subsets,
        jobs=open_jobs,
        labels=found.labels,
        poses=PosesView(found.labels, found.unknown_yaw, measuring),
        dataset_id=campaign.dataset_id,
        can_draw=found.usable > 0,
    )
    return render(page)


@bp.get("/mean-faces.png")
@access.only("supervisor", "admin")
def mean_faces_png() -> Response:
    """The mean faces as a PNG image."""
    with db().read() as session:
        campaign = current_campaign.campaign(session)
    stored = files.find(settings().home, campaign.id, _choices())
    if stored is None:
        raise NotFound(_("This figure has not been drawn yet."))
    download = request.args.get("download") == "yes"
    name = download_name(campaign.name, "mean-faces", "png")
    return send_file(stored.png, "image/png", as_attachment=download, download_name=name)


@bp.post("/mean-faces")
@access.only("supervisor", "admin")
def make_mean_faces() -> Response:
    """Queue the drawing of the figure."""
    choices = _choices()
    with db().write() as session:
        campaign = current_campaign.campaign(session)
        chosen_subset(session, campaign)
        found = _coverage(session, campaign.id, choices)
        if not found.usable:
            raise Conflict(
                ngettext(
                    "There is %(num)s label, and no labelled image has a known yaw. Label images "
                    "and measure the poses first.",
                    "There are %(num)s labels, and no labelled image has a known yaw. Label images "
                    "and measure the poses first.",
                    found.labels,
                )
            )
        if not _is_queued(session, campaign.id, choices):
            kinds.draw_mean_faces.queue(session, campaign.id, account().id, options=asdict(choices))
    flash(
        _("The figure is queued. It appears here once the background worker has drawn it."),
        "success",
    )
    return redirect(url_for("mean_faces.mean_faces", **links(campaign), **_query(choices)), 303)


def _is_queued(session: Session, campaign_id: int, choices: Options) -> bool:
    """Return whether the worker is going to draw this figure anyway."""
    return any(
        job.subject == campaign_id and Options(**job.parameters["options"]) == choices
        for job in queue.list_waiting(session, kinds.draw_mean_faces.name)
    )


def _coverage(session: Session, campaign_id: int, choices: Options) -> Coverage:
    least = choices.min_percent / 100
    return count_coverage(session, campaign_id, least, choices.with_proposals, choices.subset_id)


def _choices() -> Options:
    """Read the options of the form or of the address. The default includes mirrored images."""
    given = request.values
    subset_id = request_fields.optional_row("subset")
    if "min" not in given:
        return Options(subset_id=subset_id)
    percent = given.get("min", type=int)
    if percent is None:
        raise InvalidInput(_("The lowest probability must be a whole number."))
    proposals = given.get("proposals") == "yes"
    return Options(given.get("mirror") == "yes", percent, proposals, subset_id)


def _query(choices: Options) -> dict[str, Any]:
    query: dict[str, Any] = {"min": choices.min_percent}
    if choices.mirror:
        query["mirror"] = "yes"
    if choices.with_proposals:
        query["proposals"] = "yes"
    if choices.subset_id is not None:
        query["subset"] = choices.subset_id
    return query


def _figure_view(stored: DrawnFigure) -> FigureView:
    numbers = stored.numbers
    poses, counts = _counts(numbers["cells"])
    return FigureView(
        stored.made_at,
        *stored.size,
        numbers["images"],
        int(stored.made_at.timestamp()),
        [_left_out(why, count) for why, count in numbers["left_out"].items() if count],
        poses,
        counts,
    )


def _degrees(angle: float) -> str:
    return f"{angle:g}°".replace("-", "−")


def _left_out(why: str, count: int) -> str:
    """Say how many images are left out for one of `mean_faces.statistics.REASONS`."""
    if why == "no_yaw":
        return ngettext("%(num)s without a known yaw", "%(num)s without a known yaw", count)
    if why == "beyond_the_poses":
        return ngettext("%(num)s turned too far", "%(num)s turned too far", count)
    return ngettext("%(num)s that cannot be read", "%(num)s that cannot be read", count)


def _counts(cells: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """Return the headings of the poses, and the number of images by light and pose."""
    poses = sorted({(cell["pose"], *cell["yaw_deg"]) for cell in cells})
    heads = [
        _("%(low)s to %(high)s", low=_degrees(low), high=_degrees(high))
        for _pose, low, high in poses
    ]
    rows = [
        (light, [cell["images"] for cell in cells if cell["light"] == light]) for light in LABELS
    ]
    return heads, rows
