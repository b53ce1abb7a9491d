"""Adding images in the browser: uploads in pieces, and folders of the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, jsonify, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response

from labeler.errors import Conflict, InvalidInput, SidelightError, WrongOffset
from labeler.image_imports import server_folders
from labeler.image_imports import service as imports
from labeler.image_imports.server_folders import ServerFolder
from labeler.image_imports.service import ANNOTATION_NAMES, MAX_NAME, NewUpload
from labeler.image_imports.storage import MB, UploadedFile
from labeler.images.datasets import list_broken
from labeler.jobs import kinds, queue
from labeler.languages.texts import gettext as _
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.image_imports import ImageImport
from labeler.models.images import Dataset
from labeler.progress import campaign_progress
from labeler.web import access, confirmation, request_fields
from labeler.web.context import Page, account, actor, db, render, settings
from labeler.web.errors import always_json
from labeler.web.formatting import format_bytes
from labeler.web.jobs import JobRow, find_job_row
from labeler.web.request_fields import MAX_UPLOAD_BYTES
from labeler.web.stored_problems import file_problem

bp = Blueprint("image_imports", __name__, url_prefix="/admin/data-sets")
PIECE_BYTES = 2 * 2**20  # about a second on a slow line; a lost piece costs no more
BROKEN_SHOWN = 50


@dataclass(frozen=True, slots=True)
class ImportRow:
    """An import that has not ended. `received`: 0 to 100; `mine`: whether I can send the rest."""

    id: int
    name: str
    owner: str
    receiving: bool
    received: int
    size: str
    mine: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload may have, in words."""

    size: str
    images: int
    form: str


@dataclass(frozen=True, slots=True)
class AddImagesPage(Page):
    """The form of an upload, the unfinished imports, and the folders of the server."""

    template = "image_imports/add.html"
    limits: Limits
    imports: Sequence[ImportRow]
    roots: Sequence[str]
    name: str = ""
    problem: str = ""
    annotation_names: Sequence[str] = ANNOTATION_NAMES
    piece_bytes: int = PIECE_BYTES
    max_name: int = MAX_NAME


@dataclass(frozen=True, slots=True)
class ServerFolderPage(Page):
    """A folder of the server, from which one chooses."""

    template = "image_imports/server_folder.html"
    folder: ServerFolder
    name: str
    problem: str = ""
    max_name: int = MAX_NAME


@dataclass(frozen=True, slots=True)
class ImportPage(Page):
    """One import. `ok`, `broken`: the numbers of images of its data set so far."""

    template = "image_imports/import.html"
    as_of: datetime
    row: ImportRow
    done: bool
    job: JobRow | None
    dataset_id: int
    ok: int
    broken: int
    broken_files: Sequence[tuple[str, str]]


@bp.get("/add")
@access.only("admin")
def add() -> tuple[str, int]:
    """The form with which images are added."""
    return render(_add_page())


@bp.post("/add")
@access.only("admin")
@request_fields.accepts_uploads
def upload_form() -> tuple[str, int] | Response:
    """Take a zip file, and annotation files, from a form. The script sends pieces instead."""
    files = [file for file in request.files.getlist("files") if file.filename]
    name = request_fields.text("name")
    try:
        wanted = NewUpload(name, [UploadedFile(_base(file), _size(file)) for file in files])
        import_id = imports.begin_upload(db(), settings(), wanted, actor())
        try:
            return _receive_whole(import_id, files)
        except SidelightError:
            _cancel(import_id)
            raise
    except SidelightError as error:
        return render(_add_page(name, error.message), error.status)


@bp.post("/imports")
@access.only("admin")
@always_json
def begin() -> tuple[Response, int]:
    """Begin an upload in pieces."""
    body = request_fields.json_object()
    wanted = NewUpload(_json_text(body, "name"), _json_files(body), _json_text(body, "fingerprint"))
    import_id = imports.begin_upload(db(), settings(), wanted, actor())
    return jsonify(ok=True, id=import_id, offset=0), 201


