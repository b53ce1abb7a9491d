"""The page of gold questions: list, import, promote and revoke them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, flash, redirect, url_for
from sqlalchemy import Select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.csv_input import read_gold_csv
from labeler.errors import InvalidInput, SidelightError
from labeler.gold import service as gold
from labeler.gold.service import GoldReport, GoldStatus
from labeler.jobs import kinds
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.subsets.members import select_members
from labeler.web import access, confirmation, request_fields
from labeler.web.campaigns.forms import Choice
from labeler.web.confirmation import Undo
from labeler.web.context import Page, account, actor, db, render
from labeler.web.current_campaign import campaign, campaign_or_none
from labeler.web.formatting import Statistic, answer_word
from labeler.web.image_address import image_address
from labeler.web.subsets.choice import chosen_subset, subset_choices
from rotation.data.labels import LABELS

bp = Blueprint("gold", __name__, url_prefix="/admin")
SHOWN = 20
SOURCES = {
    "csv": mark("a file"),
    "supervisor": mark("a supervisor"),
    "unanimous": mark("unanimous votes"),
}


@dataclass(frozen=True, slots=True)
class GoldRow:
    """A gold question. `share`: of right answers; None before the first answer."""

    id: int
    image_id: int
    url: str
    width: int
    height: int
    filename: str
    label: str
    source: str
    explanation: str
    asked: int
    right: int
    share: float | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PromoteForm:
    """The values of the form that promotes images to gold questions."""

    min_votes: str = "3"
    count: str = "30"


@dataclass(frozen=True, slots=True)
class GoldPage(Page):
    """The gold questions of a campaign, a page of the list at a time.

    `older`: first number of the next page, 0 at the end. `is_later`: this is not the first page.
    """

    template = "gold/gold.html"
    campaign_id: int
    campaign: str
    statistics: list[Statistic]
    rows: list[GoldRow]
    older: int = 0
    total: int = 0
    problem: str = ""
    promote: PromoteForm = PromoteForm()
    training: int = 0
    is_later: bool = False
    subsets: Sequence[Choice] = ()


@bp.get("/gold", endpoint="gold")
@access.only("supervisor", "admin")
def gold_page() -> tuple[str, int]:
    """The gold questions of a campaign."""
    return render(_page())


@bp.post("/gold/import")
@access.only("supervisor", "admin")
@request_fields.accepts_uploads
def import_gold() -> tuple[str, int] | Response:
    """Import gold questions from a CSV file or a pasted list."""
    try:
        text = request_fields.uploaded_text("file") or request_fields.text("lines")
        file = read_gold_csv(text)
        with db().write() as session:
            campaign_id = campaign(session).id
            report = gold.import_gold(session, campaign_id, file.lines, actor())
            _queue_refresh(session, campaign_id, report)
    except SidelightError as error:
        return render(_page(error.message), error.status)
    if file.without_label:
        passed_over = write_number(file.without_label)
        flash(_("Rows without a label, passed over: %(count)s.", count=passed_over), "success")
    return _done(campaign_id, report)


@bp.post("/gold/from-supervisors")
@access.only("supervisor", "admin")
def gold_from_supervisors() -> Response:
    """Make gold questions of images on which supervisors agree."""
    with db().write() as session:
        campaign_id = campaign(session).id
        among = _among(session)
        report = gold.gold_from_supervisors(session, campaign_id, actor(), among=among)
        _queue_refresh(session, campaign_id, report)
    return _done(campaign_id, report)


@bp.post("/gold/promote")
@access.only("supervisor", "admin")
def promote_gold() -> tuple[str, int] | Response:
    """Make gold questions of images on which everybody agrees."""
    form = PromoteForm(request_fields.text("min_votes"), request_fields.text("count"))
    try:
        wanted = request_fields.whole("min_votes"), request_fields.whole("count")
        with db().write() as session:
            campaign_id = campaign(session).id
            among = _among(session)
            report = gold.promote_unanimous(session, campaign_id, *wanted, actor(), among=among)
            _queue_refresh(session, campaign_id, report)
    except InvalidInput as error:
        return render(_page(error.message, form), error.status)
    return _done(campaign_id, report)


@bp.post("/gold/<id:gold_id>/revoke")
@access.only("supervisor", "admin")
def revoke_gold(gold_id: int) -> Response | tuple[str, int]:
    """Remove a gold question. The votes decide the label of its image."""
    if not confirmation.is_given():
        with db().read() as session:
            return _ask_revoking(gold.load_gold(session, gold_id))
    with db().write() as session:
        campaign_id = gold.revoke_gold(session, gold_id, actor()).campaign_id
        kinds.refresh_all_images.queue(session, campaign_id, account().id)
    back = request_fields.way_back(url_for("gold.gold", campaign=campaign_id))
    address = url_for("gold.restore_gold", gold_id=gold_id)
    confirmation.tell(
        _("The image is no longer a gold question. Its votes decide its label."),
        Undo(address, _("Undo: make it a gold question again"), {"back": back}),
    )
    return redirect(back, 303)


@bp.post("/gold/<id:gold_id>/restore")
@access.only("supervisor", "admin")
def restore_gold(gold_id: int) -> Response:
    """Make a removed gold question valid again."""
    with db().write() as session:
        campaign_id = gold.restore_gold(session, gold_id, actor()).campaign_id
        kinds.refresh_all_images.queue(session, campaign_id, account().id)
    confirmation.tell(_("The image is a gold question again."))
    return redirect(request_fields.way_back(url_for("gold.gold", campaign=campaign_id)), 303)


def _among(session: Session) -> Select[int] | None:
    """Return what selects the images to choose from; None if the form names no subset."""
    subset = chosen_subset(session, campaign(session))
    return None if subset is None else select_members(session, subset)


def _ask_revoking(status: GoldStatus) -> tuple[str, int]:
    """Ask before a gold question is removed."""
    found, name = status.gold, status.image.filename
    effects = [
        _(
            "Its label is no longer fixed to %(label)s. The votes of people decide it.",
            label=answer_word(found.label),
        ),
        ngettext(
            "%(num)s answer to it no longer tells how well people judge; %(right)s of them were "
            "right. The reliability of everybody is computed again, so other images may open "
            "again.",
            "%(num)s answers to it no longer tell how well people judge; %(right)s of them were "
            "right. The reliability of everybody is computed again, so other images may open "
            "again.",
            status.asked,
            right=write_number(status.right),
        ),
        _("You can make it a gold question again directly afterwards."),
    ]
    back = request_fields.way_back(url_for("gold.gold", campaign=found.campaign_id))
    return confirmation.ask(
        _("Remove the gold question %(name)s?", name=name),
        effects,
        _("Remove the gold question"),
        back,
    )


def describe_report(report: GoldReport) -> str:
    """Say what was done, as a sentence."""
    if report.added == report.changed == 0:
        if not report.unchanged:
            return _("No new gold questions were made.")
        existing = write_number(report.unchanged)
        return _("No new gold questions were made; %(count)s existed already.", count=existing)
    return ngettext(
        "%(num)s gold question added, %(changed)s changed, %(unchanged)s unchanged.",
        "%(num)s gold questions added, %(changed)s changed, %(unchanged)s unchanged.",
        report.added,
        changed=write_number(report.changed),
        unchanged=write_number(report.unchanged),
    )


def _queue_refresh(session: Session, campaign_id: int, report: GoldReport) -> None:
    if report.added or report.changed:
        kinds.refresh_all_images.queue(session, campaign_id, account().id)


def _done(campaign_id: int, report: GoldReport) -> Response:
    flash(describe_report(report), "success")
    return redirect(url_for("gold.gold", campaign=campaign_id), 303)


def _page(problem: str = "", promote: PromoteForm | None = None) -> GoldPage:
    with db().read() as session:
        found = campaign_or_none(session)
        if found is None:
            return GoldPage(0, "", [], [])
        counts = gold.count_gold(session, found.id)
        rows = _rows(session, found.id)
        subsets = subset_choices(
            session, found.dataset_id, request_fields.row_number("subset") or None
        )
    return GoldPage(
        found.id,
        found.name,
        [Statistic(answer_word(label), write_number(counts[label])) for label in LABELS],
        rows[:SHOWN],
        rows[SHOWN - 1].id if len(rows) > SHOWN else 0,
        sum(counts.values()),
        problem,
        promote or PromoteForm(),
        found.parsed_rules.training,
        request_fields.row_number("before") > 0,
        subsets,
    )


def _rows(session: Session, campaign_id: int) -> list[GoldRow]:
    older_than = request_fields.row_number("before") or None
    return [_row(one) for one in gold.list_gold(session, campaign_id, SHOWN + 1, older_than)]


def _row(status: GoldStatus) -> GoldRow:
    found, image = status.gold, status.image
    return GoldRow(
        found.id,
        image.id,
        image_address(image.id, image.sha256),
        image.width or 0,
        image.height or 0,
        image.filename,
        found.label,
        _(SOURCES[found.source]),
        found.explanation,
        status.asked,
        status.right,
        status.right / status.asked if status.asked else None,
        found.created_at,
    )
