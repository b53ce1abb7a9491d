"""The page of one image: how its label came about, and what a supervisor can do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, url_for
from sqlalchemy.orm import Session

from labeler.adjudication.service import CANNOT_TELL, MAX_NOTE
from labeler.flags.service import flags_of_image
from labeler.images.datasets import campaigns_of
from labeler.images.history import (
    OTHERS_SHOWN,
    ImageHistory,
    campaign_of,
    get_image,
    list_same_person,
    load_history,
)
from labeler.images.serving import files_are_gone
from labeler.labels import likeliest_label
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, pgettext
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset, Image
from labeler.web import access, current_campaign, request_fields
from labeler.web.adjudication import LabelProbability, describe_suggestion
from labeler.web.campaigns.forms import Choice, partition_word
from labeler.web.context import Page, db, render
from labeler.web.flags import FlagRow, flag_row
from labeler.web.formatting import format_percent, format_seconds
from labeler.web.image_address import image_address
from labeler.web.images.filter import FROM_SUBSET, label_word, status_word
from labeler.web.person_name import PersonName, name_person
from labeler.web.stored_problems import file_problem
from labeler.web.voting import scaled_size
from rotation.data.labels import LABELS

bp = Blueprint("image_history", __name__, url_prefix="/admin")
ROOM = (356, 436)  # for the image, in pixels
GOLD_FROM = {
    "csv": mark("from a file"),
    "supervisor": mark("from a supervisor"),
    "unanimous": mark("from unanimous votes"),
}
SMALL_ROOM = (89, 109)  # for the other images of the person: half the size of CelebA


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as it is shown. `url`: "" without a file that can be shown."""

    url: str
    width: int
    height: int
    filename: str
    address: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the image.

    `who`: what did it, if `person` is None.
    `said`: the label or answer. `detail`: what belongs to it. `state`: whether it counts, in
    words. `ended_at`: when it ended, if that is known. `then`: the likeliest label by the answers
    until then.
    """

    at: datetime | None
    who: str
    person: PersonName | None
    what: str
    said: str
    detail: str
    counts: bool
    state: str
    ended_at: datetime | None = None
    then: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the data set knows about the image. `same_person`: the address of all their images."""

    dataset: str
    number: int
    size: str
    yaw: str
    partition: str
    identity: str
    same_person: str
    attributes: Sequence[str]
    problem: str


@dataclass(frozen=True, slots=True)
class LabelState:
    """What the campaign knows: the numbers of the decision and gold that hold, 0 without one."""

    status: str
    label: str
    probability: str
    decision: int
    decided: str
    gold: int
    gold_label: str


@dataclass(frozen=True, slots=True)
class ImagePage(Page):
    """One image. `state`: None if it is not in the campaign. `gone`: as in `ImagesPage`.

    `turn`: the address that turns this head, with the subset whose images are looked at.
    """

    template = "images/image.html"
    campaign_id: int
    campaign: str
    campaigns: Sequence[Choice]
    links: dict[str, int]
    image_id: int
    picture: Picture
    facts: Facts
    state: LabelState | None
    probabilities: Sequence[LabelProbability]
    events: Sequence[Event]
    others: Sequence[Picture]
    flags: Sequence[FlagRow]
    gone: str
    turn: str
    choices: Sequence[str] = (*LABELS, CANNOT_TELL)
    max_note: int = MAX_NOTE


@bp.get("/images/<id:image_id>")
@access.only("supervisor", "admin")
def image(image_id: int) -> tuple[str, int]:
    """One image: how its label came about."""
    with db().read() as session:
        found = get_image(session, image_id)
        campaign = campaign_of(session, found, request_fields.row_number("campaign"))
        current_campaign.show(campaign)
        page = _page(session, campaign, found)
    return render(page)


def _page(session: Session, campaign: Campaign, found: Image) -> ImagePage:
    history = load_history(session, campaign, found)
    place = found.dataset.path
    gone = place if files_are_gone(place) else ""
    return ImagePage(
        campaign.id,
        campaign.name,
        [
            Choice(str(one.id), one.name, "yes" if one.id == campaign.id else "")
            for one in campaigns_of(session, found.dataset_id)
        ],
        current_campaign.links(campaign),
        found.id,
        _picture(campaign, found, ROOM, gone),
        _facts(campaign, found.dataset, found),
        _state(history),
        _probabilities(history),
        sorted(_events(history), key=_time),
        [
            _picture(campaign, one, SMALL_ROOM, gone)
            for one in list_same_person(session, found, OTHERS_SHOWN)
        ],
        [flag_row(one) for one in flags_of_image(session, campaign.id, found.id)],
        gone,
        _turn_address(campaign, found),
    )


