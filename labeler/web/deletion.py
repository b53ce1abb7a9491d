"""The pages that delete a campaign or a data set: what goes, the exports, and the name to type."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from labeler.campaigns import deletion as campaign_deletion
from labeler.campaigns import service as campaigns
from labeler.errors import Conflict, InvalidInput, SidelightError
from labeler.images import deletion as dataset_deletion
from labeler.images.datasets import campaigns_of
from labeler.images.deletion import DatasetForecast
from labeler.jobs import deletion, kinds
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.models.campaigns import Campaign
from labeler.web import access, confirmation, request_fields
from labeler.web.context import Link, Page, account, actor, db, render, render_problem
from labeler.web.formatting import Statistic

bp = Blueprint("deletion", __name__, url_prefix="/admin")


@dataclass(frozen=True, slots=True)
class DeletionPage(Page):
    """What goes, and the form to confirm it.

    `title`, `lead`, `label`: the heading, what the page does, and what the field asks for.
    `statistics`: what goes, in numbers. `exports`: links that save it before. `stays`: what is not
    deleted. `hindrance`: why it cannot be deleted now.
    """

    template = "deletion/delete.html"
    title: str
    lead: str
    label: str
    name: str
    statistics: list[Statistic]
    exports: Sequence[Link]
    stays: str
    back: str
    hindrance: str = ""
    problem: str = ""


@bp.get("/campaigns/<id:campaign_id>/delete")
@access.only("admin")
def confirm_campaign(campaign_id: int) -> tuple[str, int]:
    """What deleting a campaign takes away, and the form to confirm it."""
    return render(_campaign_page(campaign_id))


@bp.post("/campaigns/<id:campaign_id>/delete")
@access.only("admin")
@access.asks_password(mark("delete a campaign"), "campaigns.campaigns")
def delete_campaign(campaign_id: int) -> Response:
    """Delete a campaign with all its votes, for good. The background worker deletes the rows."""
    page = _campaign_page(campaign_id)
    if error := _refusal(page):
        return render_problem(dataclasses.replace(page, problem=error.message), error)
    with db().write() as session:
        told = deletion.mark_campaign(session, campaign_id, actor())
        kinds.delete_campaign.queue(session, campaign_id, account().id)
    confirmation.tell(
        ngettext(
            "The campaign %(name)s and its %(num)s vote are deleted.",
            "The campaign %(name)s and its %(num)s votes are deleted.",
            told.votes,
            name=told.name,
        )
    )
    return redirect(url_for("campaigns.campaigns"), 303)


@bp.get("/data-sets/<id:dataset_id>/delete")
@access.only("admin")
def confirm_dataset(dataset_id: int) -> tuple[str, int]:
    """What deleting a data set takes away, and the form to confirm it."""
    return render(_dataset_page(dataset_id))


@bp.post("/data-sets/<id:dataset_id>/delete")
@access.only("admin")
@access.asks_password(mark("delete a data set"), "images.datasets")
def delete_dataset(dataset_id: int) -> Response:
    """Delete a data set with its campaigns and votes, for good. Its files stay."""
    page = _dataset_page(dataset_id)
    if error := _refusal(page):
        return render_problem(dataclasses.replace(page, problem=error.message), error)
    with db().write() as session:
        told = deletion.mark_dataset(session, dataset_id, actor())
        kinds.delete_dataset.queue(session, dataset_id, account().id)
    confirmation.tell(
        _(
            "The data set %(name)s is deleted. Its files stay in %(path)s",
            name=told.name,
            path=told.path,
        )
    )
    return redirect(url_for("images.datasets"), 303)


def _refusal(page: DeletionPage) -> SidelightError | None:
    """Return why the form is refused; None if it is not."""
    if page.hindrance:
        return Conflict(page.hindrance)
    if request_fields.text("name").strip() != page.name:
        return InvalidInput(_("Enter the name %(name)s to confirm.", name=page.name))
    return None


def _campaign_page(campaign_id: int) -> DeletionPage:
    with db().read() as session:
        told = campaign_deletion.forecast_deletion(session, campaign_id)
        exports = _exports(campaigns.get_campaign(session, campaign_id))
    numbers = {
        _("votes"): told.votes,
        _("people who gave them"): told.people,
        _("images in the campaign"): told.images,
        _("gold questions"): told.gold,
        _("decisions"): told.decisions,
        _("images in hand"): told.held,
    }
    return DeletionPage(
        _("Delete the campaign %(name)s", name=told.name),
        _("This deletes the campaign with all that belongs to it. It cannot be undone."),
        _("Name of the campaign, to confirm"),
        told.name,
        _statistics(numbers),
        exports,
        _(
            "The image files, the accounts and other campaigns stay. The deletion stays in the "
            "audit log."
        ),
        url_for("campaigns.campaign", campaign_id=campaign_id),
        _("%(name)s is active. Deactivate it first.", name=told.name) if told.active else "",
    )


def _dataset_page(dataset_id: int) -> DeletionPage:
    with db().read() as session:
        told = dataset_deletion.forecast_deletion(session, dataset_id)
        found = campaigns_of(session, dataset_id)
        exports = [link for one in found for link in _exports(one)]
    numbers = {
        _("images"): told.images,
        _("campaigns"): told.campaigns,
        _("votes"): told.votes,
        _("people who gave them"): told.people,
        _("model runs"): told.runs,
    }
    return DeletionPage(
        _("Delete the data set %(name)s", name=told.name),
        _("This deletes the data set with all that belongs to it. It cannot be undone."),
        _("Name of the data set, to confirm"),
        told.name,
        _statistics(numbers),
        exports,
        _(
            "The image files stay in %(path)s. The accounts and other data sets stay. The "
            "deletion stays in the audit log.",
            path=told.path,
        ),
        url_for("images.datasets"),
        _hindrance_of(told),
    )


def _hindrance_of(told: DatasetForecast) -> str:
    if told.active:
        return ngettext(
            "Its campaign %(names)s is active. Deactivate it first.",
            "Its campaigns %(names)s are active. Deactivate them first.",
            len(told.active),
            names=", ".join(told.active),
        )
    if told.importing:
        return _(
            "The import of %(name)s has not ended. Wait until it has ended, or cancel it.",
            name=told.name,
        )
    return ""


def _statistics(numbers: dict[str, int]) -> list[Statistic]:
    return [Statistic(word, write_number(count)) for word, count in numbers.items()]


def _exports(found: Campaign) -> list[Link]:
    return [
        Link(
            url_for("exports.labels_csv", campaign=found.id),
            _("Download labels of %(name)s", name=found.name),
        ),
        Link(
            url_for("exports.votes_csv", campaign=found.id),
            _("Download votes of %(name)s", name=found.name),
        ),
    ]
