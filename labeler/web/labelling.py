"""The labelling page and the addresses that its local queue speaks to (docs/labelling.md)."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from typing import Any

from flask import Blueprint, jsonify, redirect, request, url_for
from flask_wtf.csrf import generate_csrf
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.models import Image, utc_now
from labeler.services import assigning, campaigns, progress, undoing, voting
from labeler.services.viewing import LeasedImage, as_seen
from labeler.services.voting import Ballot, CastVote
from labeler.web import access, forms
from labeler.web.errors import always_json, wants_json
from labeler.web.idle import Idle, why_idle
from labeler.web.routing import MAX_ID
from labeler.web.showing import Picture, answered_picture, picture_of, whole_size
from labeler.web.state import Page, account, db, render, settings

bp = Blueprint("labelling", __name__, url_prefix="/label")

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

    template = "label/label.html"
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
    count = forms.json_whole(forms.json_object(), "count", 1, MAX_LEASES)
    with db().write() as session:
        leased = assigning.lease_images(session, account().id, count, settings=settings())
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
    ballot = _ballot_sent()
    with db().write() as session:
        vote = voting.cast_vote(session, account().id, ballot, settings=settings())
    if not wants_json():
        return redirect(forms.local_address(forms.text("back"), url_for("labelling.label")), 303)
    images = [asdict(picture_of(one)) for one in vote.following]
    return jsonify(ok=True, vote=_vote_json(vote), images=images), 201 if vote.created else 200


@bp.post("/votes/<id:vote_id>/undo")
@access.signed_in
def undo(vote_id: int) -> Response:
    """Take back the person's latest vote and show its image again."""
    with db().write() as session:
        leased = undoing.undo_vote(session, account().id, vote_id, settings=settings())
    if not wants_json():
        return redirect(url_for("labelling.label", image=leased.image_id), 303)
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
    held = assigning.find_lease(session, campaign.id, account().id, image_id)
    return held if held and held.expires_at > utc_now() else None


def _next(session: Session) -> LeasedImage | None:
    leased = assigning.lease_images(session, account().id, 1, settings=settings())
    return leased[0] if leased else None


def _ballot_sent() -> Ballot:
    """From JSON or from the plain form; `then` asks for the next pictures as well."""
    if request.is_json:
        body = forms.json_object()
        return Ballot(
            image_id=forms.json_whole(body, "image_id", 1, MAX_ID),
            answer=str(body.get("answer", "")),
            request_id=str(body.get("request_id", "")),
            elapsed_ms=body.get("elapsed_ms"),
            then=forms.json_whole(body, "then", 0, MAX_LEASES) if "then" in body else 0,
        )
    return Ballot(forms.whole("image_id"), forms.text("answer"), forms.text("request_id"))


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
        "leases": url_for("labelling.leases"),
        "votes": url_for("labelling.cast"),
        "undo": url_for("labelling.undo", vote_id=0),
        "state": url_for("labelling.state"),
        "signIn": url_for("auth.sign_in", next=url_for("labelling.label")),
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
    own = progress.own_progress(session, account().id)
    return Count(own.votes, own.remaining)


def _vote_json(vote: CastVote) -> dict[str, Any]:
    return {"id": vote.vote_id, "image_id": vote.image_id, "answer": vote.answer}
