"""Managing campaigns: made, edited, copied, handed out, paused."""

from __future__ import annotations

from typing import Any

from flask import flash, jsonify, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler import jobs
from labeler.errors import Conflict, InvalidInput, NotFound, SidelightError
from labeler.models import Dataset
from labeler.services import campaigns, overview, progress, selecting
from labeler.services.campaigns import Plan
from labeler.web import access, forms
from labeler.web.admin import bp
from labeler.web.campaign_form import (
    CampaignForm,
    FormError,
    form_of,
    sent_form,
)
from labeler.web.campaign_pages import (
    CampaignsPage,
    campaign_page,
    campaign_row,
    count_selected,
    new_page,
)
from labeler.web.errors import always_json, wants_json
from labeler.web.markdown import render as markdown
from labeler.web.routing import MAX_ID
from labeler.web.state import account, db, render, settings

AT_ONCE = 5_000  # images that are let in while the person waits; more are a job
MAX_UPLOAD = 16 * 1024 * 1024  # a list of all images of CelebA is 2 MB
UPLOADS = {"admin.create_campaign", "admin.try_campaign", "admin.import_gold"}


@bp.url_value_preprocessor
def allow_uploads(endpoint: str | None, _values: dict[str, Any] | None) -> None:
    """Lists of images may be long; set before anything of the form is read."""
    if endpoint in UPLOADS:
        request.max_content_length = request.max_form_memory_size = MAX_UPLOAD


@bp.get("/campaigns", endpoint="campaigns")
@access.only("supervisor", "admin")
def list_campaigns() -> tuple[str, int]:
    """The campaigns."""
    with db().read() as session:
        counts = campaigns.count_images(session)
        rows = [
            campaign_row(one, counts.get(one.id, {})) for one in campaigns.list_campaigns(session)
        ]
        has_dataset = bool(overview.list_datasets(session))
    return render(CampaignsPage(rows, has_dataset))


@bp.get("/campaigns/new")
@access.only("supervisor", "admin")
def new_campaign() -> tuple[str, int]:
    """The form for a new campaign."""
    with db().read() as session:
        dataset = _dataset(session, request.args.get("dataset", 0, type=int))
        return render(new_page(session, dataset, CampaignForm()))


@bp.post("/campaigns")
@access.only("supervisor", "admin")
def create_campaign() -> tuple[str, int] | Response:
    """Make a campaign."""
    with db().read() as session:
        dataset = _dataset(session, forms.whole("dataset"))
        form = sent_form(dataset)
    try:
        return _create(dataset.id, form.plan())
    except FormError:
        status = InvalidInput.status
    except SidelightError as error:
        form.blame(error)
        status = error.status
    with db().read() as session:
        return render(new_page(session, dataset, form), status)


@bp.post("/campaigns/try")
@access.only("supervisor", "admin")
def try_campaign() -> tuple[str, int] | Response:
    """Count the images and show the guideline, and store nothing."""
    with db().read() as session:
        dataset = _dataset(session, forms.whole("dataset")) if "dataset" in request.form else None
        form = sent_form(dataset)
        selected = _count(session, dataset, form) if dataset else None
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
        return render(campaign_page(session, found, form_of(found)))


@bp.post("/campaigns/<id:campaign_id>")
@access.only("supervisor", "admin")
def save_campaign(campaign_id: int) -> tuple[str, int] | Response:
    """Change the rules, the name or the guideline of a campaign."""
    form = sent_form()
    try:
        plan = form.plan()
        with db().write() as session:
            changed = campaigns.edit_campaign(
                session, campaign_id, name=plan.name, rules=plan.rules, guideline=plan.guideline
            )
    except FormError:
        status = InvalidInput.status
    except Conflict as error:
        form.blame(error)
        status = error.status
    else:
        return _saved(campaign_id, changed)
    with db().read() as session:
        found = campaigns.get_campaign(session, campaign_id)
        return render(campaign_page(session, found, form), status)


