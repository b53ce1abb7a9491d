"""Links that show the strip of a turned head, and nothing else, to everybody who has them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, flash, make_response, redirect, url_for
from flask import session as session_cookie
from werkzeug.wrappers import Response

from labeler.errors import NotFound
from labeler.languages.texts import gettext as _
from labeler.models.studio import HeadTurn
from labeler.studio.files import result_folder
from labeler.studio.pictures import measure_pictures
from labeler.studio.results import STRIP, TurnResult, find_file, read_result
from labeler.studio.sharing import find_shared, revoke_link, share_address, share_turn
from labeler.web import access, confirmation
from labeler.web.context import Page, actor, db, render, settings, site_address
from labeler.web.studio.access import find_turn
from labeler.web.studio.files import send_path
from labeler.web.studio.words import name_angle

bp = Blueprint("studio_shares", __name__)
NEW_LINK = "new_studio_link"  # in the cookie: turn and link, until the page has shown them
# Neither search machines nor the pages of links on other sites learn the address, and no cache
# keeps what the link showed.
PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
}


@dataclass(frozen=True, slots=True)
class SharedPage(Page):
    """The strip of a turned head. `strip`: its address, with its size in pixels."""

    template = "studio/shared.html"
    name: str
    strip: str
    width: int
    height: int
    description: str


@bp.post("/studio/<id:turn_id>/share")
@access.signed_in
def share(turn_id: int) -> Response:
    """Create a link. The site does not store it, so the person's own cookie brings it."""
    with db().write() as session:
        token = share_turn(session, find_turn(session, turn_id), actor())
    session_cookie[NEW_LINK] = turn_id, share_address(site_address(), token)
    return _back(turn_id)


@bp.post("/studio/<id:turn_id>/share/revoke")
@access.signed_in
def revoke(turn_id: int) -> tuple[str, int] | Response:
    """End a link. It cannot be restored, so the site asks first."""
    if not confirmation.is_given():
        with db().read() as session:
            turn = find_turn(session, turn_id)
            if turn.share_hash is not None:
                return _ask_revoking(turn)
    with db().write() as session:
        revoke_link(session, find_turn(session, turn_id), actor())
    flash(_("The link works no longer."), "success")
    return _back(turn_id)


@bp.get("/shared/<token>")
@access.public
def shared(token: str) -> Response:
    """The strip of a turned head, for those who have its link."""
    turn, folder, result = _find(token)
    sizes = measure_pictures(folder, result)
    if sizes is None:
        raise NotFound(_("The pictures of this link are no longer there."))
    strip = url_for("studio_shares.shared_strip", token=token)
    angles = ", ".join(name_angle(frame.yaw_deg) for frame in result.frames)
    description = _("The source, then the head at %(angles)s.", angles=angles)
    page = SharedPage(turn.name, strip, *sizes.strip, description)
    return _make_private(make_response(render(page)))


@bp.get("/shared/<token>/strip.png")
@access.public
def shared_strip(token: str) -> Response:
    """The picture of the strip, for those who have the link."""
    folder = _find(token)[1]
    return _make_private(send_path(find_file(folder, STRIP)))


def take_new_link(turn_id: int) -> str:
    """Return the link that was just created for a turn, once; "" if there is none."""
    number, link = session_cookie.get(NEW_LINK, (0, ""))
    if number != turn_id:
        return ""
    session_cookie.pop(NEW_LINK)
    return str(link)


def _find(token: str) -> tuple[HeadTurn, Path, TurnResult]:
    with db().read() as session:
        turn = find_shared(session, token)
    folder = result_folder(settings().home, turn)
    result = read_result(folder)
    if result is None:
        raise NotFound(_("The pictures of this link are no longer there."))
    return turn, folder, result


def _make_private(response: Response) -> Response:
    response.headers.remove("ETag")
    response.headers.remove("Last-Modified")
    for name, value in PRIVATE.items():
        response.headers[name] = value
    return response


def _ask_revoking(turn: HeadTurn) -> tuple[str, int]:
    effects = [
        _("Who opens the link no longer sees the strip."),
        _("The link cannot be restored. You can create another one."),
    ]
    back = url_for("studio_results.show", turn_id=turn.id)
    question = _("Revoke the link to %(name)r?", name=turn.name)
    return confirmation.ask(question, effects, _("Revoke the link"), back)


def _back(turn_id: int) -> Response:
    return redirect(url_for("studio_results.show", turn_id=turn_id) + "#share-title", 303)
