"""The views of campaigns: list, create, edit, copy. `states` has the others."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from flask import Blueprint, jsonify, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.campaigns import archive, image_selection
from labeler.campaigns import service as campaigns
from labeler.campaigns.audience import load_audience, set_audience
from labeler.campaigns.period import set_period
from labeler.campaigns.service import CampaignPlan
from labeler.consensus.forecast import forecast_rules
from labeler.errors import Conflict, InvalidInput, NotFound, SidelightError
from labeler.images.datasets import get_dataset, list_datasets
from labeler.jobs import kinds
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, ngettext
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.progress import campaign_progress
from labeler.rules.campaign_rules import Rules, read_rules, write_rule
from labeler.rules.image_selection_spec import ImageSelection
from labeler.rules.validation import RuleError
from labeler.web import access, confirmation, request_fields
from labeler.web.campaigns.forms import (
    CampaignForm,
    FormError,
    keep_what_fits,
    sent_form,
    stored_form,
)
from labeler.web.campaigns.pages import (
    CampaignsPage,
    campaign_page,
    campaign_row,
    count_selected,
    new_page,
)
from labeler.web.campaigns.presets import CostBasis, cost_basis, own_cost, preset_choices
from labeler.web.campaigns.questions import ask_about_rules, forecast_sentences
from labeler.web.campaigns.rule_fields import FIELDS, parse_rules, rule_messages
from labeler.web.confirmation import Undo
from labeler.web.context import account, actor, db, render
from labeler.web.errors import always_json, wants_json
from labeler.web.markdown import render as markdown

bp = Blueprint("campaigns", __name__, url_prefix="/admin")
OTHER_DATASET = mark("You have chosen another data set. Check which images of it you want.")
AT_ONCE = 5_000  # images that are added at once; more are added by the background worker


@bp.get("/campaigns", endpoint="campaigns")
@access.only("supervisor", "admin")
def list_campaigns() -> tuple[str, int]:
    """The campaigns; with `archived=yes` those in the archive."""
    archived = request.args.get("archived") == "yes"
    with db().read() as session:
        counts = campaigns.count_images(session)
        put_away = archive.list_archived(session)
        shown = put_away if archived else campaigns.list_campaigns(session)
        rows = [campaign_row(one, counts.get(one.id, {})) for one in shown]
        has_dataset = bool(list_datasets(session))
    return render(CampaignsPage(rows, has_dataset, archived, len(put_away)))


@bp.get("/campaigns/new")
@access.only("supervisor", "admin")
def new_campaign() -> tuple[str, int]:
    """The form for a new campaign."""
    with db().read() as session:
        dataset = _dataset(session, request_fields.row_number("dataset"))
        subset = request_fields.row_number("subset")
        return render(new_page(session, dataset, CampaignForm(subset=str(subset or ""))))


@bp.post("/campaigns")
@access.only("supervisor", "admin")
@request_fields.accepts_uploads
def create_campaign() -> tuple[str, int] | Response:
    """Create a campaign."""
    with db().read() as session:
        dataset, form, is_other = _sent(session)
    try:
        return _create(dataset.id, _checked_plan(dataset, form, is_other), form)
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
    """Count the selected images and preview guideline and rules. Nothing is stored."""
    with db().read() as session:
        if campaign_id := request_fields.row_number("campaign"):
            return _try_changes(session, campaigns.get_campaign(session, campaign_id))
        if "dataset" not in request.form:
            form = sent_form()
            form.check_guideline()
            return _tried(form, None, CostBasis(0))
        dataset, form, __ = _sent(session)
        selected = _count(session, dataset, form)
        form.check_guideline()
        if not wants_json():
            return render(new_page(session, dataset, form, selected))
        everything = image_selection.count_selected(session, dataset, ImageSelection())
        counted = everything if selected is None else selected
        return _tried(form, selected, cost_basis(session, dataset.id, counted))


def _try_changes(session: Session, found: Campaign) -> tuple[str, int] | Response:
    """Say what changes of a campaign would do.

    With `forecast=kept` the script has the forecast of these rules already.
    """
    form = sent_form()
    kept = request_fields.text("forecast") == "kept" and wants_json()
    forecast = None if kept else _forecast(session, found, form)
    form.check_guideline()
    if not wants_json():
        return render(replace(campaign_page(session, found, form), forecast=forecast or ""))
    images = campaign_progress.campaign_progress(session, found.id).images
    basis = cost_basis(session, found.dataset_id, images)
    return _tried(form, None, basis, forecast)


def _tried(
    form: CampaignForm, selected: int | None, basis: CostBasis, forecast: str | None = ""
) -> Response:
    """Return what `static/campaigns/form.js` shows while a person types.

    `forecast`: None if the one that is shown stays.
    """
    presets = preset_choices(form.rules, basis)
    return jsonify(
        ok=True,
        selected=selected,
        problems=form.problems,
        preview=str(markdown(form.guideline)),
        costs={one.name: one.cost for one in presets},
        preset=next((one.name for one in presets if one.chosen), ""),
        cost=own_cost(form.rules, basis),
        forecast=forecast,
    )


def _forecast(session: Session, found: Campaign, form: CampaignForm) -> str:
    """Say what the rules of the form would do to the images; "" if they are the present ones."""
    try:
        rules = parse_rules(form.rules)
    except RuleError as error:
        form.problems |= rule_messages(error)
        return ""
    if rules == found.parsed_rules:
        return ""
    return " ".join(forecast_sentences(forecast_rules(session, found.id, rules)))


@bp.get("/campaigns/<id:campaign_id>")
@access.only("supervisor", "admin")
def campaign(campaign_id: int) -> tuple[str, int]:
    """One campaign: its images, rules and guideline."""
    with db().read() as session:
        found = campaigns.get_campaign(session, campaign_id)
        return render(campaign_page(session, found, _stored(session, found)))


@bp.post("/campaigns/<id:campaign_id>")
@access.only("supervisor", "admin")
def save_campaign(campaign_id: int) -> tuple[str, int] | Response:
    """Change the rules, the name or the guideline of a campaign."""
    form = sent_form()
    try:
        plan = form.plan()
        again = url_for("campaigns.try_campaign", campaign=campaign_id)
        question = ask_about_rules(campaign_id, plan.rules, again)
        return question or _edit(campaign_id, plan.rules, form, plan)
    except FormError:
        status = InvalidInput.status
    except Conflict as error:
        form.add_error(error)
        status = error.status
    with db().read() as session:
        found = campaigns.get_campaign(session, campaign_id)
        return render(campaign_page(session, found, form), status)


@bp.post("/campaigns/<id:campaign_id>/rules")
@access.only("supervisor", "admin")
def restore_rules(campaign_id: int) -> tuple[str, int] | Response:
    """Set some rules only, as the undo after a change of the rules does."""
    texts = {name: request_fields.text(name) for name in FIELDS if name in request.form}
    with db().read() as session:
        present = campaigns.get_campaign(session, campaign_id).parsed_rules
    try:
        rules = read_rules(texts, present)
    except RuleError as error:
        raise InvalidInput(str(error)) from None
    return ask_about_rules(campaign_id, rules) or _edit(campaign_id, rules)


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
            form = _stored(session, model)
            page = campaign_page(session, model, form, name, error.message)
        return render(page, error.status)


@bp.post("/campaigns/<id:campaign_id>/fill")
@access.only("supervisor", "admin")
def fill_campaign(campaign_id: int) -> Response:
    """Continue to add the images of a campaign."""
    with db().write() as session:
        campaigns.get_campaign(session, campaign_id)
        kinds.fill_campaign.queue(session, campaign_id, account().id)
    return _back(campaign_id, _("The missing images are being added."))


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


def _checked_plan(dataset: Dataset, form: CampaignForm, is_other: bool) -> CampaignPlan:
    """Return what the form describes, with all that is wrong found at once.

    Raises:
        FormError: fields are wrong.
    """
    plan: CampaignPlan | None = None
    with suppress(FormError):
        plan = form.plan()
    problems = dict(form.problems)
    if is_other:
        problems["dataset"] = _(OTHER_DATASET)
    if message := _sample_problem(dataset, form):
        problems["sample"] = message
    form.problems = problems
    if plan is None or problems:
        raise FormError(problems)
    return plan


def _sample_problem(dataset: Dataset, form: CampaignForm) -> str:
    """Say that the sample is larger than what it is drawn from; "" if it is not."""
    try:
        with db().read() as session:
            image_selection.check_sample(session, dataset, form.selection())
    except image_selection.SampleTooLarge as error:
        return error.message
    except (FormError, NotFound):  # told at other fields
        pass
    return ""


def _create(dataset_id: int, plan: CampaignPlan, form: CampaignForm | None = None) -> Response:
    """Create a campaign, with the period and the people of a form."""
    with db().write() as session:
        made = campaigns.add_campaign(session, dataset_id, plan, actor())
        if form is not None:
            _set_period_and_audience(session, made, form)
        size = image_selection.count_selected(session, made.dataset, plan.selection)
        if size >= AT_ONCE:
            kinds.fill_campaign.queue(session, made.id, account().id)
    if size < AT_ONCE:
        campaigns.fill_campaign(db(), made.id)
        return _back(
            made.id,
            _(
                "%(name)s has been created. Nobody can label in it until you activate it.",
                name=made.name,
            ),
        )
    return _back(
        made.id,
        ngettext(
            "%(name)s has been created. Its %(num)s image is being added.",
            "%(name)s has been created. Its %(num)s images are being added.",
            size,
            name=made.name,
        ),
    )


def _set_period_and_audience(session: Session, found: Campaign, form: CampaignForm) -> None:
    set_period(session, found.id, *form.period(), actor())
    set_audience(session, found, form.audience(), actor())


def _stored(session: Session, found: Campaign) -> CampaignForm:
    return stored_form(found, load_audience(session, found))


def _edit(
    campaign_id: int,
    rules: Rules,
    form: CampaignForm | None = None,
    plan: CampaignPlan | None = None,
) -> Response:
    """Save changes, and offer to take those of the rules back.

    Parameters:
        form, plan: the whole form that was sent; None: only the rules change.
    """
    name, guideline = (plan.name, plan.guideline) if plan else (None, None)
    with db().write() as session:
        found = campaigns.get_campaign(session, campaign_id)
        former = found.parsed_rules.as_dict()
        changed = campaigns.edit_campaign(
            session, campaign_id, actor(), name=name, rules=rules, guideline=guideline
        )
        if form is not None:
            _set_period_and_audience(session, found, form)
        if changed:
            kinds.refresh_all_images.queue(session, campaign_id, account().id)
    if not changed:
        return _back(campaign_id, _("Your changes have been saved."))
    new = rules.as_dict()
    fields = {rule: write_rule(value) for rule, value in former.items() if value != new[rule]}
    address = url_for("campaigns.restore_rules", campaign_id=campaign_id)
    return _back(
        campaign_id,
        _(
            "Your changes have been saved. The labels of all images are now computed again with "
            "the new rules."
        ),
        Undo(address, _("Undo: set the earlier rules again"), fields),
    )


def _back(campaign_id: int, text: str, undo: Undo | None = None) -> Response:
    confirmation.tell(text, undo)
    return redirect(url_for("campaigns.campaign", campaign_id=campaign_id), 303)


def _dataset(session: Session, number: int) -> Dataset:
    """Return the data set of that number. 0: the active one, else the first."""
    found = list_datasets(session)
    if not found:
        raise NotFound(_("There are no images yet. An admin adds them on the page “Data sets”."))
    return get_dataset(session, number) if number else found[0]


def _sent(session: Session) -> tuple[Dataset, CampaignForm, bool]:
    """Return the chosen data set, the form, and whether its fields are those of another data set.

    A form has the attributes of the data set for which it was drawn, which is `shown`.
    """
    dataset = _dataset(session, request_fields.whole("dataset"))
    number = request_fields.row_number("shown")
    shown = next((one for one in list_datasets(session) if one.id == number), dataset)
    form = sent_form(shown)
    if shown.id != dataset.id:
        keep_what_fits(session, form, dataset)
    return dataset, form, shown.id != dataset.id


def _count(session: Session, dataset: Dataset, form: CampaignForm) -> int | None:
    try:
        selection = form.selection()
        image_selection.check_sample(session, dataset, selection)
        return image_selection.count_selected(session, dataset, selection)
    except FormError:
        return None
    except SidelightError as error:
        form.add_error(error)
        return None
