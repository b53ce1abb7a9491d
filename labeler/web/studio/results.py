"""The page of a turned head, and what can be done with it: rename, delete, cancel, try again."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from labeler.errors import Conflict, InvalidInput
from labeler.jobs import queue
from labeler.jobs.turning import retry_job, withdraw_turn
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.models.studio import HeadTurn
from labeler.studio.changes import rename_turn
from labeler.studio.files import remove_files
from labeler.web import access, confirmation, request_fields
from labeler.web.context import account, actor, db, render, settings
from labeler.web.studio.access import find_turn
from labeler.web.studio.result_page import has_source, result_page, waiting_page

bp = Blueprint("studio_results", __name__, url_prefix="/studio")


@bp.get("/<id:turn_id>")
@access.signed_in
def show(turn_id: int) -> tuple[str, int]:
    """A turned head, or how far the job that turns it is."""
    with db().read() as session:
        turn = find_turn(session, turn_id)
        if turn.finished_at is None or "X-Fragment" in request.headers:
            return render(waiting_page(session, turn))
        return render(result_page(session, turn))


@bp.post("/<id:turn_id>/rename")
@access.signed_in
def rename(turn_id: int) -> tuple[str, int] | Response:
    """Give a turned head another name."""
    name = request_fields.text("new_name")
    try:
        with db().write() as session:
            rename_turn(session, find_turn(session, turn_id), name, actor())
    except InvalidInput as error:
        with db().read() as session:
            turn = find_turn(session, turn_id)
            make = waiting_page if turn.finished_at is None else result_page
            return render(make(session, turn, new_name=name, problem=error.message), error.status)
    flash(_("The turned head has another name now."), "success")
    return _to(turn_id)


@bp.post("/<id:turn_id>/delete")
@access.signed_in
def delete(turn_id: int) -> tuple[str, int] | Response:
    """Delete a turned head with its files. That cannot be taken back, so the site asks first."""
    if not confirmation.is_given():
        with db().read() as session:
            return _ask_deleting(find_turn(session, turn_id))
    with db().write() as session:
        turn = find_turn(session, turn_id)
        withdraw_turn(session, turn, account().username, actor())
    remove_files(settings().home, turn_id)
    flash(_("The turned head and its files have been deleted."), "success")
    return redirect(url_for("studio_gallery.gallery"), 303)


@bp.post("/<id:turn_id>/cancel")
@access.signed_in
def cancel(turn_id: int) -> Response:
    """Cancel the job that turns the head."""
    with db().write() as session:
        turn = find_turn(session, turn_id)
        if turn.job_id is None or turn.finished_at is not None:
            raise Conflict(_("Nothing is being turned here, so there is nothing to cancel."))
        queue.cancel(session, turn.job_id, account().username, actor())
    flash(_("The turn has been cancelled. A running job ends within a minute."), "success")
    return _to(turn_id)


@bp.post("/<id:turn_id>/retry")
@access.signed_in
def retry(turn_id: int) -> Response:
    """Queue the job of a turn again, which failed or was cancelled."""
    with db().write() as session:
        turn = find_turn(session, turn_id)
        if turn.job_id is None or turn.finished_at is not None:
            raise Conflict(_("This head is turned already. Turn it anew to change something."))
        if not has_source(turn):
            raise Conflict(_("The picture was not kept. Upload it again to turn its head."))
        retry_job(session, settings(), turn.job_id, actor())
    flash(_("The turn is queued again."), "success")
    return _to(turn_id)


def _ask_deleting(turn: HeadTurn) -> tuple[str, int]:
    effects = [_("It is not turned any more.") if turn.finished_at is None else _removed(turn)]
    if turn.share_hash is not None:
        effects.append(_("The link that shows its strip no longer works."))
    effects.append(_("This cannot be undone. Images, labels and other turned heads stay."))
    back = url_for("studio_results.show", turn_id=turn.id)
    question = _("Delete %(name)r?", name=turn.name)
    return confirmation.ask(question, effects, _("Delete it"), back)


def _removed(turn: HeadTurn) -> str:
    frames = len((turn.summary or {}).get("frames", ()))
    if not frames:
        return _("Its frames, its strip and its report are removed from the disk.")
    return ngettext(
        "Its %(num)s frame, its strip and its report are removed from the disk.",
        "Its %(num)s frames, its strip and its report are removed from the disk.",
        frames,
    )


def _to(turn_id: int) -> Response:
    return redirect(url_for("studio_results.show", turn_id=turn_id), 303)
