"""Flag an image while labelling or later, and settle the flags of others."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, jsonify, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.assignment.leases import find_lease
from labeler.errors import NotFound, SidelightError
from labeler.flags import service as flags
from labeler.flags.service import MAX_NOTE, NewFlag, PlacedFlag
from labeler.languages.texts import gettext as _
from labeler.models.base import MAX_ID
from labeler.models.images import Image
from labeler.web import access, confirmation, request_fields
from labeler.web.confirmation import Undo
from labeler.web.context import Page, account, actor, db, render, render_problem
from labeler.web.errors import wants_json
from labeler.web.flag_reasons import REASON_WORDS
from labeler.web.image_address import image_address
from labeler.web.person_name import PersonName, name_person
from labeler.web.voting import TILE_ROOM, scaled_size

bp = Blueprint("flags", __name__)


@dataclass(frozen=True, slots=True)
class FlagRow:
    """A flag in words. `settled_by`: None while it is open. `withdrawn`: by the person."""

    id: int
    image: str
    address: str
    person: PersonName
    reason: str
    note: str
    at: datetime
    settled_at: datetime | None
    settled_by: PersonName | None
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class FlagPage(Page):
    """The form to flag an image, for browsers without scripts. `back`: the page it came from."""

    template = "flags/flag.html"
    campaign_id: int
    image_id: int
    url: str
    width: int
    height: int
    mirrored: bool
    filename: str
    back: str
    reason: str = ""
    note: str = ""
    problem: str = ""
    reasons: tuple[tuple[str, str], ...] = tuple(REASON_WORDS.items())
    max_note: int = MAX_NOTE


@bp.get("/flags/new")
@access.signed_in
def new() -> tuple[str, int]:
    """The form to flag an image that the person holds or has answered."""
    image_id, campaign_id = request_fields.row_number("image"), request_fields.row_number("of")
    back = request_fields.local_address(request.args.get("back", ""), url_for("voting.label"))
    with db().read() as session:
        return render(_page(session, campaign_id, image_id, back))


@bp.post("/flags")
@access.signed_in
def create() -> Response:
    """Flag an image. Flagging it again replaces the reason and the comment."""
    sent = _sent()
    try:
        with db().write() as session:
            flag = flags.flag_image(session, account().id, sent)
            number = flag.id
    except SidelightError as error:
        if wants_json():
            raise
        return _form_again(sent, error)
    if wants_json():
        return jsonify(ok=True, flag={"id": number})
    undo = Undo(
        url_for("flags.withdraw", flag_id=number), _("Withdraw the flag"), {"back": _back()}
    )
    confirmation.tell(_("The image is flagged. A supervisor looks at it."), undo)
    return redirect(_back(), 303)


@bp.post("/flags/<id:flag_id>/withdraw")
@access.signed_in
def withdraw(flag_id: int) -> Response:
    """Withdraw an own flag."""
    with db().write() as session:
        flags.withdraw_flag(session, flag_id, account().id)
    confirmation.tell(_("Your flag is withdrawn."))
    return redirect(_back(), 303)


@bp.post("/admin/flags/<id:flag_id>/settle")
@access.only("supervisor", "admin")
def settle(flag_id: int) -> Response:
    """Settle a flag."""
    with db().write() as session:
        flag = flags.settle_flag(session, flag_id, actor())
        image_id, campaign_id = flag.image_id, flag.campaign_id
    page = url_for("image_history.image", image_id=image_id, campaign=campaign_id)
    back = request_fields.way_back(page)
    undo = Undo(url_for("flags.reopen", flag_id=flag_id), _("Open the flag again"), {"back": back})
    confirmation.tell(_("The flag is settled."), undo)
    return redirect(back, 303)


@bp.post("/admin/flags/<id:flag_id>/reopen")
@access.only("supervisor", "admin")
def reopen(flag_id: int) -> Response:
    """Open a settled flag again."""
    with db().write() as session:
        flag = flags.reopen_flag(session, flag_id, actor())
        image_id, campaign_id = flag.image_id, flag.campaign_id
    confirmation.tell(_("The flag is open again."))
    page = url_for("image_history.image", image_id=image_id, campaign=campaign_id)
    return redirect(request_fields.way_back(page), 303)


def flag_row(placed: PlacedFlag) -> FlagRow:
    """Return a flag in words."""
    flag, image = placed.flag, placed.image
    settler = placed.settled_by
    return FlagRow(
        flag.id,
        image.filename,
        url_for("image_history.image", image_id=image.id, campaign=flag.campaign_id),
        name_person(placed.person),
        _(REASON_WORDS[flag.reason]),
        flag.note,
        flag.created_at,
        flag.settled_at,
        name_person(settler) if settler else None,
        flag.settled_by_id == flag.annotator_id,
    )


def _sent() -> NewFlag:
    if request.is_json:
        body = request_fields.json_object()
        return NewFlag(
            request_fields.json_whole(body, "campaign_id", 1, MAX_ID),
            request_fields.json_whole(body, "image_id", 1, MAX_ID),
            str(body.get("reason", "")),
            str(body.get("note", "")),
        )
    return NewFlag(
        request_fields.whole("campaign_id"),
        request_fields.whole("image_id"),
        request_fields.text("reason"),
        request_fields.text("note"),
    )


def _form_again(sent: NewFlag, error: SidelightError) -> Response:
    """Show the form with what was typed and what is wrong."""
    with db().read() as session:
        page = _page(session, sent.campaign_id, sent.image_id, _back(), sent, error.message)
    return render_problem(page, error)


def _page(
    session: Session,
    campaign_id: int,
    image_id: int,
    back: str,
    sent: NewFlag | None = None,
    problem: str = "",
) -> FlagPage:
    """Return the form. The image is shown as the person has seen it.

    Raises:
        NotFound: the person neither holds the image nor has answered it.
    """
    image, mirrored = _seen(session, campaign_id, image_id)
    size = scaled_size(image.width or 0, image.height or 0, TILE_ROOM)
    return FlagPage(
        campaign_id,
        image_id,
        image_address(image.id, image.sha256),
        *size,
        mirrored,
        image.filename,
        back,
        sent.reason if sent else "",
        sent.note if sent else "",
        problem,
    )


def _seen(session: Session, campaign_id: int, image_id: int) -> tuple[Image, bool]:
    image = session.get(Image, image_id) if image_id else None
    held = find_lease(session, campaign_id, account().id, image_id) if image else None
    vote = flags.last_vote_on(session, campaign_id, image_id, account().id) if image else None
    if image is None or (held is None and vote is None):
        raise NotFound(_("This image is not assigned to you, and you have not answered it."))
    return image, held.presentation.mirrored if held else bool(vote and vote.mirrored)


def _back() -> str:
    return request_fields.way_back(url_for("voting.label"))
