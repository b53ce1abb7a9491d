"""What the pages of the campaigns show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup
from sqlalchemy.orm import Session

from labeler.domain.rules import Selection
from labeler.models import Campaign, Dataset
from labeler.services import overview, progress, selecting
from labeler.web import rules_form
from labeler.web.campaign_form import (
    CampaignForm,
    Choice,
    attribute_choices,
    partition_choices,
    words_of,
)
from labeler.web.markdown import render as markdown
from labeler.web.progress import Figure
from labeler.web.state import Page


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
    """The form of a new campaign; `selected` None: not counted."""

    template = "campaigns/new.html"
    form: CampaignForm
    dataset_id: int
    datasets: list[Choice]
    partitions: list[Choice]
    attributes: list[Choice]
    total: int
    selected: int | None
    preview: Markup
    groups: tuple[rules_form.RuleGroup, ...] = rules_form.GROUPS


@dataclass(frozen=True, slots=True)
class CampaignPage(Page):
    """One campaign: its state, its rules. `selected`: images that there are to be."""

    template = "campaigns/campaign.html"
    id: int
    heading: str
    form: CampaignForm
    dataset: str
    selection: str
    active: bool
    paused_at: datetime | None
    figures: list[Figure]
    images: int
    finished: int
    selected: int
    preview: Markup
    copy_name: str = ""
    copy_problem: str = ""
    groups: tuple[rules_form.RuleGroup, ...] = rules_form.GROUPS


def new_page(
    session: Session, dataset: Dataset, form: CampaignForm, selected: int | None = None
) -> NewCampaignPage:
    """The form of a new campaign for a data set, as it is filled in so far."""
    datasets = overview.list_datasets(session)
    return NewCampaignPage(
        form,
        dataset.id,
        [Choice(str(one.id), one.name, "yes" if one.id == dataset.id else "") for one in datasets],
        partition_choices(session, dataset, form),
        attribute_choices(dataset, form),
        selecting.count_selected(session, dataset, Selection()),
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
    """A campaign with its form, as it is stored or as it was sent."""
    done = progress.campaign_progress(session, found.id)
    counts = {"images": done.images, "agreed": done.agreed, "contested": done.contested,
              "open": done.open, "votes": done.votes}  # fmt: skip
    dataset = session.get_one(Dataset, found.dataset_id)
    return CampaignPage(
        found.id,
        found.name,
        form,
        dataset.name,
        words_of(Selection.from_dict(found.selection)),
        found.active,
        found.paused_at,
        [Figure(word, f"{count:,}") for word, count in counts.items()],
        done.images,
        done.agreed + done.contested,
        count_selected(session, found),
        markdown(form.guideline),
        copy_name or f"{found.name} 2",
        copy_problem,
    )


def count_selected(session: Session, found: Campaign) -> int:
    """How many images the campaign is to have."""
    dataset = session.get_one(Dataset, found.dataset_id)
    return selecting.count_selected(session, dataset, Selection.from_dict(found.selection))


def campaign_row(found: Campaign, counts: dict[str, int]) -> CampaignRow:
    """A line of the list; `counts`: images by status."""
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
