"""Why nobody gets a picture just now, and what to do instead."""

from __future__ import annotations

from dataclasses import dataclass

from flask import url_for
from sqlalchemy.orm import Session

from labeler.models import Participation
from labeler.services.desk import Desk, load_desk
from labeler.web.state import account


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
    return explain(session, load_desk(session, account().id))


def explain(session: Session, desk: Desk | None) -> Idle:
    """In the order in which the reasons end."""
    if desk is None:
        return _no_campaign()
    if not desk.open:
        return Idle(
            "campaign_paused",
            "The labelling is paused.",
            "The person who runs the labelling has paused it. Your answers are stored. Come "
            "back later and reload this page.",
            (_progress(),),
        )
    if desk.standing == "paused":
        return _paused(session, desk)
    if desk.standing == "training":
        return Idle(
            "training",
            "A short qualification comes first.",
            "You answer some images whose correct answer is known. After each one you see "
            "whether you were right. This takes a minute or two.",
            (Way(url_for("training.exercise"), "Start the qualification"),),
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


def _paused(session: Session, desk: Desk) -> Idle:
    row = session.get(Participation, (desk.campaign_id, desk.annotator_id))
    reason = f" Reason: {row.reason}" if row is not None and row.reason else ""
    return Idle(
        "paused",
        "You are paused.",
        "You get no new images for now. Your answers are stored. Please read the guide, then "
        f"talk to the person who runs the labelling. They can let you continue.{reason}",
        (Way(url_for("site.guide"), "Read the guide"), _progress()),
    )


def _progress() -> Way:
    return Way(url_for("progress.own"), "See your progress")