@bp.get("/imports/unfinished")
@access.only("admin")
@always_json
def unfinished() -> Response:
    """Return my unfinished uploads, so that the page finds the one to continue."""
    with db().read() as session:
        found = [
            {
                "id": one.id,
                "name": one.name,
                "size": one.size,
                "fingerprint": one.fingerprint,
                "offset": imports.folder_of(settings(), one).received(),
            }
            for one in imports.list_open(session)
            if one.state == "receiving" and one.owner_id == account().id
        ]
    return jsonify(ok=True, uploads=found)


@bp.get("/imports/<id:import_id>/offset")
@access.only("admin")
@always_json
def offset(import_id: int) -> Response:
    """Return how many bytes of my upload are here."""
    with db().read() as session:
        found = imports.get_upload(session, import_id, actor())
    return jsonify(ok=True, offset=imports.folder_of(settings(), found).received(), size=found.size)


@bp.post("/imports/<id:import_id>/pieces")
@access.only("admin")
@always_json
@request_fields.accepts_uploads
def receive(import_id: int) -> tuple[Response, int] | Response:
    """Take a piece, the body of the request, that begins at the byte `offset`."""
    given = request.args.get("offset", "")
    if not given.isdecimal() or len(given) > 18:
        raise InvalidInput(_("offset=%(given)r: enter the number of the byte.", given=given[:20]))
    try:
        here = imports.receive(db(), settings(), import_id, int(given), request.get_data(), actor())
    except WrongOffset as error:
        told = {"code": error.code, "message": error.message}
        return jsonify(ok=False, error=told, offset=error.offset), error.status
    return jsonify(ok=True, offset=here)


@bp.post("/imports/<id:import_id>/finish")
@access.only("admin")
@always_json
def finish(import_id: int) -> Response:
    """Say that all bytes were sent. The images are then checked and registered."""
    _finish(import_id)
    return jsonify(ok=True, address=url_for("image_imports.show", import_id=import_id))


@bp.get("/imports/<id:import_id>")
@access.only("admin")
def show(import_id: int) -> tuple[str, int]:
    """How far an import is, or what came of it."""
    with db().read() as session:
        found = imports.get_import(session, import_id)
        dataset = imports.dataset_of(session, settings(), found)
        return render(_import_page(session, found, dataset))


@bp.post("/imports/<id:import_id>/retry")
@access.only("admin")
def retry(import_id: int) -> Response:
    """Check and register the images again, after the job has failed."""
    with db().write() as session:
        found = imports.get_import(session, import_id)
        if found.state != "checking" or queue.is_open(session, kinds.import_images.name, found.id):
            raise Conflict(_("This import is at work, or has ended. Reload the page."))
        found.job_id = kinds.import_images.queue(session, found.id, account().id)
        imports.record_retry(session, found, actor())
    return _to_import(import_id)


@bp.post("/imports/<id:import_id>/cancel")
@access.only("admin")
def cancel(import_id: int) -> Response | tuple[str, int]:
    """Cancel an import and remove what was uploaded."""
    with db().read() as session:
        found = imports.get_import(session, import_id)
    if not confirmation.is_given():
        return _ask_cancelling(found)
    _cancel(import_id)
    confirmation.tell(_("The import of %(name)s has been cancelled.", name=found.name))
    return redirect(url_for("images.datasets"), 303)


@bp.get("/server")
@access.only("admin")
def server_folder() -> tuple[str, int]:
    """What a folder of the server holds."""
    folder = server_folders.list_folder(settings().image_roots, request.args.get("path", ""))
    return render(ServerFolderPage(folder, folder.path.name[:MAX_NAME]))


@bp.post("/server")
@access.only("admin")
def add_from_server() -> tuple[str, int] | Response:
    """Add the images of a folder or zip file of the server."""
    name, path = request_fields.text("name"), request_fields.text("path")
    place = server_folders.find_place(settings().image_roots, path)
    try:
        with db().write() as session:
            made = imports.begin_server_import(session, settings(), name, path, actor())
            made.job_id = kinds.import_images.queue(session, made.id, account().id)
    except (InvalidInput, Conflict) as error:
        above = place if place.is_dir() else place.parent
        folder = server_folders.list_folder(settings().image_roots, str(above))
        return render(ServerFolderPage(folder, name, error.message), error.status)
    return _to_import(made.id)