@bp.post("/campaigns/<id:campaign_id>/clone")
@access.only("supervisor", "admin")
def clone_campaign(campaign_id: int) -> tuple[str, int] | Response:
    """Make a new campaign with the images and rules of another."""
    name = forms.text("copy_name")
    with db().read() as session:
        model = campaigns.get_campaign(session, campaign_id)
    try:
        return _create(model.dataset_id, campaigns.plan_of(model, name))
    except SidelightError as error:
        with db().read() as session:
            page = campaign_page(session, model, form_of(model), name, error.message)
        return render(page, error.status)


@bp.post("/campaigns/<id:campaign_id>/activate")
@access.only("supervisor", "admin")
def activate_campaign(campaign_id: int) -> Response:
    """Make a campaign the one that is labelled."""
    with db().write() as session:
        name = campaigns.activate_campaign(session, campaign_id).name
    return _back(campaign_id, f"{name} is now the active campaign. People are assigned its images.")


@bp.post("/campaigns/<id:campaign_id>/pause")
@access.only("supervisor", "admin")
def pause_campaign(campaign_id: int) -> Response:
    """Stop assigning images of a campaign."""
    with db().write() as session:
        campaigns.pause_campaign(session, campaign_id)
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
        campaigns.resume_campaign(session, campaign_id)
    return _back(campaign_id, "The campaign continues. People get new images again.")


@bp.post("/campaigns/<id:campaign_id>/fill")
@access.only("supervisor", "admin")
def fill_campaign(campaign_id: int) -> Response:
    """Go on filling a campaign with its images."""
    with db().read() as session:
        campaigns.get_campaign(session, campaign_id)
    jobs.fill_campaign(settings(), campaign_id)
    return _back(campaign_id, "The missing images are being added.")


@bp.get("/campaigns/<id:campaign_id>/state")
@access.only("supervisor", "admin")
@always_json
def campaign_state(campaign_id: int) -> Response:
    """How many images are in, and how many there are to be."""
    with db().read() as session:
        found = campaigns.get_campaign(session, campaign_id)
        images = progress.campaign_progress(session, campaign_id).images
        selected = count_selected(session, found)
    return jsonify(ok=True, images=images, selected=selected)


def _create(dataset_id: int, plan: Plan) -> Response:
    with db().write() as session:
        made = campaigns.add_campaign(session, dataset_id, plan, account().id)
        size = selecting.count_selected(session, made.dataset, plan.selection)
    if size < AT_ONCE:
        campaigns.fill_campaign(db(), made.id)
        return _back(
            made.id, f"{made.name} has been created. Nobody can label in it until you activate it."
        )
    jobs.fill_campaign(settings(), made.id)
    return _back(made.id, f"{made.name} has been created. Its {size:,} images are being added.")


def _saved(campaign_id: int, changed: bool) -> Response:
    if not changed:
        return _back(campaign_id, "Your changes have been saved.")
    jobs.queue_refresh(settings(), campaign_id)
    return _back(
        campaign_id,
        "Your changes have been saved. The labels of all images are now computed again with "
        "the new rules.",
    )


def _back(campaign_id: int, text: str) -> Response:
    flash(text, "success")
    return redirect(url_for("admin.campaign", campaign_id=campaign_id), 303)


def _dataset(session: Session, number: int) -> Dataset:
    """The data set of that number; 0: the one being labelled, else the first."""
    datasets = overview.list_datasets(session)
    if not datasets:
        raise NotFound("Register a data set first: python manage.py images import PATH")
    if not 0 < number <= MAX_ID:
        return datasets[0]
    found = session.get(Dataset, number)
    if found is None:
        raise NotFound(f"Data set {number} does not exist.")
    return found


def _count(session: Session, dataset: Dataset, form: CampaignForm) -> int | None:
    try:
        return selecting.count_selected(session, dataset, form.selection())
    except FormError:
        return None
    except SidelightError as error:
        form.blame(error)
        return None
