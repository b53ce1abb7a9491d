"""The labelling page, and the addresses that its script calls (docs/labelling.md)."""

from __future__ import annotations

import math
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, flash, jsonify, redirect, request, url_for
from flask_wtf.csrf import generate_csrf
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.assignment import leases as assignment_leases
from labeler.assignment.presentation import LeasedImage, as_seen
from labeler.campaigns import audience
from labeler.flags.service import MAX_NOTE
from labeler.languages.texts import gettext as _
from labeler.models.base import MAX_ID, utc_now
from labeler.models.images import Image
from labeler.progress import annotator_progress
from labeler.voting import service as voting
from labeler.voting.service import CastVote, SubmittedAnswer
from labeler.web import access, request_fields
from labeler.web.context import Page, account, db, render, settings
from labeler.web.errors import always_json, wants_json
from labeler.web.flag_reasons import REASON_WORDS
from labeler.web.idle import Idle, why_idle
from labeler.web.image_address import image_address

bp = Blueprint("voting", __name__, url_prefix="/label")
MAX_LEASES = 120
TILE_ROOM = (178, 218)  # of an image among others: the size of CelebA; two columns fit on a phone
# Without a script a page does not know the window, so images are scaled to fit a phone.
PLAIN_WIDTH, PLAIN_HEIGHT = 356, 436


@dataclass(frozen=True, slots=True)
class LastVote:
    """The vote that undo would take back."""

    vote_id: int
    answer: str
    image: PageImage


@dataclass(frozen=True, slots=True)
class AnswerCount:
    """The number of this person's votes, and of images left. None: too many to count."""

    votes: int
    left: int | None


@dataclass(frozen=True, slots=True)
class LabelPage(Page):
    """The image to judge, or the reason why there is none. `data` is for the script.

    `flag`: the address of the form to flag the image, or an answered one if there is none.
    `campaigns`: those in which the person may label, the current one first.
    """

    template = "voting/label.html"
    image: PageImage | None
    image_width: int
    image_height: int
    last_vote: LastVote | None
    progress: AnswerCount
    idle: Idle | None
    campaigns: list[ChoosableCampaign]
    request_id: str
    data: dict[str, Any]
    flag: str
    reasons: tuple[tuple[str, str], ...] = tuple(REASON_WORDS.items())
    max_note: int = MAX_NOTE


@dataclass(frozen=True, slots=True)
class ChoosableCampaign:
    """A campaign in which the person may label."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The label that is suggested beside an image, as the person sees it.

    `probability` is None for a suggestion that does not show the model's certainty.
    """

    label: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class PageImage:
    """An image for the page. `shown`: the suggestion, for the image as the person sees it.

    `campaign_id`: the campaign under which it was assigned, which comes back with the answer.
    """

    campaign_id: int
    image_id: int
    url: str
    width: int
    height: int
    mirrored: bool
    shown: Suggestion | None
    expires_in_s: int


@bp.get("")
@access.signed_in
def label() -> tuple[str, int]:
    """The labelling page with the first images."""
    with db().write() as session:
        leased = _requested_image(session) or _next_image(session)
    with db().read() as session:
        page = _label_page(session, leased)
    return render(page)


@bp.post("/leases")
@access.signed_in
@always_json
def leases() -> Response:
    """Lease the next images. Leases that the person already holds are renewed."""
    count = request_fields.json_whole(request_fields.json_object(), "count", 1, MAX_LEASES)
    with db().write() as session:
        leased = assignment_leases.lease_images(session, account().id, count, settings=settings())
    with db().read() as session:
        done = _count_answers(session)
        idle = None if leased else why_idle(session)
    return jsonify(
        ok=True,
        images=[asdict(page_image(one)) for one in leased],
        progress=asdict(done),
        idle=asdict(idle) if idle else None,
    )


@bp.post("/votes")
@access.signed_in
def cast() -> Response | tuple[Response, int]:
    """Store an answer. The status is 201 for a new one, 200 for a request that is repeated."""
    submitted = _submitted_answer()
    with db().write() as session:
        vote = voting.cast_vote(session, account().id, submitted, settings=settings())
    if not wants_json():
        return redirect(
            request_fields.local_address(request_fields.text("back"), url_for("voting.label")), 303
        )
    images = [asdict(page_image(one)) for one in vote.next_images]
    return jsonify(ok=True, vote=_vote_json(vote), images=images), 201 if vote.created else 200


@bp.post("/votes/<vote_id:vote_id>/undo")
@access.signed_in
def undo(vote_id: int) -> Response:
    """Take back the person's latest vote and show its image again."""
    with db().write() as session:
        leased = voting.undo_vote(session, account().id, vote_id, settings=settings())
    if not wants_json():
        address = url_for("voting.label", image=leased.image_id, of=leased.campaign_id)
        return redirect(address, 303)
    return jsonify(ok=True, image=asdict(page_image(leased)))


@bp.post("/campaign")
@access.signed_in
def choose_campaign() -> Response:
    """Let the person label in another of their campaigns. Images in hand can still be answered."""
    with db().write() as session:
        found = audience.choose_campaign(session, account().id, request_fields.whole("campaign_id"))
    flash(_("You now label in %(campaign)s.", campaign=found.name), "success")
    return redirect(request_fields.way_back(url_for("voting.label")), 303)


@bp.get("/state")
@access.signed_in
@always_json
def state() -> Response:
    """Return a new CSRF token, for a page that was opened before the person signed in again."""
    return jsonify(ok=True, annotator_id=account().id, csrf_token=generate_csrf())


def choosable_campaigns(session: Session) -> list[ChoosableCampaign]:
    """Return the campaigns in which the person of this request may label, the current one first."""
    found = audience.list_available(session, account().id)
    return [ChoosableCampaign(one.id, one.name) for one in found]


