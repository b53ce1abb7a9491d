"""The page that verifies many images: choose a label, mark wrong images, confirm the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, flash, jsonify, redirect, request, url_for
from flask_wtf.csrf import generate_csrf
from werkzeug.wrappers import Response

from labeler.assignment.annotator_state import load_annotator_state
from labeler.errors import InvalidInput
from labeler.labels import ANSWERS
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.models.base import MAX_ID
from labeler.rules.validation import read_whole
from labeler.verification import service as verification
from labeler.verification.candidates import SOURCES, Cell, LabelClaim
from labeler.verification.service import Refusal
from labeler.web import access, request_fields
from labeler.web.context import Link, Page, account, db, render, settings
from labeler.web.errors import wants_json
from labeler.web.idle import Idle, explain_idle
from labeler.web.image_address import image_address
from labeler.web.voting import TILE_ROOM, scaled_size
from rotation.data.labels import LABELS

bp = Blueprint("verification", __name__, url_prefix="/grid")
SOURCE_WORDS = {"model": mark("the model"), "votes": mark("the votes so far")}
LIGHT_WORDS = {
    "left": mark("light from the left"),
    "center": mark("light from the center"),
    "right": mark("light from the right"),
}
NAMED = 10  # images whose answers were refused that are named


@dataclass(frozen=True, slots=True)
class Tile:
    """An image of the page. `answer` is sent if the person does not change it."""

    image_id: int
    number: int
    url: str
    width: int
    height: int
    filename: str
    answer: str


@dataclass(frozen=True, slots=True)
class GridPage(Page):
    """The images of a claim; without a claim, the form that chooses one. `data` is for the script.

    `undo`: the batch of the last page, which can be undone. `idle`: why no image is shown.
    `campaign_id`: the campaign under which the images were assigned; 0 without images.
    """

    template = "verification/grid.html"
    claim: LabelClaim | None
    size: int
    tiles: list[Tile]
    batch: str
    undo: str | None
    idle: Idle | None
    data: dict[str, Any]
    campaign_id: int = 0
    labels: tuple[str, ...] = LABELS
    answers: tuple[str, ...] = ANSWERS
    sources: tuple[tuple[str, str], ...] = tuple(SOURCE_WORDS.items())
    sizes: tuple[int, ...] = verification.SIZES

    @property
    def light(self) -> str:
        """What the claim says of all images of the page."""
        return LIGHT_WORDS[self.claim.label] if self.claim else ""


@bp.get("")
@access.signed_in
def show() -> tuple[str, int]:
    """The form; with `label`, `source` and `size` in the address, the images."""
    claim = _claim(request.args.get("label"), request.args.get("source")) if request.args else None
    size = request.args.get("size", verification.SIZES[0], type=int)
    with db().read() as session:
        annotator = load_annotator_state(session, account().id)
        works = annotator is not None and annotator.works
        idle = None if works else explain_idle(session, annotator)
        if annotator is not None and works and not verification.is_offered(annotator):
            idle = _hidden()
        undo = (
            verification.last_batch(session, account().id, annotator.campaign_id)
            if annotator
            else None
        )
    cells: Sequence[Cell] = []
    if claim is not None and idle is None:
        cells = verification.open_page(db(), account().id, claim, size, settings=settings())
    tiles = [_tile(number, cell) for number, cell in enumerate(cells, start=1)]
    campaign_id = cells[0].campaign_id if cells else 0
    batch = verification.new_batch()
    return render(GridPage(claim, size, tiles, batch, undo, idle, _data(), campaign_id))


@bp.post("")
@access.signed_in
def confirm() -> Response:
    """Store the answers of a page, and open the next page."""
    claim, size, batch = _sent_page()
    answers = _answers()
    refused = verification.store_page(
        db(),
        account().id,
        batch,
        answers,
        settings=settings(),
        campaign_id=_campaign_id(),
    )
    _flash_result(claim, answers, refused)
    if wants_json():
        return jsonify(ok=True, next=_address(claim, size))
    return redirect(_address(claim, size), 303)


@bp.post("/undo")
@access.signed_in
def undo() -> Response:
    """Undo the last page, and open it again."""
    claim, size, batch = _sent_page()
    undone = verification.undo_page(db(), account().id, batch, settings=settings())
    said = ngettext(
        "%(num)s answer has been undone.", "%(num)s answers have been undone.", undone.count
    )
    flash(said, "success")
    return redirect(_address(undone.claim or claim, size), 303)


def _data() -> dict[str, Any]:
    addresses = {
        "confirm": url_for("verification.confirm"),
        "state": url_for("voting.state"),
        "signIn": url_for("accounts.sign_in", next=url_for("verification.show")),
    }
    return {
        "annotatorId": account().id,
        "csrfToken": generate_csrf(),
        "site": request.script_root,
        "addresses": addresses,
    }


def _address(claim: LabelClaim, size: int) -> str:
    return url_for("verification.show", label=claim.label, source=claim.source, size=size)


def _sent_page() -> tuple[LabelClaim, int, str]:
    """Read which page was sent, from JSON or from the form: its claim, its size and its batch."""
    if request.is_json:
        body = request_fields.json_object()
        claim = _claim(str(body.get("label", "")), str(body.get("source", "")))
        size = request_fields.json_whole(body, "size", 0, MAX_ID)
        return claim, size, str(body.get("batch", ""))
    claim = _claim(request_fields.text("label"), request_fields.text("source"))
    return claim, request_fields.whole("size"), request_fields.text("batch")


def _claim(label: str | None, source: str | None) -> LabelClaim:
    return LabelClaim(label or LABELS[0], source or SOURCES[0])


def _campaign_id() -> int | None:
    """Read the campaign of the page, from JSON or from the form; None if it names none."""
    if request.is_json:
        body = request_fields.json_object()
        named = body.get("campaign_id") is not None
        return request_fields.json_whole(body, "campaign_id", 1, MAX_ID) if named else None
    return request_fields.row_number("campaign_id") or None


def _answers() -> dict[int, str]:
    """Read the answers by image, from JSON or from the fields `answer-NUMBER`."""
    if request.is_json:
        given = request_fields.json_object().get("answers")
        if not isinstance(given, dict):
            raise InvalidInput(_("answers: send an object of answers by image."))
        return {_image_id(number): str(answer) for number, answer in given.items()}
    fields = [name for name in request.form if name.startswith("answer-")]
    return {_image_id(name.removeprefix("answer-")): request_fields.text(name) for name in fields}


def _image_id(number: str) -> int:
    image_id = read_whole(number)
    if image_id is None or not 0 < image_id <= MAX_ID:
        raise InvalidInput(_("%(given)r does not name an image.", given=number[:40]))
    return image_id


def _flash_result(claim: LabelClaim, answers: dict[int, str], refused: Sequence[Refusal]) -> None:
    stored = len(answers) - len(refused)
    missing = {one.image_id for one in refused}
    changed = sum(answers[one] != claim.label for one in answers if one not in missing)
    said = ngettext(
        "%(num)s answer has been stored, %(changed)s of them not %(label)s.",
        "%(num)s answers have been stored, %(changed)s of them not %(label)s.",
        stored,
        changed=changed,
        label=_(claim.label),
    )
    flash(said, "success")
    for message in dict.fromkeys(one.message for one in refused):
        numbers = [str(one.image_id) for one in refused if one.message == message]
        flash(_refusal(numbers, message), "error")


def _refusal(numbers: Sequence[str], message: str) -> str:
    """Say which answers were refused, the first ten by the numbers of their images."""
    named = ", ".join(numbers[:NAMED])
    if len(numbers) > NAMED:
        return _(
            "%(count)s answers were not accepted (images %(numbers)s and others): %(why)s",
            count=len(numbers),
            numbers=named,
            why=message,
        )
    return ngettext(
        "%(num)s answer was not accepted (image %(numbers)s): %(why)s",
        "%(num)s answers were not accepted (images %(numbers)s): %(why)s",
        len(numbers),
        numbers=named,
        why=message,
    )


def _tile(number: int, cell: Cell) -> Tile:
    width, height = scaled_size(cell.width, cell.height, TILE_ROOM)
    address = image_address(cell.image_id, cell.sha256)
    return Tile(cell.image_id, number, address, width, height, cell.filename, cell.answer)


def _hidden() -> Idle:
    return Idle(
        "hidden",
        _("You cannot verify many images in this campaign."),
        _(
            "This page shows labels of the model and of other people, and the rules of this "
            "campaign hide them."
        ),
        (Link(url_for("voting.label"), _("Label one image at a time")),),
    )
