"""The labelling page and the addresses that its local queue speaks to (docs/labelling.md)."""

from __future__ import annotations

import math
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, jsonify, redirect, request, url_for
from flask_wtf.csrf import generate_csrf
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.assignment import leases as assignment_leases
from labeler.assignment.annotator_state import AnnotatorState, load_annotator_state
from labeler.assignment.presentation import LeasedImage, as_seen
from labeler.campaigns import service as campaigns
from labeler.models import Image, Participation, utc_now
from labeler.progress import annotator_progress
from labeler.voting import service as voting
from labeler.voting.service import CastVote, SubmittedAnswer
from labeler.web import access, request_fields
from labeler.web.context import Page, account, db, render, settings
from labeler.web.converters import MAX_ID
from labeler.web.errors import always_json, wants_json
from labeler.web.images import address_of

bp = Blueprint("voting", __name__, url_prefix="/label")

MAX_LEASES = 120


@dataclass(frozen=True, slots=True)
class LastVote:
    """What undo would take back."""

    vote_id: int
    answer: str
    image: Picture


@dataclass(frozen=True, slots=True)
class Count:
    """Votes of this person, and how many images are left; None for very many."""

    votes: int
    left: int | None


@dataclass(frozen=True, slots=True)
class LabelPage(Page):
    """The picture to judge, or why there is none. `data` is for the script."""

    template = "voting/label.html"
    image: Picture | None
    image_width: int
    image_height: int
    last_vote: LastVote | None
    progress: Count
    idle: Idle | None
    request_id: str
    data: dict[str, Any]


@bp.get("")
@access.signed_in
def label() -> tuple[str, int]:
    """The labelling page with the first images."""
    with db().write() as session:
        leased = _asked_for(session) or _next(session)
    with db().read() as session:
        page = _label_page(session, leased)
    return render(page)


@bp.post("/leases")
@access.signed_in
@always_json
def leases() -> Response:
    """The next pictures; asked for again, those that are held are renewed."""
    count = request_fields.json_whole(request_fields.json_object(), "count", 1, MAX_LEASES)
    with db().write() as session:
        leased = assignment_leases.lease_images(session, account().id, count, settings=settings())
    with db().read() as session:
        done = _count(session)
        idle = None if leased else why_idle(session)
    return jsonify(
        ok=True,
        images=[asdict(picture_of(one)) for one in leased],
        progress=asdict(done),
        idle=asdict(idle) if idle else None,
    )


@bp.post("/votes")
@access.signed_in
def cast() -> Response | tuple[Response, int]:
    """Store an answer: 201 when it is new, 200 when this request had been stored before."""
    submitted = _submitted_answer()
    with db().write() as session:
        vote = voting.cast_vote(session, account().id, submitted, settings=settings())
    if not wants_json():
        return redirect(
            request_fields.local_address(request_fields.text("back"), url_for("voting.label")), 303
        )
    images = [asdict(picture_of(one)) for one in vote.next_images]
    return jsonify(ok=True, vote=_vote_json(vote), images=images), 201 if vote.created else 200


@bp.post("/votes/<id:vote_id>/undo")
@access.signed_in
def undo(vote_id: int) -> Response:
    """Take back the person's latest vote and show its image again."""
    with db().write() as session:
        leased = voting.undo_vote(session, account().id, vote_id, settings=settings())
    if not wants_json():
        return redirect(url_for("voting.label", image=leased.image_id), 303)
    return jsonify(ok=True, image=asdict(picture_of(leased)))


@bp.get("/state")
@access.signed_in
@always_json
def state() -> Response:
    """A fresh CSRF token for a page that has been open since before a new sign-in."""
    return jsonify(ok=True, annotator_id=account().id, csrf_token=generate_csrf())


def _asked_for(session: Session) -> LeasedImage | None:
    """The picture named in the address (the one just undone), if this person holds it."""
    image_id = request.args.get("image", 0, type=int)
    campaign = campaigns.active_campaign(session) if 0 < image_id <= MAX_ID else None
    if campaign is None:
        return None
    held = assignment_leases.find_lease(session, campaign.id, account().id, image_id)
    return held if held and held.expires_at > utc_now() else None


def _next(session: Session) -> LeasedImage | None:
    leased = assignment_leases.lease_images(session, account().id, 1, settings=settings())
    return leased[0] if leased else None


def _submitted_answer() -> SubmittedAnswer:
    """From JSON or from the plain form; `then` asks for the next pictures as well."""
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
        )
    return SubmittedAnswer(
        request_fields.whole("image_id"),
        request_fields.text("answer"),
        request_fields.text("request_id"),
    )


def _label_page(session: Session, leased: LeasedImage | None) -> LabelPage:
    image = picture_of(leased) if leased else None
    idle = None if leased else why_idle(session)
    width, height = whole_size(image.width, image.height) if image else (0, 0)
    last, done = _last_vote(session), _count(session)
    data = {
        "annotatorId": account().id,
        "csrfToken": generate_csrf(),
        "prefetch": settings().prefetch,
        "leaseSeconds": settings().lease_seconds,
        "addresses": _addresses(),
        "images": [asdict(image)] if image else [],
        "lastVote": asdict(last) if last else None,
        "progress": asdict(done),
        "idle": asdict(idle) if idle else None,
    }
    return LabelPage(image, width, height, last, done, idle, str(uuid.uuid4()), data)


