"""What the pages of subsets show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session

from labeler.errors import InvalidInput
from labeler.images.browsing import count_exactly, tally
from labeler.images.datasets import campaigns_of, list_datasets
from labeler.images.filtering import ImageFilter, load_scope, select_ids
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.subsets import Subset
from labeler.progress.campaign_progress import COUNTED_UP_TO
from labeler.subsets import service as subsets
from labeler.subsets.members import MemberCount, count_members, filter_of
from labeler.web import current_campaign, request_fields
from labeler.web.campaigns.forms import Choice
from labeler.web.context import Page
from labeler.web.images.filter import (
    FROM_SUBSET,
    Condition,
    FilterForm,
    describe,
    describe_in_words,
    form_of,
    read_form,
)
from labeler.web.person_name import PersonName, name_person

SHOWN = 50  # subsets on a page of the list
KINDS = ("live", "frozen")


@dataclass(frozen=True, slots=True)
class SubsetRow:
    """A subset of the list. `images`: its count in words."""

    id: int
    name: str
    frozen: bool
    images: str
    dataset: str
    filter: str
    created_at: datetime
    created_by: PersonName | None


@dataclass(frozen=True, slots=True)
class SubsetsPage(Page):
    """The subsets, a page of the list at a time.

    `older`: first number of the next page, 0 at the end. `name`, `lines`, `problem`: the form of an
    import as it was sent, and what is wrong with it.
    """

    template = "subsets/list.html"
    rows: Sequence[SubsetRow]
    datasets: Sequence[Choice]
    older: int = 0
    is_later: bool = False
    name: str = ""
    lines: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class NewSubsetPage(Page):
    """The form that keeps a filter. `address`: the one that takes it, with the filter."""

    template = "subsets/new.html"
    address: str
    images: str
    count: str
    conditions: Sequence[Condition]
    campaign: str
    dataset: str
    name: str = ""
    kind: str = KINDS[0]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SubsetPage(Page):
    """A subset. `gone`: a sentence if some of its files are broken or no longer there.

    `images`, `labels`, `mean_faces`, `turn`, `new_campaign`: addresses, "" without a campaign or if
    it is not possible. `proposed`: whether there are proposals to be downloaded with the labels.
    """

    template = "subsets/subset.html"
    id: int
    name: str
    frozen: bool
    count: str
    gone: str
    dataset: str
    campaign: str
    conditions: Sequence[Condition]
    imported: bool
    sha256: str
    created_at: datetime
    created_by: PersonName | None
    images: str = ""
    labels: str = ""
    mean_faces: str = ""
    turn: str = ""
    new_campaign: str = ""
    new_name: str = ""
    freeze_name: str = ""
    problem: str = ""


def asked(session: Session) -> tuple[Campaign, FilterForm, ImageFilter]:
    """Return campaign and filter of the address.

    Raises:
        NotFound: there is no such campaign.
        InvalidInput: the filter names no field, or a value is not allowed.
    """
    campaign = current_campaign.campaign(session)
    form = read_form(request.args)
    form.subsets = subsets.frozen_names(session, campaign.dataset_id)
    wanted = form.filter(campaign.dataset.attribute_names)
    if wanted is None:
        raise InvalidInput(" ".join(form.problems.values()))
    return campaign, form, wanted


def new_page(session: Session, name: str, kind: str, problem: str = "") -> NewSubsetPage:
    """Return the form that keeps the filter of the address."""
    campaign, form, wanted = asked(session)
    query: dict[str, Any] = {**form.query, "campaign": campaign.id}
    return NewSubsetPage(
        url_for("subsets.create_subset", **query),
        url_for("image_browser.images", **query),
        _count_found(session, campaign, wanted),
        describe(form, wanted),
        campaign.name,
        campaign.dataset.name,
        name,
        kind,
        problem,
    )


def _count_found(session: Session, campaign: Campaign, wanted: ImageFilter) -> str:
    """Count as the page of the images does."""
    scope = load_scope(session, campaign)
    statement, column = select_ids(scope, wanted)
    listed = session.scalars(statement.order_by(column).limit(COUNTED_UP_TO + 1)).all()
    if len(listed) <= COUNTED_UP_TO:
        return _images(len(listed))
    return _images(count_exactly(wanted, tally(session, scope)))


def _images(count: int | None) -> str:
    if count is None:
        return _("more than %(count)s images", count=write_number(COUNTED_UP_TO))
    return ngettext("%(num)s image", "%(num)s images", count)


def count_in_words(session: Session, found: Subset) -> str:
    """Return how many images a subset has, in words."""
    return _images(count_members(session, found).images)


def list_page(session: Session, name: str = "", lines: str = "", problem: str = "") -> SubsetsPage:
    """Return the list, with the form of an import as it was sent."""
    before = request_fields.row_number("before") or None
    found = subsets.list_subsets(session, limit=SHOWN + 1, before_id=before)
    names = _makers(session, found)
    chosen = request_fields.row_number("dataset")
    return SubsetsPage(
        [_row(session, one, names) for one in found[:SHOWN]],
        [
            Choice(str(one.id), one.name, "yes" if one.id == chosen else "")
            for one in list_datasets(session)
        ],
        found[SHOWN - 1].id if len(found) > SHOWN else 0,
        before is not None,
        name,
        lines,
        problem,
    )


def _row(session: Session, one: Subset, names: dict[int, PersonName]) -> SubsetRow:
    return SubsetRow(
        one.id,
        one.name,
        one.is_frozen,
        _images(one.count) if one.is_frozen else _("as many as meet the filter"),
        one.dataset.name,
        _("a list of file names") if one.filter is None else _words(session, one),
        one.created_at,
        names.get(one.created_by_id or 0),
    )


def _makers(session: Session, found: Sequence[Subset]) -> dict[int, PersonName]:
    """Return those who made subsets, by their numbers."""
    ids = {one.created_by_id for one in found if one.created_by_id}
    people = session.scalars(select(Annotator).where(Annotator.id.in_(ids)))
    return {one.id: name_person(one) for one in people}


def _form(session: Session, found: Subset) -> FilterForm:
    form = form_of(filter_of(found))
    if "subset" in form.values:
        form.subsets = subsets.frozen_names(session, found.dataset_id)
    return form


def _words(session: Session, found: Subset) -> str:
    return describe_in_words(_form(session, found), filter_of(found))


def subset_page(
    session: Session,
    subset_id: int,
    new_name: str | None = None,
    freeze_name: str = "",
    problem: str = "",
) -> SubsetPage:
    """Return the page of a subset, with its forms as they were sent.

    Raises:
        NotFound: there is no such subset.
    """
    found = subsets.get_subset(session, subset_id)
    counted, form = count_members(session, found), _form(session, found)
    return SubsetPage(
        found.id,
        found.name,
        found.is_frozen,
        _images(counted.images),
        _gone(counted),
        found.dataset.name,
        found.campaign.name if found.campaign else "",
        describe(form, filter_of(found)),
        found.filter is None,
        found.sha256 or "",
        found.created_at,
        _makers(session, [found]).get(found.created_by_id or 0),
        **_addresses(session, found, form),
        new_name=found.name if new_name is None else new_name,
        freeze_name=freeze_name,
        problem=problem,
    )


def _gone(counted: MemberCount) -> str:
    """Say how many files of a frozen subset are broken or no longer there; "" if none are."""
    if not counted.gone:
        return ""
    return _(
        "The files of %(gone)s of its %(images)s are broken or no longer there.",
        gone=write_number(counted.gone),
        images=_images(counted.images),
    )


def _addresses(session: Session, found: Subset, form: FilterForm) -> dict[str, str]:
    """Return addresses for the images of a subset, with a campaign that knows them."""
    of_dataset = next(iter(campaigns_of(session, found.dataset_id)), None)
    campaign = found.campaign or of_dataset
    if campaign is None:
        return {}
    known: dict[str, Any] = {"campaign": campaign.id}
    query: dict[str, Any] = {"subset": found.id} if found.is_frozen else form.query
    shown: dict[str, Any] = {**query, FROM_SUBSET: found.id}
    addresses = {
        "images": url_for("image_browser.images", **shown, **known),
        "labels": url_for("exports.labels_csv", subset=found.id, **known),
        "mean_faces": url_for("mean_faces.mean_faces", subset=found.id, **known),
        "turn": url_for("studio_new.new_turn", subset=found.id, **known),
    }
    if found.is_frozen:
        chosen: dict[str, Any] = {"dataset": found.dataset_id, "subset": found.id}
        addresses["new_campaign"] = url_for("campaigns.new_campaign", **chosen)
    return addresses