def page_image(leased: LeasedImage) -> PageImage:
    """Return a leased image in the form that pages use."""
    label = leased.shown_as_seen
    return PageImage(
        campaign_id=leased.campaign_id,
        image_id=leased.image_id,
        url=image_address(leased.image_id, leased.sha256),
        width=leased.width,
        height=leased.height,
        mirrored=leased.presentation.mirrored,
        shown=Suggestion(label, leased.presentation.shown_probability) if label else None,
        expires_in_s=max(0, int((leased.expires_at - utc_now()).total_seconds())),
    )


def answered_image(campaign_id: int, image: Image, mirrored: bool) -> PageImage:
    """Return an image that the person has answered in a campaign, without its suggestion."""
    address = image_address(image.id, image.sha256)
    size = image.width or 0, image.height or 0
    return PageImage(campaign_id, image.id, address, *size, mirrored, None, 0)


def scaled_size(
    width: int, height: int, room: tuple[int, int] = (PLAIN_WIDTH, PLAIN_HEIGHT)
) -> tuple[int, int]:
    """Return the largest size that fits the room and is a whole multiple of the image's size.

    A large image is divided by a whole number. With other factors some rows of pixels would be
    doubled and their neighbours not.

    Parameters:
        width, height: of the image, in pixels.
        room: the largest width and height allowed.
    """
    if not width or not height:
        return 0, 0
    fit = min(room[0] / width, room[1] / height)
    factor = int(fit) if fit >= 1 else 1 / math.ceil(1 / fit)
    return round(width * factor), round(height * factor)


def _requested_image(session: Session) -> LeasedImage | None:
    """Return the image named in the address, if the person holds it in the campaign `of`.

    Undo names both, perhaps a campaign in which the person no longer labels.
    """
    image_id, campaign_id = request_fields.row_number("image"), request_fields.row_number("of")
    if image_id and not campaign_id:
        current = audience.current_campaign(session, account().id)
        campaign_id = current.id if current else 0
    if not image_id or not campaign_id:
        return None
    held = assignment_leases.find_lease(session, campaign_id, account().id, image_id)
    return held if held and held.expires_at > utc_now() else None


def _next_image(session: Session) -> LeasedImage | None:
    leased = assignment_leases.lease_images(session, account().id, 1, settings=settings())
    return leased[0] if leased else None


def _submitted_answer() -> SubmittedAnswer:
    """Read an answer from JSON or from the plain form; `then` asks for more images."""
    if request.is_json:
        body = request_fields.json_object()
        return SubmittedAnswer(
            image_id=request_fields.json_whole(body, "image_id", 1, MAX_ID),
            answer=str(body.get("answer", "")),
            request_id=str(body.get("request_id", "")),
            elapsed_ms=body.get("elapsed_ms"),
            next_count=request_fields.json_whole(body, "then", 0, MAX_LEASES)
            if "then" in body
            else 0,
            campaign_id=request_fields.json_whole(body, "campaign_id", 1, MAX_ID)
            if body.get("campaign_id") is not None
            else None,
        )
    return form_answer()


def form_answer() -> SubmittedAnswer:
    """Read an answer from a plain form."""
    return SubmittedAnswer(
        request_fields.whole("image_id"),
        request_fields.text("answer"),
        request_fields.text("request_id"),
        campaign_id=request_fields.row_number("campaign_id") or None,
    )


def _label_page(session: Session, leased: LeasedImage | None) -> LabelPage:
    image = page_image(leased) if leased else None
    idle = None if leased else why_idle(session)
    width, height = scaled_size(image.width, image.height) if image else (0, 0)
    last, done = _last_vote(session), _count_answers(session)
    choices = choosable_campaigns(session)
    data = {
        "annotatorId": account().id,
        "csrfToken": generate_csrf(),
        "prefetch": settings().prefetch,
        "leaseSeconds": settings().lease_seconds,
        "addresses": _addresses(),
        "site": request.script_root,
        "images": [asdict(image)] if image else [],
        "lastVote": asdict(last) if last else None,
        "progress": asdict(done),
        "idle": asdict(idle) if idle else None,
        "campaigns": {one.id: one.name for one in choices},
    }
    flag = (
        url_for("flags.new", image=image.image_id, of=image.campaign_id)
        if image
        else url_for("progress.own", _anchor="last-answers")
    )
    return LabelPage(image, width, height, last, done, idle, choices, str(uuid.uuid4()), data, flag)


def _addresses() -> dict[str, str]:
    return {
        "leases": url_for("voting.leases"),
        "votes": url_for("voting.cast"),
        "undo": url_for("voting.undo", vote_id=0),
        "state": url_for("voting.state"),
        "confirm": url_for("verification.confirm"),
        "flags": url_for("flags.create"),
        "signIn": url_for("accounts.sign_in", next=url_for("voting.label")),
    }


def _last_vote(session: Session) -> LastVote | None:
    vote = voting.last_vote(session, account().id)
    if vote is None:
        return None
    image = session.get_one(Image, vote.image_id)
    # Its suggestion is not needed yet: the response to undo contains it.
    shown = answered_image(vote.campaign_id, image, vote.mirrored)
    return LastVote(vote.id, as_seen(vote.answer, vote.mirrored) or "", shown)


def _count_answers(session: Session) -> AnswerCount:
    own = annotator_progress.own_progress(session, account().id)
    return AnswerCount(own.votes, own.remaining)


def _vote_json(vote: CastVote) -> dict[str, Any]:
    return {"id": vote.vote_id, "image_id": vote.image_id, "answer": vote.answer}
