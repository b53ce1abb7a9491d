"""The pages of campaigns: list, create, edit, copy, activate, pause."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, flash, jsonify, redirect, request, url_for
from markupsafe import Markup
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.campaigns import image_selection
from labeler.campaigns import service as campaigns
from labeler.campaigns.service import CampaignPlan
from labeler.errors import Conflict, InvalidInput, NotFound, SidelightError
from labeler.images.datasets import list_datasets
from labeler.jobs import kinds
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.progress import campaign_progress
from labeler.rules.image_selection_spec import ImageSelection
from labeler.web import access, campaign_forms, request_fields
from labeler.web.campaign_forms import (
    CampaignForm,
    Choice,
    FormError,
    attribute_choices,
    describe_selection,
    partition_choices,
    sent_form,
    stored_form,
)
from labeler.web.context import Page, account, actor, db, render
from labeler.web.errors import always_json, wants_json
from labeler.web.formatting import Statistic
from labeler.web.markdown import render as markdown

bp = Blueprint("campaigns", __name__, url_prefix="/admin")
AT_ONCE = 5_000  # images that are added at once; more are added by the background worker


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign of the list."""

    id: int
    name: str
    dataset: str
    active: bool
    paused: bool
    images: int
    finished: int
    contested: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CampaignsPage(Page):
    """All campaigns."""

    template = "campaigns/list.html"
    campaigns: list[CampaignRow]
    has_dataset: bool


@dataclass(frozen=True, slots=True)
class NewCampaignPage(Page):
    """The form of a new campaign. `selected`: the images it selects, None if not counted."""

    template = "campaigns/new.html"
    form: CampaignForm
    dataset_id: int
    datasets: list[Choice]
    partitions: list[Choice]
    attributes: list[Choice]
    total: int
    selected: int | None
    preview: Markup
    groups: tuple[campaign_forms.RuleGroup, ...] = campaign_forms.GROUPS


@dataclass(frozen=True, slots=True)
class CampaignPage(Page):
    """A campaign. `images`: how many it has; `selected`: how many it will have."""

    template = "campaigns/campaign.html"
    id: int
    heading: str
    form: CampaignForm
    dataset: str
    selection: str
    active: bool
    paused_at: datetime | None
    statistics: list[Statistic]
    images: int
    finished: int
    selected: int
    preview: Markup
    copy_name: str = ""
    copy_problem: str = ""
    groups: tuple[campaign_forms.RuleGroup, ...] = campaign_forms.GROUPS


@bp.get("/campaigns", endpoint="campaigns")
@access.only("supervisor", "admin")
def list_campaigns() -> tuple[str, int]:
    """The campaigns."""
    with db().read() as session:
        counts = campaigns.count_images(session)
        rows = [
            campaign_row(one, counts.get(one.id, {})) for one in campaigns.list_campaigns(session)
        ]
        has_dataset = bool(list_datasets(session))
    return render(CampaignsPage(rows, has_dataset))


@bp.get("/campaigns/new")
@access.only("supervisor", "admin")
def new_campaign() -> tuple[str, int]:
    """The form for a new campaign."""
    with db().read() as session:
        dataset = _dataset(session, request_fields.row_number("dataset"))
        return render(new_page(session, dataset, CampaignForm()))


@bp.post("/campaigns")
@access.only("supervisor", "admin")
@request_fields.accepts_uploads
def create_campaign() -> tuple[str, int] | Response:
    """Create a campaign."""
    with db().read() as session:
        dataset = _dataset(session, request_fields.whole("dataset"))
        form = sent_form(dataset)
    try:
        return _create(dataset.id, form.plan())
    except FormError:
        status = InvalidInput.status
    except SidelightError as error:
        form.add_error(error)
        status = error.status
    with db().read() as session:
        return render(new_page(session, dataset, form), status)


@bp.post("/campaigns/try")
@access.only("supervisor", "admin")
@request_fields.accepts_uploads
def try_campaign() -> tuple[str, int] | Response:
    """Count the selected images and preview the guideline. Nothing is stored."""
    with db().read() as session:
        dataset = (
            _dataset(session, request_fields.whole("dataset"))
            if "dataset" in request.form
            else None
        )
        form = sent_form(dataset)
        selected = _count(session, dataset, form) if dataset else None
        form.check_guideline()
        if dataset is not None and not wants_json():
            return render(new_page(session, dataset, form, selected))
    preview = str(markdown(form.guideline))
    return jsonify(ok=True, selected=selected, problems=form.problems, preview=preview)