def _receive_whole(import_id: int, files: Sequence[FileStorage]) -> Response:
    """Store the files of a form, the zip file first, as `begin_upload` puts them."""
    here = 0
    for file in sorted(files, key=lambda file: not _base(file).lower().endswith(".zip")):
        here = imports.receive(db(), settings(), import_id, here, file.stream.read(), actor())
    _finish(import_id)
    return _to_import(import_id)


def _finish(import_id: int) -> None:
    with db().write() as session:
        found = imports.finish_upload(session, settings(), import_id, actor())
        found.job_id = kinds.import_images.queue(session, found.id, account().id)


def _cancel(import_id: int) -> None:
    """Cancel an import. Its files go at once, or when the job that works on them has ended."""
    with db().write() as session:
        found = imports.cancel_import(session, import_id, actor())
        began = found.job_id is not None
        if found.job_id and queue.is_open(session, kinds.import_images.name, found.id):
            queue.cancel(session, found.job_id, account().username, actor())
        if began:
            kinds.remove_import.queue(session, found.id, account().id)
    if not began:
        imports.remove_import(db(), settings(), import_id)


def _to_import(import_id: int) -> Response:
    return redirect(url_for("image_imports.show", import_id=import_id), 303)


def _ask_cancelling(found: ImageImport) -> tuple[str, int]:
    effects = [_("Its images are not added. If some are registered already, they are removed.")]
    if found.files:
        here = format_bytes(imports.folder_of(settings(), found).received())
        effects.append(_("The %(size)s that were uploaded are removed from the server.", size=here))
    else:
        effects.append(_("The files on the server stay as they are."))
    return confirmation.ask(
        _("Cancel the import of %(name)s?", name=found.name),
        effects,
        _("Cancel the import"),
        url_for("image_imports.show", import_id=found.id),
    )


def _add_page(name: str = "", problem: str = "") -> AddImagesPage:
    limits = Limits(
        format_bytes(settings().upload_mb * MB),
        settings().upload_images,
        format_bytes(MAX_UPLOAD_BYTES),
    )
    roots = [str(root) for root in settings().image_roots]
    with db().read() as session:
        rows = [_row(session, one) for one in imports.list_open(session)]
    return AddImagesPage(limits, rows, roots, name, problem)


def _import_page(session: Session, found: ImageImport, dataset: Dataset | None) -> ImportPage:
    done = campaign_progress.dataset_progress(session, dataset.id) if dataset else None
    broken = list_broken(session, dataset.id, BROKEN_SHOWN) if dataset else ()
    return ImportPage(
        utc_now(),
        _row(session, found),
        found.state == "done",
        find_job_row(session, found.job_id) if found.job_id else None,
        dataset.id if dataset else 0,
        done.ok if done else 0,
        done.broken if done else 0,
        [(one.filename, file_problem(one.problem, one.filename)) for one in broken],
    )


def _row(session: Session, found: ImageImport) -> ImportRow:
    receiving = found.state == "receiving"
    here = imports.folder_of(settings(), found).received() if receiving else found.size
    return ImportRow(
        found.id,
        found.name,
        session.get_one(Annotator, found.owner_id).username,
        receiving,
        100 * here // found.size if found.size else 100,
        format_bytes(found.size),
        found.owner_id == account().id,
        found.created_at,
    )


def _base(file: FileStorage) -> str:
    """Return the name of a file, without the folders that some browsers send."""
    return (file.filename or "").replace("\\", "/").rpartition("/")[2]


def _size(file: FileStorage) -> int:
    size = file.stream.seek(0, 2)
    file.stream.seek(0)
    return size


def _json_text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or len(value) > 1000:
        raise InvalidInput(_("%(field)s: send a text.", field=name))
    return value


def _json_files(body: dict[str, Any]) -> list[UploadedFile]:
    given = body.get("files")
    if not isinstance(given, list) or len(given) > len(ANNOTATION_NAMES) + 1:
        raise InvalidInput(_("files: send a list of objects with name and size."))
    found = []
    for each in given:
        if not isinstance(each, dict):
            raise InvalidInput(_("files: send a list of objects with name and size."))
        size = request_fields.json_whole(each, "size", 0, 2**53)
        found.append(UploadedFile(_json_text(each, "name"), size))
    return found
