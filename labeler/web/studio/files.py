"""The files of results, for people who may see the result."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request, send_file, url_for
from werkzeug.wrappers import Response as BaseResponse

from labeler.errors import NotFound
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark
from labeler.models.studio import HeadTurn
from labeler.studio.archive import stream_zip
from labeler.studio.files import result_folder
from labeler.studio.pictures import show_mean, show_picture
from labeler.studio.results import (
    MIME,
    REPORTS,
    TurnResult,
    find_file,
    known_files,
    read_result,
)
from labeler.web import access
from labeler.web.context import db, manages, settings
from labeler.web.formatting import download_name
from labeler.web.studio.access import find_turn

bp = Blueprint("studio_files", __name__, url_prefix="/studio")
# A page of another origin could not show the report either: its script and styles stand in it.
ONLY_DOWNLOADED = REPORTS
GONE = mark("The files of this result are gone. They were removed from the disk.")


@bp.get("/<id:turn_id>/files/<result_file>")
@access.signed_in
def file(turn_id: int, result_file: str) -> BaseResponse:
    """A file of a result, to be shown or, with `download=yes`, to be kept."""
    with db().read() as session:
        turn = find_turn(session, turn_id)
    if result_file in REPORTS and not manages():
        raise NotFound(_("Only supervisors and admins see the report: it tells labels."))
    path = find_file(folder_of(turn), result_file)
    keep = request.args.get("download") == "yes" or result_file in ONLY_DOWNLOADED
    stem = Path(result_file).stem.replace("_", "-")
    name = download_name(turn.name, stem, path.suffix[1:], "head") if keep else None
    return _keep_in_browser(send_path(path, download=name), turn)


@bp.get("/<id:turn_id>/pictures/<id:number>")
@access.signed_in
def picture(turn_id: int, number: int) -> BaseResponse:
    """A picture of a result as pages show it: 0 is the source, 1 the first frame."""
    with db().read() as session:
        turn = find_turn(session, turn_id)
    folder = folder_of(turn)
    return _keep_in_browser(_send(show_picture(folder, load_result(folder), number)), turn)


@bp.get("/<id:turn_id>/thumbnail")
@access.signed_in
def thumbnail(turn_id: int) -> BaseResponse:
    """The frame in the middle, which stands for the result in lists."""
    with db().read() as session:
        turn = find_turn(session, turn_id)
    folder = folder_of(turn)
    result = load_result(folder)
    return _keep_in_browser(_send(show_picture(folder, result, result.middle + 1)), turn)


@bp.get("/<id:turn_id>/means/<id:number>")
@access.signed_in
def mean(turn_id: int, number: int) -> BaseResponse:
    """The mean face of a cluster; the clusters are counted from 0."""
    with db().read() as session:
        turn = find_turn(session, turn_id)
    folder = folder_of(turn)
    return _keep_in_browser(_send(show_mean(folder, load_result(folder), number)), turn)


@bp.get("/<id:turn_id>/files.zip")
@access.signed_in
def archive(turn_id: int) -> BaseResponse:
    """All files of a result that the reader may see."""
    with db().read() as session:
        turn = find_turn(session, turn_id)
    folder = folder_of(turn)
    if not known_files(folder):
        raise NotFound(_(GONE))
    name = download_name(turn.name, "turned", "zip", "head")
    pieces = stream_zip(folder, name.removesuffix(".zip"), reports=manages())
    response = Response(pieces, mimetype="application/zip")
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


def folder_of(turn: HeadTurn) -> Path:
    """Return the folder with the files of a result.

    Raises:
        NotFound: the turn has no result.
    """
    if turn.finished_at is None:
        raise NotFound(_("This head has not been turned yet."))
    return result_folder(settings().home, turn)


def load_result(folder: Path) -> TurnResult:
    """Return the result in a folder; raises `NotFound` if its files are gone or damaged."""
    result = read_result(folder)
    if result is None:
        raise NotFound(_(GONE))
    return result


def address_of(turn: HeadTurn, what: str, **values: Any) -> str:
    """Return the address of something of a result. Another result has another one.

    So browsers may keep what they get.

    Parameters:
        what: the name of a view of this module, with its `values`.
    """
    return url_for(f"studio_files.{what}", turn_id=turn.id, v=result_version(turn), **values)


def result_version(turn: HeadTurn) -> int:
    """Return a number that is another one if the head is turned again."""
    return int(turn.finished_at.timestamp()) if turn.finished_at else 0


def send_path(path: Path, download: str | None = None) -> BaseResponse:
    """Send a known file, also in parts, as players of videos ask for it.

    Parameters:
        download: the name under which the browser keeps it; None: the browser shows it.

    Raises:
        NotFound: it has gone meanwhile.
    """
    mime = MIME[path.suffix[1:]]
    try:
        return send_file(
            path, mime, as_attachment=download is not None, download_name=download, conditional=True
        )
    except OSError:
        raise NotFound(_(GONE)) from None


def _send(picture: Path | bytes) -> BaseResponse:
    if isinstance(picture, Path):
        return send_path(picture)
    return send_file(io.BytesIO(picture), MIME["png"])


def _keep_in_browser(response: BaseResponse, turn: HeadTurn) -> BaseResponse:
    """Let the person's own browser keep a file if its address names this result."""
    named = request.args.get("v") == str(result_version(turn))
    kept = "private, max-age=31536000, immutable" if named else "private, no-cache"
    response.headers["Cache-Control"] = kept
    return response
