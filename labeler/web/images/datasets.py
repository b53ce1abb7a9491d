"""The image files, and the page of the data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from flask import Blueprint, current_app, flash, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.errors import Conflict, NotFound
from labeler.image_imports.service import list_open
from labeler.images.converted import ConvertedPictures
from labeler.images.datasets import (
    campaigns_of,
    count_unknown_yaw,
    get_dataset,
    list_broken,
    list_datasets,
)
from labeler.images.serving import find_image
from labeler.jobs import kinds, queue
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.image_imports import ImageImport
from labeler.models.images import Dataset, Image
from labeler.progress import campaign_progress
from labeler.progress.campaign_progress import DatasetProgress
from labeler.web import access, request_fields
from labeler.web.context import Page, account, db, render
from labeler.web.formatting import Statistic
from labeler.web.image_address import HASH_DIGITS
from labeler.web.jobs import JobRow, list_open_jobs
from labeler.web.stored_problems import file_problem

bp = Blueprint("images", __name__)
BROKEN_SHOWN = 50


@dataclass(frozen=True, slots=True)
class BrokenFile:
    """A file that is not used, and the reason."""

    filename: str
    problem: str


@dataclass(frozen=True, slots=True)
class PosesView:
    """What is known of the poses of a data set: usable images, and those without a yaw.

    `measuring`: a job measures them.
    """

    usable: int
    unknown: int
    measuring: bool


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """A data set. `broken`: the first broken files; `more_broken`: how many others there are.

    `all_broken`: the address of all of them, "" without a campaign that shows them.
    """

    id: int
    name: str
    path: str
    active: bool
    created_at: datetime
    statistics: list[Statistic]
    broken: list[BrokenFile]
    more_broken: int
    all_broken: str
    poses: PosesView
    campaigns: int


@dataclass(frozen=True, slots=True)
class DatasetsPage(Page):
    """All data sets."""

    template = "images/datasets.html"
    datasets: list[DatasetCard]
    imports: Sequence[ImageImport] = ()
    jobs: Sequence[JobRow] = ()


@bp.get("/images/<id:image_id>/<sha_prefix>")
@access.signed_in
def image_file(image_id: int, sha_prefix: str) -> Response:
    """The file of an image, for people with an account."""
    with db().read() as session:
        found = find_image(session, image_id)
    if found.status == "broken" or found.sha256[:HASH_DIGITS] != sha_prefix:
        raise NotFound(_("This image does not exist."))
    known = request.if_none_match.contains(found.sha256)
    content, mime = (b"", "") if known else found.for_browser(_converted())
    response = Response(content, 304 if known else 200, mimetype=mime or None)
    response.set_etag(found.sha256)
    # The browser may keep it for ever, because the address depends on the content.
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


@bp.get("/admin/data-sets")
@access.only("supervisor", "admin")
def datasets() -> tuple[str, int]:
    """The data sets, with their broken files."""
    with db().read() as session:
        cards = [_dataset_card(session, one) for one in list_datasets(session)]
        page = DatasetsPage(cards, list_open(session), list_open_jobs(session))
    return render(page)


@bp.post("/admin/data-sets/<id:dataset_id>/poses")
@access.only("supervisor", "admin")
def measure_poses(dataset_id: int) -> Response:
    """Queue the measuring of the poses of a data set."""
    with db().write() as session:
        dataset = get_dataset(session, dataset_id)
        if not count_unknown_yaw(session, dataset_id):
            raise Conflict(
                _("The yaw of all usable images of %(name)s is known already.", name=dataset.name)
            )
        kinds.measure_poses.queue(session, dataset_id, account().id)
    flash(_("The poses of %(name)s are being measured.", name=dataset.name), "success")
    return redirect(request_fields.way_back(url_for("images.datasets")), 303)


def _converted() -> ConvertedPictures:
    return cast(ConvertedPictures, current_app.extensions["sidelight_pictures"])


def _dataset_card(session: Session, dataset: Dataset) -> DatasetCard:
    done = campaign_progress.dataset_progress(session, dataset.id)
    broken = list_broken(session, dataset.id, BROKEN_SHOWN)
    addresses = _addresses(session, dataset)
    return DatasetCard(
        dataset.id,
        dataset.name,
        dataset.path,
        dataset.active,
        dataset.created_at,
        _statistics(done, addresses),
        [_broken_file(image) for image in broken],
        max(0, done.broken - len(broken)),
        addresses.get("broken", ""),
        poses_view(session, dataset.id, done.ok),
        len(campaigns_of(session, dataset.id)),
    )


def _statistics(done: DatasetProgress, addresses: Mapping[str, str]) -> list[Statistic]:
    counts = (
        (_("images"), done.images, "all"),
        (_("can be labelled"), done.ok, ""),
        (_("not checked yet"), done.unchecked, "unchecked"),
        (_("broken"), done.broken, "broken"),
    )
    return [
        Statistic(word, write_number(count), addresses.get(status, ""))
        for word, count, status in counts
    ]


def _broken_file(image: Image) -> BrokenFile:
    return BrokenFile(image.filename, file_problem(image.problem, image.filename))


def poses_view(session: Session, dataset_id: int, usable: int) -> PosesView:
    """Return what is known of the poses of a data set with that many usable images."""
    return PosesView(
        usable,
        count_unknown_yaw(session, dataset_id),
        queue.is_open(session, kinds.measure_poses.name, dataset_id),
    )


def _addresses(session: Session, dataset: Dataset) -> dict[str, str]:
    """Return the addresses of the images behind the numbers, by status, for a campaign."""
    found = next(iter(campaigns_of(session, dataset.id)), None)
    if found is None:
        return {}
    wanted = {"all": None, "unchecked": "unchecked", "broken": "broken"}
    return {
        name: url_for("image_browser.images", campaign=found.id, status=status)
        for name, status in wanted.items()
    }