def _turn_address(campaign: Campaign, found: Image) -> str:
    chosen: dict[str, Any] = {
        "image": found.id,
        "subset": request_fields.row_number(FROM_SUBSET) or None,
        "campaign": campaign.id,
    }
    return url_for("studio_new.new_turn", **chosen)


def _picture(campaign: Campaign, found: Image, room: tuple[int, int], gone: str) -> Picture:
    url = image_address(found.id, found.sha256) if found.status != "broken" and not gone else ""
    size = scaled_size(found.width or 0, found.height or 0, room)
    links = current_campaign.links(campaign)
    address = url_for("image_history.image", image_id=found.id, **links)
    return Picture(url, *size, found.filename, address)


def _facts(campaign: Campaign, dataset: Dataset, found: Image) -> Facts:
    bits, links = found.attribute_bits, current_campaign.links(campaign)
    identity = found.identity
    held = [
        name.replace("_", " ")
        for bit, name in enumerate(dataset.attribute_names)
        if bits is not None and bits >> bit & 1
    ]
    return Facts(
        dataset.name,
        found.id,
        _("%(width)s × %(height)s pixels", width=found.width, height=found.height)
        if found.width
        else "",
        "" if found.yaw_deg is None else f"{found.yaw_deg:.0f}°".replace("-", "−"),
        "" if found.partition is None else partition_word(found.partition),
        "" if identity is None else str(identity),
        url_for("image_browser.images", identity=identity, **links) if identity is not None else "",
        held,
        file_problem(found.problem, found.filename)
        or (status_word("unchecked") if found.status == "unchecked" else ""),
    )


def _state(history: ImageHistory) -> LabelState | None:
    row, decided, gold = history.consensus, history.current_decision, history.current_gold
    if row is None:
        return None
    return LabelState(
        row.status,
        row.label or "",
        format_percent(row.probability),
        decided.decision.id if decided else 0,
        (decided.decision.label or CANNOT_TELL) if decided else "",
        gold.id if gold else 0,
        gold.label if gold else "",
    )


def _probabilities(history: ImageHistory) -> list[LabelProbability]:
    row, proposal = history.consensus, history.current_proposal
    if row is None:
        return []
    votes = row.p_left, row.p_center, row.p_right
    model = proposal.chances if proposal else (None, None, None)
    return [LabelProbability(*three) for three in zip(LABELS, votes, model, strict=True)]


def _time(event: Event) -> float:
    return event.at.timestamp() if event.at else 0.0


def _events(history: ImageHistory) -> Iterator[Event]:
    """What happened to the image, kind after kind."""
    yield from _votes(history)
    for one in history.proposals:
        yield Event(
            one.run.published_at,
            _("Model run %(run)s", run=one.run.id),
            None,
            pgettext("event", "proposed"),
            label_word(likeliest_label(one.chances)),
            _("probability %(share)s", share=format_percent(max(one.chances))),
            one.is_current,
            _("the current run") if one.is_current else _("an earlier run"),
        )
    for past in history.decisions:
        decision = past.decision
        holds = decision.superseded_at is None
        yield Event(
            decision.created_at,
            "",
            name_person(past.person),
            pgettext("event", "decided"),
            label_word(decision.label or CANNOT_TELL),
            decision.note,
            holds,
            _("yes") if holds else _("undone or replaced"),
            decision.superseded_at,
        )
    for made in history.gold:
        gold = made.gold
        yield Event(
            gold.created_at,
            _("a command"),
            name_person(made.person) if made.person else None,
            pgettext("event", "made it a gold question"),
            label_word(gold.label),
            ", ".join(filter(None, (_(GOLD_FROM[gold.source]), gold.explanation))),
            gold.revoked_at is None,
            pgettext("event", "removed") if gold.revoked_at else _("yes"),
            gold.revoked_at,
        )


def _votes(history: ImageHistory) -> Iterator[Event]:
    for one in history.votes:
        vote = one.vote
        took = (
            ""
            if vote.elapsed_ms is None
            else _("after %(time)s", time=format_seconds(vote.elapsed_ms))
        )
        shown = _("seen mirrored") if vote.mirrored else ""
        state = _("yes") if vote.counts else _("no, an exercise")
        yield Event(
            vote.created_at,
            "",
            name_person(one.person),
            pgettext("event", "answered"),
            label_word(vote.answer),
            ", ".join(filter(None, (describe_suggestion(vote), shown, took))),
            vote.counts,
            _("withdrawn or changed") if vote.superseded_at else state,
            vote.superseded_at,
            _in_words(one.then),
        )


def _in_words(chances: tuple[float, float, float] | None) -> str:
    if chances is None:
        return ""
    return f"{label_word(likeliest_label(chances))}, {format_percent(max(chances))}"
