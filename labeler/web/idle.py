"""Why a person gets no image, and where to go instead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import url_for
from sqlalchemy.orm import Session

from labeler.assignment.annotator_state import AnnotatorState, load_annotator_state
from labeler.campaigns import audience
from labeler.campaigns import service as campaigns
from labeler.images.datasets import list_datasets
from labeler.languages.numbers import write_day
from labeler.languages.texts import gettext as _
from labeler.messages.service import MAX_LENGTH
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.web.context import Link, account, manages
from labeler.web.status_reasons import write_reason


@dataclass(frozen=True, slots=True)
class Idle:
    """Why a person gets no image, and where to go instead (`ways`).

    `code` is no_campaign, not_assigned, not_begun, ended, campaign_paused, paused, training, done
    or hidden. `reply`: the address to which the person can write, "" for none; `max_length`: of
    such a message.
    """

    code: str
    title: str
    message: str
    ways: tuple[Link, ...] = ()
    reply: str = ""
    max_length: int = MAX_LENGTH


def why_idle(session: Session) -> Idle:
    """Return why the person who is signed in gets no image."""
    return explain_idle(session, load_annotator_state(session, account().id))


def explain_idle(session: Session, annotator: AnnotatorState | None) -> Idle:
    """Return why a person gets no image. Several reasons: the one that ends first."""
    if annotator is None:
        return _not_assigned() if campaigns.active_campaigns(session) else _no_campaign(session)
    if not annotator.open:
        return _closed(session, annotator)
    if annotator.status == "paused":
        return _paused(session, annotator)
    if annotator.status == "training":
        return Idle(
            "training",
            _("A short qualification comes first."),
            _(
                "You answer some images whose correct answer is known. After each one you see "
                "whether you were right. This takes a minute or two."
            ),
            (Link(url_for("qualification.exercise"), _("Start the qualification")),),
        )
    return Idle(
        "done",
        _("Thank you. There are no images left for you to label."),
        _("Other people may still return images that they have open. Reload this page later.")
        + _elsewhere(session, annotator),
        (_progress(),),
    )


def _no_campaign(session: Session) -> Idle:
    has_images = bool(list_datasets(session))
    title = _("Nothing can be labelled now.") if has_images else _("There are no images yet.")
    if manages():
        message = _("No campaign is active. The overview lists the steps to begin one.")
        overview = Link(url_for("dashboard.overview"), _("Go to the overview"))
        return Idle("no_campaign", title, message, (overview,))
    return Idle(
        "no_campaign",
        title,
        _("The person who runs the labelling has to start a campaign first. Come back later."),
    )


def _not_assigned() -> Idle:
    """There are active campaigns, but none for this person."""
    title = _("You are in no active campaign.")
    if manages():
        return Idle(
            "not_assigned",
            title,
            _(
                "The active campaigns are for other people. To label in one of them, add yourself "
                "to it."
            ),
            (_to_campaigns(),),
        )
    return Idle(
        "not_assigned",
        title,
        _(
            "The campaigns that are active now are for other people. Ask the person who runs the "
            "labelling to add you, and tell them your user name: %(name)s. Then reload this page. "
            "Your answers so far are stored.",
            name=account().username,
        ),
    )


def _closed(session: Session, annotator: AnnotatorState) -> Idle:
    """The campaign of the person assigns no images now."""
    found, now = session.get_one(Campaign, annotator.campaign_id), utc_now()
    elsewhere = _elsewhere(session, annotator)
    if found.ends_at is not None and found.ends_at <= now:
        return Idle(
            "ended",
            _("The labelling has ended."),
            _(
                "%(campaign)s ended on %(day)s at %(time)s UTC. Your answers are stored. Thank "
                "you.",
                campaign=found.name,
                **_moment(found.ends_at),
            )
            + elsewhere,
            (_progress(),),
        )
    if found.starts_at is not None and found.starts_at > now:
        return Idle(
            "not_begun",
            _("The labelling has not begun yet."),
            _(
                "%(campaign)s begins on %(day)s at %(time)s UTC. Come back then and reload this "
                "page.",
                campaign=found.name,
                **_moment(found.starts_at),
            )
            + elsewhere,
            (Link(url_for("home.guide"), _("Read the guide")),),
        )
    return Idle(
        "campaign_paused",
        _("The labelling is paused."),
        _(
            "The person who runs the labelling has paused it. Your answers are stored. Come back "
            "later and reload this page."
        )
        + elsewhere,
        (_progress(),),
    )


def _paused(session: Session, annotator: AnnotatorState) -> Idle:
    row = session.get(Participation, (annotator.campaign_id, annotator.annotator_id))
    stored = row.reason if row is not None else ""
    reason = " " + _("Reason: %(reason)s", reason=write_reason(stored)) if stored else ""
    return Idle(
        "paused",
        _("You are paused."),
        _(
            "You get no new images for now. Your answers are stored. Please read the guide, then "
            "write to the people who run the labelling. They can let you continue."
        )
        + reason,
        (
            Link(url_for("home.guide"), _("Read the guide")),
            _progress(),
            Link(url_for("messages.own"), _("Messages")),
        ),
        url_for("messages.send"),
    )


def _elsewhere(session: Session, annotator: AnnotatorState) -> str:
    """Return a sentence: the person can label in another campaign; "" if there is none."""
    others = len(audience.list_available(session, annotator.annotator_id)) > 1
    if not others:
        return ""
    return " " + _("You can also choose another campaign at the top of the page “Label”.")


def _moment(time: datetime) -> dict[str, str]:
    """Return day and time in UTC, as values of a text."""
    utc = time.astimezone(UTC)
    return {"day": write_day(utc), "time": f"{utc:%H:%M}"}


def _to_campaigns() -> Link:
    return Link(url_for("campaigns.campaigns"), _("Show the campaigns"))


def _progress() -> Link:
    return Link(url_for("progress.own"), _("See your progress"))