@bp.get("/campaigns/<id:campaign_id>")
@access.only("supervisor", "admin")
def campaign(campaign_id: int) -> tuple[str, int]:
    """One campaign: its images, rules and guideline."""
    with db().read() as session:
        found = campaigns.get_campaign(session, campaign_id)
        return render(campaign_page(session, found, stored_form(found)))


@bp.post("/campaigns/<id:campaign_id>")
@access.only("supervisor", "admin")
def save_campaign(campaign_id: int) -> tuple[str, int] | Response:
    """Change the rules, the name or the guideline of a campaign."""
    form = sent_form()
    try:
        plan = form.plan()
        with db().write() as session:
            changed = campaigns.edit_campaign(
                session,
                campaign_id,
                actor(),
                name=plan.name,
                rules=plan.rules,
                guideline=plan.guideline,
            )
            if changed:
                kinds.refresh_all_images.queue(session, campaign_id, account().id)
    except FormError:
        status = InvalidInput.status
    except Conflict as error:
        form.add_error(error)
        status = error.status
    else:
        return _saved(campaign_id, changed)
    with db().read() as session:
        found = campaigns.get_campaign(session, campaign_id)
        return render(campaign_page(session, found, form), status)


@bp.post("/campaigns/<id:campaign_id>/clone")
@access.only("supervisor", "admin")
def clone_campaign(campaign_id: int) -> tuple[str, int] | Response:
    """Create a campaign with the images and rules of another one."""
    name = request_fields.text("copy_name")
    with db().read() as session:
        model = campaigns.get_campaign(session, campaign_id)
    try:
        return _create(model.dataset_id, campaigns.plan_of(model, name))
    except SidelightError as error:
        with db().read() as session:
            page = campaign_page(session, model, stored_form(model), name, error.message)
        return render(page, error.status)


@bp.post("/campaigns/<id:campaign_id>/activate")
@access.only("supervisor", "admin")
def activate_campaign(campaign_id: int) -> Response:
    """Make this the active campaign, whose images people label."""
    with db().write() as session:
        name = campaigns.activate_campaign(session, campaign_id, actor()).name
    return _back(campaign_id, f"{name} is now the active campaign. People are assigned its images.")


@bp.post("/campaigns/<id:campaign_id>/pause")
@access.only("supervisor", "admin")
def pause_campaign(campaign_id: int) -> Response:
    """Stop assigning images of a campaign."""
    with db().write() as session:
        campaigns.pause_campaign(session, campaign_id, actor())
    return _back(
        campaign_id,
        "The campaign is paused. Nobody gets new images. People can still answer the images "
        "they already have.",
    )


@bp.post("/campaigns/<id:campaign_id>/resume")
@access.only("supervisor", "admin")
def resume_campaign(campaign_id: int) -> Response:
    """Assign images of a campaign again."""
    with db().write() as session:
        campaigns.resume_campaign(session, campaign_id, actor())
    return _back(campaign_id, "The campaign continues. People get new images again.")


@bp.post("/campaigns/<id:campaign_id>/fill")
@access.only("supervisor", "admin")
def fill_campaign(campaign_id: int) -> Response:
    """Continue to add the images of a campaign."""
    with db().write() as session:
        campaigns.get_campaign(session, campaign_id)
        kinds.fill_campaign.queue(session, campaign_id, account().id)
    return _back(campaign_id, "The missing images are being added.")


@bp.get("/campaigns/<id:campaign_id>/state")
@access.only("supervisor", "admin")
@always_json
def campaign_state(campaign_id: int) -> Response:
    """How many images the campaign has, and how many it will have."""
    with db().read() as session:
        found = campaigns.get_campaign(session, campaign_id)
        images = campaign_progress.campaign_progress(session, campaign_id).images
        selected = count_selected(session, found)
    return jsonify(ok=True, images=images, selected=selected)


