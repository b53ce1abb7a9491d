"""What the pages of campaigns show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import url_for
from markupsafe import Markup
from sqlalchemy.orm import Session

from labeler.campaigns import image_selection
from labeler.campaigns.audience import count_audience
from labeler.images.datasets import list_datasets
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import pgettext
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.models.subsets import Subset
from labeler.progress import campaign_progress
from labeler.rules.image_selection_spec import ImageSelection
from labeler.subsets.service import frozen_names
from labeler.web.campaigns.audience import AudienceChoices, audience_choices
from labeler.web.campaigns.forms import (
    CampaignForm,
    Choice,
    attribute_choices,
    describe_selection,
    partition_choices,
)
from labeler.web.campaigns.presets import (
    CostBasis,
    PresetChoice,
    cost_basis,
    own_cost,
    preset_choices,
)
from labeler.web.campaigns.rule_fields import GROUPS, RuleGroup
from labeler.web.context import Page, account
from labeler.web.formatting import Statistic
from labeler.web.markdown import render as markdown


@dataclass(frozen=True, slots=True)
class CampaignLimits:
    """When a campaign assigns images, and whether only to chosen people.

    `not_begun`, `over`: its period lies ahead, or behind.
    """

    starts_at: datetime | None
    ends_at: datetime | None
    not_begun: bool
    over: bool
    restricted: bool


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign of the list. `limits`: when and for whom it assigns images."""

    id: int
    name: str
    dataset: str
    active: bool
    paused: bool
    archived: bool
    limits: CampaignLimits
    images: int
    finished: int
    contested: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CampaignsPage(Page):
    """All campaigns, or those in the archive (`archived`). `count_archived`: how many are there."""

    template = "campaigns/list.html"
    campaigns: list[CampaignRow]
    has_dataset: bool
    archived: bool
    count_archived: int


@dataclass(frozen=True, slots=True)
class NewCampaignPage(Page):
    """The form of a new campaign. `selected`: the images it selects, None if not counted.

    `presets`: with the cost for these images. `cost`: that of the rules of the form. `basis`: from
    what the costs were forecast. `audience`: the groups and people who can be chosen.
    """

    template = "campaigns/new.html"
    form: CampaignForm
    dataset_id: int
    datasets: list[Choice]
    partitions: list[Choice]
    attributes: list[Choice]
    subsets: list[Choice]
    total: int
    selected: int | None
    preview: Markup
    presets: list[PresetChoice]
    cost: str
    basis: CostBasis
    audience: AudienceChoices
    groups: tuple[RuleGroup, ...] = GROUPS


@dataclass(frozen=True, slots=True)
class CampaignPage(Page):
    """A campaign. `images`: how many it has; `selected`: how many it will have.

    `presets`, `cost`, `basis`, `audience`: as for a new campaign. `audience_size`: how many people
    with an open account may label. `forecast`: what rules that are not saved would do.
    """

    template = "campaigns/campaign.html"
    id: int
    heading: str
    form: CampaignForm
    dataset: str
    selection: str
    active: bool
    paused_at: datetime | None
    archived_at: datetime | None
    limits: CampaignLimits
    statistics: list[Statistic]
    images: int
    finished: int
    selected: int
    preview: Markup
    presets: list[PresetChoice]
    cost: str
    basis: CostBasis
    audience: AudienceChoices
    audience_size: int
    may_delete: bool
    forecast: str = ""
    copy_name: str = ""
    copy_problem: str = ""
    groups: tuple[RuleGroup, ...] = GROUPS


def new_page(
    session: Session, dataset: Dataset, form: CampaignForm, selected: int | None = None
) -> NewCampaignPage:
    """Return the page of a new campaign, with the form as it was filled in."""
    found = list_datasets(session)
    total = image_selection.count_selected(session, dataset, ImageSelection())
    basis = cost_basis(session, dataset.id, total if selected is None else selected)
    return NewCampaignPage(
        form,
        dataset.id,
        [Choice(str(one.id), one.name, "yes" if one.id == dataset.id else "") for one in found],
        partition_choices(session, dataset, form),
        attribute_choices(dataset, form),
        [
            Choice(str(number), name, "yes" if form.subset == str(number) else "")
            for number, name in frozen_names(session, dataset.id).items()
        ],
        total,
        selected,
        markdown(form.guideline),
        preset_choices(form.rules, basis),
        own_cost(form.rules, basis),
        basis,
        audience_choices(session, form),
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
        _("images"): (done.images, "selected"),
        pgettext("images", "agreed"): (done.agreed, "agreed"),
        pgettext("images", "contested"): (done.contested, "contested"),
        pgettext("images", "open"): (done.open, "open"),
        _("votes"): (done.votes, ""),
    }
    dataset = session.get_one(Dataset, found.dataset_id)
    basis = cost_basis(session, dataset.id, done.images)
    return CampaignPage(
        found.id,
        found.name,
        form,
        dataset.name,
        describe_selection(found.parsed_selection, _subset_name(session, found)),
        found.active,
        found.paused_at,
        found.archived_at,
        _limits(found),
        [_statistic(found, word, *counted) for word, counted in counts.items()],
        done.images,
        done.agreed + done.contested,
        count_selected(session, found),
        markdown(form.guideline),
        preset_choices(form.rules, basis),
        own_cost(form.rules, basis),
        basis,
        audience_choices(session, form),
        count_audience(session, found.id),
        account().role == "admin",
        copy_name=copy_name or f"{found.name} 2",
        copy_problem=copy_problem,
    )


def _subset_name(session: Session, found: Campaign) -> str:
    number = found.parsed_selection.subset
    subset = None if number is None else session.get(Subset, number)
    return subset.name if subset is not None else ""


def _statistic(found: Campaign, word: str, count: int, status: str) -> Statistic:
    address = url_for("image_browser.images", campaign=found.id, status=status) if status else ""
    return Statistic(word, write_number(count), address)


def _limits(found: Campaign) -> CampaignLimits:
    now = utc_now()
    return CampaignLimits(
        found.starts_at,
        found.ends_at,
        found.starts_at is not None and found.starts_at > now,
        found.ends_at is not None and found.ends_at <= now,
        found.restricted,
    )


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
        found.archived_at is not None,
        _limits(found),
        sum(counts.values()),
        counts.get("agreed", 0) + counts.get("contested", 0),
        counts.get("contested", 0),
        found.created_at,
    )
