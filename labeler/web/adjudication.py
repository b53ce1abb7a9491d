"""Contested images: a supervisor sees image and votes, and decides the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.adjudication import service as adjudication
from labeler.adjudication.service import (
    CANNOT_TELL,
    Case,
    CaseVote,
    PastDecision,
    SubmittedDecision,
)
from labeler.campaigns.service import get_campaign
from labeler.errors import SidelightError
from labeler.jobs import kinds
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.models.base import MAX_ID
from labeler.models.consensus import Decision
from labeler.models.images import Image
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import Rules
from labeler.rules.validation import read_whole
from labeler.web import access, request_fields
from labeler.web.context import Page, account, actor, db, render
from labeler.web.current_campaign import campaign, campaign_or_none
from labeler.web.formatting import answer_word, format_percent
from labeler.web.image_address import image_address
from labeler.web.person_name import PersonName, name_person
from rotation.data.labels import LABELS

bp = Blueprint("adjudication", __name__, url_prefix="/admin")
SHOWN = 40
IN_STRIP = 12  # waiting images that are shown small
MAX_SKIPPED = 50
WIDTH, HEIGHT = 356, 436  # the room for the image, in pixels
ORDERS = ("oldest", "votes")
# The statuses of an image that is not contested, each in a sentence.
NOT_CONTESTED = {
    "open": mark("This image is open. It does not wait for a decision."),
    "agreed": mark("This image is agreed. It does not wait for a decision."),
}


@dataclass(frozen=True, slots=True)
class ScaledImage:
    """An image with the size at which it is shown."""

    image_id: int
    url: str
    width: int
    height: int
    filename: str


@dataclass(frozen=True, slots=True)
class VoteRow:
    """A vote. `seen`: the suggestion that the person saw, in words."""

    person: PersonName
    answer: str
    seconds: float | None
    at: datetime
    seen: str


@dataclass(frozen=True, slots=True)
class LabelProbability:
    """A label with its probabilities, 0 to 1, by the votes and by the model."""

    label: str
    votes: float
    model: float | None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """A decision of the list. `holds`: it was neither undone nor replaced."""

    id: int
    image: ScaledImage
    decided: str
    note: str
    person: PersonName
    at: datetime
    holds: bool


@dataclass(frozen=True, slots=True)
class CaseStatus:
    """The present status of the image. `decision`: its number, 0 without one."""

    status: str
    decision: int
    decided: str
    by: PersonName | None
    gold: str


@dataclass(frozen=True, slots=True)
class CasePage(Page):
    """A contested image, or none. `last`: the person's own decision that undo takes back.

    `strip`: the first images that wait. `reason`: why the image is contested, in a sentence.
    `back`: the page that a refused decision came from, "" for this one.
    """

    template = "adjudication/case.html"
    campaign_id: int
    order: str
    skipped: str
    waiting: int
    strip: Sequence[ScaledImage] = ()
    image: ScaledImage | None = None
    reason: str = ""
    votes: tuple[VoteRow, ...] = ()
    probabilities: tuple[LabelProbability, ...] = ()
    now: CaseStatus | None = None
    last: DecisionRow | None = None
    note: str = ""
    use_as_gold: bool = False
    problem: str = ""
    back: str = ""
    has_campaign: bool = True


@dataclass(frozen=True, slots=True)
class DecisionsPage(Page):
    """Past decisions. `older`: the first number of the next page, 0 at the end."""

    template = "adjudication/decisions.html"
    campaign_id: int
    rows: list[DecisionRow]
    older: int = 0


@bp.get("/contested")
@access.only("supervisor", "admin")
def contested() -> tuple[str, int]:
    """The next contested image."""
    with db().read() as session:
        found = campaign_or_none(session)
        if found is None:
            return render(CasePage(0, _order(), "", 0, has_campaign=False))
        image_id = adjudication.next_contested(session, found.id, _order(), _skipped())
        return render(_case_page(session, found.id, image_id))


@bp.get("/contested/<id:image_id>")
@access.only("supervisor", "admin")
def case(image_id: int) -> tuple[str, int]:
    """A contested image with the answers that were given."""
    with db().read() as session:
        return render(_case_page(session, campaign(session).id, image_id))


@bp.post("/contested/<id:image_id>")
@access.only("supervisor", "admin")
def decide(image_id: int) -> tuple[str, int] | Response:
    """Decide the label of a contested image."""
    submitted = SubmittedDecision(
        None if request_fields.text("decision") == CANNOT_TELL else request_fields.text("decision"),
        request_fields.text("note"),
        "use_as_gold" in request.form,
        request_fields.whole("seen"),
    )
    try:
        with db().write() as session:
            campaign_id = campaign(session).id
            adjudication.decide(session, campaign_id, image_id, actor(), submitted)
            if submitted.use_as_gold:  # gold changes people's skills; a decision one image only
                kinds.refresh_all_images.queue(session, campaign_id, account().id)
    except SidelightError as error:
        with db().read() as session:
            page = _case_page(session, campaign(session).id, image_id, submitted, error.message)
        return render(page, error.status)
    following = _address("adjudication.contested", campaign_id)
    return redirect(request_fields.way_back(following), 303)


@bp.get("/decisions")
@access.only("supervisor", "admin")
def decisions() -> tuple[str, int]:
    """The decisions of supervisors, the newest first."""
    before = request_fields.row_number("before")
    with db().read() as session:
        found = campaign_or_none(session)
        if found is None:
            return render(DecisionsPage(0, []))
        past = adjudication.list_decisions(session, found.id, SHOWN + 1, before or None)
    rows = [_decision_row(one) for one in past]
    older = rows[SHOWN - 1].id if len(rows) > SHOWN else 0
    return render(DecisionsPage(found.id, rows[:SHOWN], older))


@bp.post("/decisions/<id:decision_id>/undo")
@access.only("supervisor", "admin")
def undo_decision(decision_id: int) -> Response:
    """Undo a decision. The votes count again."""
    with db().write() as session:
        undone = adjudication.undo_decision(session, decision_id, actor())
        kinds.refresh_all_images.queue(session, undone.campaign_id, account().id)
    flash(_("The decision has been undone. The votes count again."), "success")
    undecided = _address("adjudication.case", undone.campaign_id, image_id=undone.image_id)
    return redirect(request_fields.way_back(undecided), 303)


def _case_page(
    session: Session,
    campaign_id: int,
    image_id: int | None,
    submitted: SubmittedDecision | None = None,
    problem: str = "",
) -> CasePage:
    waiting = adjudication.count_contested(session, campaign_id)
    last = adjudication.last_decision(session, campaign_id, account().id)
    next_ones = adjudication.list_contested(
        session, campaign_id, _order(), _skipped(), limit=IN_STRIP
    )
    strip = tuple(_scaled_image(image) for image in next_ones)
    common = (campaign_id, _order(), ",".join(map(str, _skipped())), waiting, strip)
    past = _decision_row(last) if last else None
    if image_id is None:
        return CasePage(*common, last=past)
    found = adjudication.load_case(session, campaign_id, image_id)
    return CasePage(
        *common,
        _scaled_image(found.image),
        _reason(found, get_campaign(session, campaign_id).parsed_rules),
        tuple(_vote_row(one) for one in found.votes),
        _probabilities(found),
        _case_status(found),
        past,
        submitted.note if submitted else "",
        submitted.use_as_gold if submitted else False,
        problem,
        request_fields.way_back(""),
    )


def _order() -> str:
    order = request.values.get("order", "")
    return order if order in ORDERS else "oldest"


def _skipped() -> list[int]:
    """Return the images that the person skipped, the last `MAX_SKIPPED` of them."""
    given = map(read_whole, request.values.get("skip", "").split(","))
    return [one for one in given if one is not None and one <= MAX_ID][-MAX_SKIPPED:]


def _address(endpoint: str, campaign_id: int, **values: int) -> str:
    query: dict[str, Any] = {"campaign": campaign_id, "order": _order(), **values}
    return url_for(endpoint, skip=",".join(map(str, _skipped())) or None, **query)


def _scaled_image(image: Image) -> ScaledImage:
    width, height = image.width or 0, image.height or 0
    factor = max(1, min(WIDTH // max(width, 1), HEIGHT // max(height, 1)))
    return ScaledImage(
        image.id,
        image_address(image.id, image.sha256),
        width * factor,
        height * factor,
        image.filename,
    )


def _reason(found: Case, rules: Rules) -> str:
    """Say in a sentence why the image is contested, or why it is not."""
    row, answers = found.consensus, Counter(one.vote.answer for one in found.votes)
    if found.decision is not None:
        by = name_person(found.decided_by).text if found.decided_by else _("Somebody")
        decision = answer_word(_decided_label(found.decision))
        return _("%(name)s has decided: %(decision)s.", name=by, decision=decision)
    if row.status != "contested":
        return _(NOT_CONTESTED[row.status])
    if rules.method == "majority":
        return ngettext(
            "After %(num)s vote no label has more votes than each other answer.",
            "After %(num)s votes no label has more votes than each other answer.",
            len(found.votes),
        )
    chances = dict(zip(LABELS, (row.p_left, row.p_center, row.p_right), strict=True))
    label = max(chances, key=chances.__getitem__)
    said = {
        "label": answer_word(label),
        "chance": format_percent(chances[label]),
        "needed": format_percent(rules.threshold),
    }
    if len(answers) == 1 and label in answers:
        return ngettext(
            "The only vote says %(label)s, from a person who is often wrong or repeats "
            "suggestions. So %(label)s has a probability of %(chance)s, and %(needed)s is needed.",
            "All %(num)s votes say %(label)s, from people who are often wrong or repeat "
            "suggestions. So %(label)s has a probability of %(chance)s, and %(needed)s is needed.",
            len(found.votes),
            **said,
        )
    return ngettext(
        "After %(num)s vote the likeliest label, %(label)s, has a probability of %(chance)s, and "
        "%(needed)s is needed.",
        "After %(num)s votes the likeliest label, %(label)s, has a probability of %(chance)s, and "
        "%(needed)s is needed.",
        len(found.votes),
        **said,
    )


def _vote_row(one: CaseVote) -> VoteRow:
    vote = one.vote
    seconds = None if vote.elapsed_ms is None else vote.elapsed_ms / 1000
    seen = describe_suggestion(vote)
    return VoteRow(name_person(one.person), vote.answer, seconds, vote.created_at, seen)


def describe_suggestion(vote: Vote) -> str:
    """Say in words which suggestion the person saw."""
    label = answer_word(vote.shown_label or "")
    if vote.planted:
        return _("deliberately wrong suggestion: %(label)s", label=label)
    if vote.mode == "grid":
        return _("verified many images: %(label)s", label=label)
    if vote.shown_label is not None:
        return _("suggestion: %(label)s", label=label)
    return _("suggestion hidden on purpose") if vote.withheld_label else _("no suggestion")


def _probabilities(found: Case) -> tuple[LabelProbability, ...]:
    row, model = found.consensus, found.model or (None, None, None)
    votes = row.p_left, row.p_center, row.p_right
    return tuple(LabelProbability(*three) for three in zip(LABELS, votes, model, strict=True))


def _case_status(found: Case) -> CaseStatus:
    decision = found.decision
    decided = _decided_label(decision) if decision else ""
    number = decision.id if decision else 0
    by = name_person(found.decided_by) if found.decided_by else None
    return CaseStatus(found.consensus.status, number, decided, by, found.gold or "")


def _decided_label(decision: Decision) -> str:
    return decision.label or "cannot tell"


def _decision_row(past: PastDecision) -> DecisionRow:
    made = past.decision
    return DecisionRow(
        made.id,
        _scaled_image(past.image),
        _decided_label(made),
        made.note,
        name_person(past.person),
        made.created_at,
        made.superseded_at is None,
    )