def new_page(
    session: Session, dataset: Dataset, form: CampaignForm, selected: int | None = None
) -> NewCampaignPage:
    """Return the page of a new campaign, with the form as it was filled in."""
    found = list_datasets(session)
    return NewCampaignPage(
        form,
        dataset.id,
        [Choice(str(one.id), one.name, "yes" if one.id == dataset.id else "") for one in found],
        partition_choices(session, dataset, form),
        attribute_choices(dataset, form),
        image_selection.count_selected(session, dataset, ImageSelection()),
        selected,
        markdown(form.guideline),
    )


def campaign_page(
    session: Session,
    found: Campaign,
    form: CampaignForm,
    copy_name: str = "",
    copy_problem: str = "",
) -> CampaignPage:
    """Return the page of a campaign, with the form as it is stored or as it was sent."""
    done = campaign_progress.campaign_progress(session, found.id)
    counts = {  # and the status of the images behind the number
        "images": (done.images, "selected"),
        "agreed": (done.agreed, "agreed"),
        "contested": (done.contested, "contested"),
        "open": (done.open, "open"),
        "votes": (done.votes, ""),
    }
    dataset = session.get_one(Dataset, found.dataset_id)
    return CampaignPage(
        found.id,
        found.name,
        form,
        dataset.name,
        describe_selection(found.parsed_selection),
        found.active,
        found.paused_at,
        [_statistic(found, word, *counted) for word, counted in counts.items()],
        done.images,
        done.agreed + done.contested,
        count_selected(session, found),
        markdown(form.guideline),
        copy_name or f"{found.name} 2",
        copy_problem,
    )


def _statistic(found: Campaign, word: str, count: int, status: str) -> Statistic:
    address = url_for("image_browser.images", campaign=found.id, status=status) if status else ""
    return Statistic(word, f"{count:,}", address)


def count_selected(session: Session, found: Campaign) -> int:
    """Return how many images a campaign selects."""
    dataset = session.get_one(Dataset, found.dataset_id)
    return image_selection.count_selected(session, dataset, found.parsed_selection)


def campaign_row(found: Campaign, counts: dict[str, int]) -> CampaignRow:
    """Return a row of the list.

    Parameters:
        counts: number of images by status.
    """
    return CampaignRow(
        found.id,
        found.name,
        found.dataset.name,
        found.active,
        found.paused_at is not None,
        sum(counts.values()),
        counts.get("agreed", 0) + counts.get("contested", 0),
        counts.get("contested", 0),
        found.created_at,
    )


def _create(dataset_id: int, plan: CampaignPlan) -> Response:
    with db().write() as session:
        made = campaigns.add_campaign(session, dataset_id, plan, actor())
        size = image_selection.count_selected(session, made.dataset, plan.selection)
        if size >= AT_ONCE:
            kinds.fill_campaign.queue(session, made.id, account().id)
    if size < AT_ONCE:
        campaigns.fill_campaign(db(), made.id)
        return _back(
            made.id, f"{made.name} has been created. Nobody can label in it until you activate it."
        )
    return _back(made.id, f"{made.name} has been created. Its {size:,} images are being added.")


def _saved(campaign_id: int, changed: bool) -> Response:
    if not changed:
        return _back(campaign_id, "Your changes have been saved.")
    return _back(
        campaign_id,
        "Your changes have been saved. The labels of all images are now computed again with "
        "the new rules.",
    )


def _back(campaign_id: int, text: str) -> Response:
    flash(text, "success")
    return redirect(url_for("campaigns.campaign", campaign_id=campaign_id), 303)


def _dataset(session: Session, number: int) -> Dataset:
    """Return the data set of that number. 0: the active one, else the first."""
    found = list_datasets(session)
    if not found:
        raise NotFound("Register a data set first: python manage.py images import PATH")
    if not number:
        return found[0]
    chosen = session.get(Dataset, number)
    if chosen is None:
        raise NotFound(f"Data set {number} does not exist.")
    return chosen


def _count(session: Session, dataset: Dataset, form: CampaignForm) -> int | None:
    try:
        return image_selection.count_selected(session, dataset, form.selection())
    except FormError:
        return None
    except SidelightError as error:
        form.add_error(error)
        return None
