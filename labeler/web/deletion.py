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
from labeler.models.campaigns import Campaign
from labeler.web import access, confirmation, request_fields
from labeler.web.context import Link, Page, account, actor, db, render, render_problem
from labeler.web.formatting import Statistic

bp = Blueprint("deletion", __name__, url_prefix="/admin")


@dataclass(frozen=True, slots=True)
class DeletionPage(Page):
    """What goes, and the form to confirm it.

    `what`: "campaign" or "data set". `statistics`: what goes, in numbers. `exports`: links that
    save it before. `stays`: what is not deleted. `hindrance`: why it cannot be deleted now.
    """

    template = "deletion/delete.html"
    what: str
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
@access.asks_password("delete a campaign", "campaigns.campaigns")
def delete_campaign(campaign_id: int) -> Response:
    """Delete a campaign with all its votes, for good. The background worker deletes the rows."""
    page = _campaign_page(campaign_id)
    if error := _refusal(page):
        return render_problem(dataclasses.replace(page, problem=error.message), error)
    with db().write() as session:
        told = deletion.mark_campaign(session, campaign_id, actor())
        kinds.delete_campaign.queue(session, campaign_id, account().id)
    confirmation.tell(f"The campaign {told.name} and its {told.votes:,} votes are deleted.")
    return redirect(url_for("campaigns.campaigns"), 303)


@bp.get("/data-sets/<id:dataset_id>/delete")
@access.only("admin")
def confirm_dataset(dataset_id: int) -> tuple[str, int]:
    """What deleting a data set takes away, and the form to confirm it."""
    return render(_dataset_page(dataset_id))


@bp.post("/data-sets/<id:dataset_id>/delete")
@access.only("admin")
@access.asks_password("delete a data set", "images.datasets")
def delete_dataset(dataset_id: int) -> Response:
    """Delete a data set with its campaigns and votes, for good. Its files stay."""
    page = _dataset_page(dataset_id)
    if error := _refusal(page):
        return render_problem(dataclasses.replace(page, problem=error.message), error)
    with db().write() as session:
        told = deletion.mark_dataset(session, dataset_id, actor())
        kinds.delete_dataset.queue(session, dataset_id, account().id)
    confirmation.tell(f"The data set {told.name} is deleted. Its files stay in {told.path}")
    return redirect(url_for("images.datasets"), 303)


def _refusal(page: DeletionPage) -> SidelightError | None:
    """Return why the form is refused; None if it is not."""
    if page.hindrance:
        return Conflict(page.hindrance)
    if request_fields.text("name").strip() != page.name:
        return InvalidInput(f"Enter the name {page.name} to confirm.")
    return None


def _campaign_page(campaign_id: int) -> DeletionPage:
    with db().read() as session:
        told = campaign_deletion.forecast_deletion(session, campaign_id)
        exports = _exports(campaigns.get_campaign(session, campaign_id))
    numbers = {
        "votes": told.votes,
        "people who gave them": told.people,
        "images in the campaign": told.images,
        "gold questions": told.gold,
        "decisions": told.decisions,
        "images in hand": told.held,
    }
    return DeletionPage(
        "campaign",
        told.name,
        _statistics(numbers),
        exports,
        "The image files, the accounts and other campaigns stay. The deletion stays in the audit "
        "log.",
        url_for("campaigns.campaign", campaign_id=campaign_id),
        f"{told.name} is active. Deactivate it first." if told.active else "",
    )


def _dataset_page(dataset_id: int) -> DeletionPage:
    with db().read() as session:
        told = dataset_deletion.forecast_deletion(session, dataset_id)
        found = campaigns_of(session, dataset_id)
        exports = [link for one in found for link in _exports(one)]
    numbers = {
        "images": told.images,
        "campaigns": told.campaigns,
        "votes": told.votes,
        "people who gave them": told.people,
        "model runs": told.runs,
    }
    return DeletionPage(
        "data set",
        told.name,
        _statistics(numbers),
        exports,
        f"The image files stay in {told.path}. The accounts and other data sets stay. The deletion "
        "stays in the audit log.",
        url_for("images.datasets"),
        _hindrance_of(told),
    )


def _hindrance_of(told: DatasetForecast) -> str:
    if told.active:
        return f"Its campaign {', '.join(told.active)} is active. Deactivate it first."
    if told.importing:
        return f"The import of {told.name} has not ended. Wait until it has ended, or cancel it."
    return ""


def _statistics(numbers: dict[str, int]) -> list[Statistic]:
    return [Statistic(word, f"{count:,}") for word, count in numbers.items()]


def _exports(found: Campaign) -> list[Link]:
    return [
        Link(url_for("exports.labels_csv", campaign=found.id), f"Download labels of {found.name}"),
        Link(url_for("exports.votes_csv", campaign=found.id), f"Download votes of {found.name}"),
    ]
