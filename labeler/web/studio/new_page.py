"""What the form of the studio shows: the source, the choices, and the clusters of a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flask import url_for
from sqlalchemy.orm import Session

from labeler.campaigns.service import list_campaigns
from labeler.errors import SidelightError
from labeler.jobs import kinds, queue
from labeler.jobs.turning import count_open
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.rules.validation import read_whole
from labeler.studio.candidates import PreviewSource
from labeler.studio.choices import SIZES
from labeler.studio.preview import ClusterPreview, load_source, preview_clusters
from labeler.studio.sources import find_source
from labeler.web import current_campaign, request_fields
from labeler.web.campaigns.forms import Choice
from labeler.web.context import Page, account, manages, settings
from labeler.web.formatting import answer_word, format_percent
from labeler.web.image_address import image_address
from labeler.web.stored_problems import file_problem
from labeler.web.studio import clusters
from labeler.web.studio.form import (
    MAX_NAME,
    StudioForm,
    light_choices,
    parse_choices,
    query_of,
    way_choices,
)
from labeler.web.subsets.choice import subset_choices
from labeler.web.voting import scaled_size
from rotation.clusters.selection import DEFAULT_ATTRIBUTES

ROOM = (267, 327)  # for the source, in pixels: one and a half times CelebA


@dataclass(frozen=True, slots=True)
class SourceView:
    """The source, if it is an image of the data set.

    `light`: its label with its probability, "" if it has none or if the reader may see no labels.
    """

    id: int
    filename: str
    url: str
    width: int
    height: int
    light: str
    yaw: str


@dataclass(frozen=True, slots=True)
class PreviewView:
    """The clusters, and what would help if some are too small.

    `counted`: None if a choice is wrong, as `problem` says, or if nothing is counted yet.
    `manages`: whether the reader may see labels and have poses measured. `members`: the address of
    the pictures at each angle; `means`: those of their mean faces, by angle. Both tell labels.
    """

    counted: ClusterPreview | None
    manages: bool = False
    measuring: bool = False
    dataset_id: int = 0
    wants_proposals: bool = False
    problem: str = ""
    members: str = ""
    means: Mapping[float, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewTurnPage(Page):
    """The form, and the clusters that it would use. `waiting`: how many turns the person has."""

    template = "studio/new.html"
    form: StudioForm
    campaign: Campaign
    campaigns: Sequence[Choice]
    subsets: Sequence[Choice]
    source: SourceView | None
    attributes: Sequence[str]
    more_attributes: Sequence[str]
    preview: PreviewView
    waiting: int
    most: int
    back: str
    problem: str = ""
    lights: Sequence[tuple[str, str]] = field(default_factory=lambda: [*light_choices().items()])
    ways: Sequence[tuple[str, str]] = field(default_factory=lambda: [*way_choices().items()])
    sizes: Sequence[int] = SIZES
    max_name: int = MAX_NAME


@dataclass(frozen=True, slots=True)
class PreviewPart(Page):
    """The clusters alone, which the script of the form asks for."""

    template = "studio/preview.html"
    preview: PreviewView
    form: StudioForm


def new_turn_page(
    session: Session,
    campaign: Campaign,
    form: StudioForm,
    problem: str = "",
    *,
    counted: bool = True,
) -> NewTurnPage:
    """Return the page with a form, and with the clusters that it would use if `counted`."""
    current_campaign.show(campaign)
    source = find_image(session, campaign, form)
    known = campaign.dataset.attribute_names
    usual = [name for name in DEFAULT_ATTRIBUTES if name in known]
    return NewTurnPage(
        form,
        campaign,
        _campaign_choices(session, campaign),
        subset_choices(session, campaign.dataset_id, read_whole(form.get("subset"))),
        _source_view(source, load_known(session, campaign, source, form)) if source else None,
        usual,
        [name for name in known if name not in usual],
        view_preview(session, campaign, source, form) if counted else PreviewView(None),
        count_open(session, account().id),
        settings().turns_per_person,
        address_of_form(campaign, source, form),
        problem,
    )


def find_image(session: Session, campaign: Campaign, form: StudioForm) -> Image | None:
    """Return the source that the form names; None if it names none or a wrong one."""
    if not form.get("source"):
        return None
    try:
        found = find_source(session, campaign.dataset_id, form.get("source"))
    except SidelightError as error:
        form.problems["source"] = error.message
        return None
    if found.status != "broken":
        return found
    form.problems["source"] = _(
        "%(name)s cannot be turned: %(problem)s",
        name=found.filename,
        problem=file_problem(found.problem, found.filename),
    )
    return None


def load_known(
    session: Session, campaign: Campaign, source: Image | None, form: StudioForm
) -> PreviewSource:
    """Return what is known of the source; of an upload nothing is.

    Annotators learn no label: they say themselves where the light comes from.
    """
    if source is None:
        return PreviewSource()
    found = load_source(session, campaign, source, with_proposals=form.is_on("proposals"))
    return found if manages() else replace(found, label="", probability=None)


def _campaign_choices(session: Session, chosen: Campaign) -> list[Choice]:
    found = [one for one in list_campaigns(session) if manages() or one.active]
    if chosen not in found:
        found = [chosen, *found]
    return [Choice(str(one.id), one.name, "yes" if one is chosen else "") for one in found]


def _source_view(source: Image, known: PreviewSource) -> SourceView:
    size = scaled_size(source.width or 0, source.height or 0, ROOM)
    return SourceView(
        source.id,
        source.filename,
        image_address(source.id, source.sha256) if source.status != "broken" else "",
        *size,
        _light_words(known),
        "" if source.yaw_deg is None else f"{write_number(source.yaw_deg)}°",
    )


def _light_words(known: PreviewSource) -> str:
    if not known.label:
        return ""
    word = answer_word(known.label)
    if known.probability is None:
        return word
    return _("%(label)s, %(share)s sure", label=word, share=format_percent(known.probability))


def view_preview(
    session: Session, campaign: Campaign, source: Image | None, form: StudioForm
) -> PreviewView:
    """Count the clusters of a form. Its problems stay those of the form that was sent."""
    choices = parse_choices(StudioForm(form.values, form.attributes))
    if choices is None:
        return PreviewView(None, problem=_("Correct the form to see the pictures at each angle."))
    known = load_known(session, campaign, source, form)
    try:
        subset_id = request_fields.optional_row("subset")
        counted = preview_clusters(session, campaign, known, choices, subset_id)
    except SidelightError as error:
        return PreviewView(None, problem=error.message)
    measuring = queue.is_open(session, kinds.measure_poses.name, campaign.dataset_id)
    members = ""
    means: Mapping[float, str] = {}
    if manages():
        back = address_of_form(campaign, source, form)
        members, means = clusters.addresses(campaign, known, choices, counted, subset_id, back)
    return PreviewView(
        counted,
        manages(),
        measuring,
        campaign.dataset_id,
        not choices.with_proposals,
        members=members,
        means=means,
    )


def address_of_form(campaign: Campaign, source: Image | None, form: StudioForm) -> str:
    """Return the address that shows the form again, with its source and its choices."""
    links: dict[str, Any] = current_campaign.links(campaign)
    image_id = source.id if source else None
    return url_for("studio_new.new_turn", image=image_id, **query_of(form), **links)
