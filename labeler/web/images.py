"""The images themselves, and the page of the data sets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.errors import NotFound
from labeler.images import queries
from labeler.images.serving import read_image
from labeler.models import Dataset, Image
from labeler.progress import campaign_progress
from labeler.web import access
from labeler.web.context import Page, db, render
from labeler.web.formatting import Figure

bp = Blueprint("images", __name__)

PREFIX = 16  # hexadecimal digits of the hash in the address


def address_of(image_id: int, sha256: str) -> str:
    """Where a browser gets the picture. Other content has another address."""
    return url_for("images.picture", image_id=image_id, sha_prefix=sha256[:PREFIX])


@bp.get("/images/<id:image_id>/<sha_prefix>")
@access.signed_in
def picture(image_id: int, sha_prefix: str) -> Response:
    """An image of the data set, for people who have an account."""
    with db().read() as session:
        image = session.get(Image, image_id)
        if image is None or image.status == "broken" or image.sha256[:PREFIX] != sha_prefix:
            raise NotFound("This image does not exist.")
        known = request.if_none_match.contains(image.sha256)
        content, mime, _ = (b"", "", None) if known else read_image(session, image_id)
    response = Response(content, 304 if known else 200, mimetype=mime or None)
    response.set_etag(image.sha256)
    # The browser of this person may keep it for ever: the address names the content.
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


BROKEN_SHOWN = 50


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

    template = "images/datasets.html"
    datasets: list[DatasetCard]


@bp.get("/admin/data-sets")
@access.only("supervisor", "admin")
def datasets() -> tuple[str, int]:
    """The data sets, with what could not be read."""
    with db().read() as session:
        cards = [_dataset_card(session, one) for one in queries.list_datasets(session)]
    return render(DatasetsPage(cards))


def _dataset_card(session: Session, dataset: Dataset) -> DatasetCard:
    done = campaign_progress.dataset_progress(session, dataset.id)
    broken = queries.list_broken(session, dataset.id, BROKEN_SHOWN)
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