def _addresses() -> dict[str, str]:
    return {
        "leases": url_for("voting.leases"),
        "votes": url_for("voting.cast"),
        "undo": url_for("voting.undo", vote_id=0),
        "state": url_for("voting.state"),
        "signIn": url_for("accounts.sign_in", next=url_for("voting.label")),
    }


def _last_vote(session: Session) -> LastVote | None:
    vote = voting.last_vote(session, account().id)
    if vote is None:
        return None
    image = session.get_one(Image, vote.image_id)
    # What was shown beside it comes with the answer to the undo.
    picture = answered_picture(image, vote.mirrored)
    return LastVote(vote.id, as_seen(vote.answer, vote.mirrored) or "", picture)


def _count(session: Session) -> Count:
    own = annotator_progress.own_progress(session, account().id)
    return Count(own.votes, own.remaining)


def _vote_json(vote: CastVote) -> dict[str, Any]:
    return {"id": vote.vote_id, "image_id": vote.image_id, "answer": vote.answer}


@dataclass(frozen=True, slots=True)
class Way:
    """Where to go from here."""

    address: str
    text: str


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing is handed out. `code`: no_campaign, campaign_paused, paused, training or done."""

    code: str
    title: str
    message: str
    ways: tuple[Way, ...] = ()


def why_idle(session: Session) -> Idle:
    """Why the person who is signed in holds no picture, if they hold none."""
    return explain(session, load_annotator_state(session, account().id))


def explain(session: Session, annotator: AnnotatorState | None) -> Idle:
    """In the order in which the reasons end."""
    if annotator is None:
        return _no_campaign()
    if not annotator.open:
        return Idle(
            "campaign_paused",
            "The labelling is paused.",
            "The person who runs the labelling has paused it. Your answers are stored. Come "
            "back later and reload this page.",
            (_progress(),),
        )
    if annotator.status == "paused":
        return _paused(session, annotator)
    if annotator.status == "training":
        return Idle(
            "training",
            "A short qualification comes first.",
            "You answer some images whose correct answer is known. After each one you see "
            "whether you were right. This takes a minute or two.",
            (Way(url_for("qualification.exercise"), "Start the qualification"),),
        )
    return Idle(
        "done",
        "Thank you. There are no images left for you to label.",
        "Other people may still return images that they have open. Reload this page later.",
        (_progress(),),
    )


def _no_campaign() -> Idle:
    if account().role == "admin":
        message = "Register a folder or a zip file of images: python manage.py images import PATH"
        return Idle("no_campaign", "There are no images yet.", message)
    return Idle(
        "no_campaign",
        "There are no images yet.",
        "The person who runs the labelling has to start a campaign first. Come back later.",
    )


def _paused(session: Session, annotator: AnnotatorState) -> Idle:
    row = session.get(Participation, (annotator.campaign_id, annotator.annotator_id))
    reason = f" Reason: {row.reason}" if row is not None and row.reason else ""
    return Idle(
        "paused",
        "You are paused.",
        "You get no new images for now. Your answers are stored. Please read the guide, then "
        f"talk to the person who runs the labelling. They can let you continue.{reason}",
        (Way(url_for("home.guide"), "Read the guide"), _progress()),
    )


def _progress() -> Way:
    return Way(url_for("progress.own"), "See your progress")


# Without scripts a page cannot know the window: a picture is scaled to fit a phone.
PLAIN_WIDTH, PLAIN_HEIGHT = 356, 436


@dataclass(frozen=True, slots=True)
class Hint:
    """The label beside a picture as the person sees it; `probability` None: the votes', a wrong
    one, or one of the grid."""

    label: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A leased image; `shown` is in the view of who sees it."""

    image_id: int
    url: str
    width: int
    height: int
    mirrored: bool
    shown: Hint | None
    expires_in_s: int


def picture_of(leased: LeasedImage) -> Picture:
    """A leased image for a page."""
    label = leased.shown_as_seen
    return Picture(
        image_id=leased.image_id,
        url=address_of(leased.image_id, leased.sha256),
        width=leased.width,
        height=leased.height,
        mirrored=leased.presentation.mirrored,
        shown=Hint(label, leased.presentation.shown_probability) if label else None,
        expires_in_s=max(0, int((leased.expires_at - utc_now()).total_seconds())),
    )


def answered_picture(image: Image, mirrored: bool) -> Picture:
    """An image that the person has answered, without what was shown beside it."""
    address = address_of(image.id, image.sha256)
    return Picture(image.id, address, image.width or 0, image.height or 0, mirrored, None, 0)


def whole_size(
    width: int, height: int, room: tuple[int, int] = (PLAIN_WIDTH, PLAIN_HEIGHT)
) -> tuple[int, int]:
    """The largest whole multiple (or, of a large picture, whole fraction) that fits the room.

    With another factor some rows of pixels would be doubled and their neighbours not.
    """
    if not width or not height:
        return 0, 0
    fit = min(room[0] / width, room[1] / height)
    factor = int(fit) if fit >= 1 else 1 / math.ceil(1 / fit)
    return round(width * factor), round(height * factor)
