"""The views of subsets: list, keep, import, show, download, rename, freeze and delete them."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as BaseResponse

from labeler.audit.log import record
from labeler.csv_input import read_filenames
from labeler.errors import InvalidInput, NotFound, SidelightError
from labeler.images.datasets import list_datasets
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.models.images import Dataset
from labeler.models.subsets import Subset
from labeler.subsets import service as subsets
from labeler.subsets.members import stream_names
from labeler.web import access, confirmation, request_fields
from labeler.web.confirmation import Undo
from labeler.web.context import actor, db, render
from labeler.web.formatting import download_name
from labeler.web.subsets.pages import (
    KINDS,
    asked,
    count_in_words,
    list_page,
    new_page,
    subset_page,
)

bp = Blueprint("subsets", __name__, url_prefix="/admin")


@bp.get("/subsets", endpoint="subsets")
@access.only("supervisor", "admin")
def list_subsets() -> tuple[str, int]:
    """The subsets of all data sets."""
    with db().read() as session:
        return render(list_page(session))


@bp.get("/subsets/new")
@access.only("supervisor", "admin")
def new_subset() -> tuple[str, int]:
    """The form that keeps the filter of the address."""
    with db().read() as session:
        return render(new_page(session, "", KINDS[0]))


@bp.post("/subsets")
@access.only("supervisor", "admin")
def create_subset() -> tuple[str, int] | BaseResponse:
    """Keep the filter of the address, or the images that it finds now."""
    name, kind = request_fields.text("name"), request_fields.text("kind")
    try:
        if kind not in KINDS:
            raise InvalidInput(
                _(
                    "kind=%(given)r: allowed are %(allowed)s.",
                    given=kind[:20],
                    allowed=", ".join(KINDS),
                )
            )
        with db().write() as session:
            campaign, _form, wanted = asked(session)
            keep = subsets.keep_filter if kind == "live" else subsets.freeze_filter
            subset = keep(session, campaign, name, wanted, actor())
    except SidelightError as error:
        with db().read() as session:
            return render(new_page(session, name, kind, error.message), error.status)
    return _done(subset.id, _("The subset is kept."))


@bp.post("/subsets/import")
@access.only("supervisor", "admin")
@request_fields.accepts_uploads
def import_subset() -> tuple[str, int] | BaseResponse:
    """Keep a list of file names."""
    name, lines = request_fields.text("name"), request_fields.text("lines")
    try:
        names = read_filenames(request_fields.uploaded_text("file") or lines)
        with db().write() as session:
            dataset = _dataset(session)
            subset = subsets.import_names(session, dataset, name, names, actor())
    except SidelightError as error:
        with db().read() as session:
            return render(list_page(session, name, lines, error.message), error.status)
    return _done(
        subset.id,
        ngettext("%(num)s image imported.", "%(num)s images imported.", subset.count or 0),
    )


@bp.get("/subsets/<id:subset_id>")
@access.only("supervisor", "admin")
def subset(subset_id: int) -> tuple[str, int]:
    """A subset: its images, its filter, and what can be done with it."""
    with db().read() as session:
        return render(subset_page(session, subset_id))


@bp.get("/subsets/<id:subset_id>/filenames.csv")
@access.only("supervisor", "admin")
def filenames_csv(subset_id: int) -> Response:
    """The file names of a subset as CSV."""
    with db().write() as session:
        found = subsets.get_subset(session, subset_id)
        name = download_name(found.name, "subset", "csv")
        record(session, "export", actor(), ("subset", subset_id), file="subset.csv")
    response = Response(stream_names(db(), found), mimetype="text/csv")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


@bp.post("/subsets/<id:subset_id>/rename")
@access.only("supervisor", "admin")
def rename_subset(subset_id: int) -> tuple[str, int] | BaseResponse:
    """Give a subset another name."""
    name = request_fields.text("new_name")
    try:
        with db().write() as session:
            found = subsets.get_subset(session, subset_id)
            subsets.rename_subset(session, found, name, actor())
    except NotFound:
        raise
    except SidelightError as error:
        with db().read() as session:
            page = subset_page(session, subset_id, new_name=name, problem=error.message)
        return render(page, error.status)
    return _done(subset_id, _("The subset has another name now."))


@bp.post("/subsets/<id:subset_id>/freeze")
@access.only("supervisor", "admin")
def freeze_subset(subset_id: int) -> tuple[str, int] | BaseResponse:
    """Keep the images that a live subset has now as a new subset."""
    name = request_fields.text("freeze_name")
    try:
        with db().write() as session:
            found = subsets.get_subset(session, subset_id)
            frozen = subsets.freeze_subset(session, found, name, actor())
    except NotFound:
        raise
    except SidelightError as error:
        with db().read() as session:
            page = subset_page(session, subset_id, freeze_name=name, problem=error.message)
        return render(page, error.status)
    return _done(frozen.id, _("This is the frozen subset. The live one stays as it was."))


@bp.post("/subsets/<id:subset_id>/delete")
@access.only("supervisor", "admin")
def delete_subset(subset_id: int) -> tuple[str, int] | BaseResponse:
    """Delete a subset. Images and labels stay."""
    if not confirmation.is_given():
        with db().read() as session:
            return _ask_deleting(session, subsets.get_subset(session, subset_id))
    with db().write() as session:
        subsets.delete_subset(session, subset_id, actor())
    address = url_for("subsets.restore_subset", subset_id=subset_id)
    undo = Undo(address, _("Undo: bring the subset back"))
    confirmation.tell(_("The subset is deleted."), undo)
    return redirect(url_for("subsets.subsets"), 303)


@bp.post("/subsets/<id:subset_id>/restore")
@access.only("supervisor", "admin")
def restore_subset(subset_id: int) -> BaseResponse:
    """Bring a deleted subset back."""
    with db().write() as session:
        subsets.restore_subset(session, subset_id, actor())
    return _done(subset_id, _("The subset is back."))


def _done(subset_id: int, text: str) -> BaseResponse:
    confirmation.tell(text)
    return redirect(url_for("subsets.subset", subset_id=subset_id), 303)


def _ask_deleting(session: Session, found: Subset) -> tuple[str, int]:
    effects = [
        _(
            "%(images)s of %(dataset)s and all their labels stay.",
            images=count_in_words(session, found),
            dataset=found.dataset.name,
        ),
        _("Campaigns that were made from it keep their images."),
        _("You can bring it back directly afterwards."),
    ]
    back = url_for("subsets.subset", subset_id=found.id)
    title = _("Delete the subset %(name)s?", name=found.name)
    return confirmation.ask(title, effects, _("Delete it"), back)


def _dataset(session: Session) -> Dataset:
    """Return the data set that the form names; without a choice the only one."""
    found = list_datasets(session)
    number = request_fields.row_number("dataset")
    chosen = next((one for one in found if one.id == number), None)
    if chosen is None and "dataset" not in request.form and found:
        chosen = found[0]
    if chosen is None:
        raise NotFound(
            _("There is no such data set. Register one: python manage.py images import PATH")
        )
    return chosen
