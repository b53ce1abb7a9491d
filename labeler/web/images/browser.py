"""The images of a campaign and of its data set: a grid with a filter, which the address holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from labeler.campaigns import service as campaigns
from labeler.images.browsing import (
    Found,
    FoundImage,
    Tally,
    browse,
    count_status,
    find_relaxations,
    tally,
)
from labeler.images.filtering import NO_PROPOSAL, STATUSES, ImageFilter, Scope, load_scope
from labeler.images.serving import files_are_gone
from labeler.labels import likeliest_label
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import ngettext
from labeler.models.campaigns import Campaign
from labeler.progress.campaign_progress import COUNTED_UP_TO
from labeler.subsets.service import frozen_names
from labeler.web import access, current_campaign, request_fields
from labeler.web.campaigns.forms import PARTITION_WORDS, Choice, partition_word
from labeler.web.context import Page, db, render
from labeler.web.formatting import format_percent
from labeler.web.image_address import image_address
from labeler.web.images.filter import (
    FROM_SUBSET,
    TITLES,
    Condition,
    FilterForm,
    describe,
    label_word,
    read_form,
    status_word,
    title,
)
from labeler.web.stored_problems import file_problem
from labeler.web.voting import TILE_ROOM, scaled_size
from rotation.data.labels import LABELS

bp = Blueprint("image_browser", __name__, url_prefix="/admin")


@dataclass(frozen=True, slots=True)
class Tile:
    """An image of the grid. `url`: "" without a file that can be shown.

    `problem`: why the file is broken. `label`: the label with its probability, or the status.
    `proposal`: likewise of the model, "" without one. `differs`: they are two labels.
    """

    address: str
    url: str
    width: int
    height: int
    filename: str
    problem: str
    label: str
    proposal: str
    gold: str
    differs: bool


@dataclass(frozen=True, slots=True)
class AppliedCondition:
    """A condition of the filter in words, and the address of the images without it."""

    title: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class Grid:
    """The images that were found. `first`, `previous`, `next`: addresses, "" without such a page.

    `relaxed`: conditions without which there are images, if there are none.
    """

    heading: str
    place: str
    tiles: Sequence[Tile]
    first: str
    previous: str
    next: str
    relaxed: Sequence[AppliedCondition]


@dataclass(frozen=True, slots=True)
class ImagesPage(Page):
    """The filter and the images. `gone`: the place of the files, if none of it is there.

    `keep`: the address that keeps the filter as a subset, "" if it is wrong.
    """

    template = "images/browser.html"
    campaign_id: int
    form: FilterForm
    campaigns: Sequence[Choice] = ()
    statuses: Sequence[Choice] = ()
    partitions: Sequence[Choice] = ()
    attributes: Sequence[Choice] = ()
    conditions: Sequence[AppliedCondition] = ()
    grid: Grid | None = None
    everything: str = ""
    dataset: str = ""
    gone: str = ""
    keep: str = ""
    subsets: Sequence[Choice] = ()
    labels: Sequence[str] = LABELS
    no_proposal: str = NO_PROPOSAL
    titles: Any = None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request asks for: images of a campaign, by a form; with the numbers of dashboards."""

    campaign: Campaign
    scope: Scope
    form: FilterForm
    counted: Tally
    has_files: bool

    def address(self, query: dict[str, Any]) -> str:
        """The address of the images of this campaign that a query finds."""
        links = current_campaign.links(self.campaign)
        return url_for("image_browser.images", **links, **query)


@bp.get("/images")
@access.only("supervisor", "admin")
def images() -> tuple[str, int] | Response:
    """The images that a filter finds."""
    form = read_form(request.args)
    with db().read() as session:
        found = _campaign(session, form)
        if found is None:
            return render(ImagesPage(0, form))
        current_campaign.show(found)
        scope = load_scope(session, found)
        has_files = not files_are_gone(scope.dataset.path)
        asked = _Asked(found, scope, form, tally(session, scope), has_files)
        form.subsets = frozen_names(session, scope.dataset.id)
        wanted = form.filter(scope.dataset.attribute_names)
        if wanted is not None and form.has_blanks:  # as a form sends it
            return redirect(asked.address(form.query | _from_subset()))
        page = _page(session, asked, wanted)
    return render(page, 422 if wanted is None else 200)


def _campaign(session: Session, form: FilterForm) -> Campaign | None:
    """Return the campaign that the address names, else the active one, else the newest one.

    An unknown one is a problem of the form.
    """
    given = request.args.get("campaign", "").strip()
    known = campaigns.list_campaigns(session)
    if not given:
        return next(iter(known), None)
    number = request_fields.row_number("campaign")
    named = next((one for one in known if one.id == number), None)
    if named is None:
        form.problems["campaign"] = _("There is no campaign %(number)s.", number=given[:20])
    return named or next(iter(known), None)


def _page(session: Session, asked: _Asked, wanted: ImageFilter | None) -> ImagesPage:
    found, form, dataset = asked.campaign, asked.form, asked.scope.dataset
    conditions = describe(form, wanted) if wanted is not None else []
    applied = {one.name: _applied(asked, one) for one in conditions}
    return ImagesPage(
        found.id,
        form,
        [
            Choice(str(one.id), one.name, "yes" if one.id == found.id else "")
            for one in campaigns.list_campaigns(session)
        ],
        [Choice(status, _counted_word(status, asked.counted)) for status in STATUSES],
        [Choice(str(number), partition_word(number)) for number in PARTITION_WORDS],
        [
            Choice(name, name.replace("_", " "), form.attributes.get(name, ""))
            for name in dataset.attribute_names
        ],
        list(applied.values()),
        None if wanted is None else _grid(session, asked, wanted, applied),
        asked.address({}),
        dataset.name,
        "" if asked.has_files else dataset.path,
        _keep_address(asked) if wanted is not None else "",
        [
            Choice(str(number), name, "yes" if form.get("subset") == str(number) else "")
            for number, name in form.subsets.items()
        ],
        titles={name: title(name) for name in TITLES},
    )


def _keep_address(asked: _Asked) -> str:
    query: dict[str, Any] = {**asked.form.query, "campaign": asked.campaign.id}
    return url_for("subsets.new_subset", **query)


def _grid(
    session: Session, asked: _Asked, wanted: ImageFilter, applied: dict[str, AppliedCondition]
) -> Grid:
    after, before = request_fields.row_number("after"), request_fields.row_number("before")
    page = browse(session, asked.scope, wanted, asked.counted, after=after, before=before)
    relaxed = find_relaxations(session, asked.scope, wanted) if page.count == 0 else []
    first, last = (page.images[place].image.id if page.images else 0 for place in (0, -1))
    query = asked.form.query | _from_subset()
    return Grid(
        _heading(page),
        _place(page),
        [_tile(asked, one) for one in page.images],
        asked.address(query) if page.has_previous else "",
        asked.address(query | {"before": first}) if page.has_previous and first else "",
        asked.address(query | {"after": last}) if page.has_next else "",
        [applied[name] for name in relaxed],
    )


def _heading(page: Found) -> str:
    if page.count is None:
        return _("More than %(count)s images", count=write_number(COUNTED_UP_TO))
    return ngettext("%(num)s image", "%(num)s images", page.count)


def _place(page: Found) -> str:
    if not page.images or page.first is None or not (page.has_previous or page.has_next):
        return ""
    last = page.first + len(page.images) - 1
    return _(
        "Images %(first)s to %(last)s", first=write_number(page.first), last=write_number(last)
    )


def _applied(asked: _Asked, condition: Condition) -> AppliedCondition:
    without = asked.address(asked.form.without(condition.name))
    return AppliedCondition(condition.title, condition.value, without)


def _counted_word(status: str, counted: Tally) -> str:
    count = count_status(status, counted)
    return (
        status_word(status) if count is None else f"{status_word(status)} ({write_number(count)})"
    )


def _from_subset() -> dict[str, Any]:
    """Return the subset whose images are looked at, for addresses that keep to it."""
    number = request_fields.row_number(FROM_SUBSET)
    return {FROM_SUBSET: number} if number else {}


def _tile(asked: _Asked, one: FoundImage) -> Tile:
    image, row, links = one.image, one.consensus, current_campaign.links(asked.campaign)
    is_shown = asked.has_files and image.status != "broken"
    proposed = likeliest_label(one.model) if one.model else None
    label = row.label if row else None
    return Tile(
        url_for("image_history.image", image_id=image.id, **links, **_from_subset()),
        image_address(image.id, image.sha256) if is_shown else "",
        *scaled_size(image.width or 0, image.height or 0, TILE_ROOM),
        image.filename,
        file_problem(image.problem, image.filename),
        describe_label(one),
        f"{label_word(proposed)}, {format_percent(max(one.model))}" if one.model else "",
        one.gold or "",
        bool(label and proposed and label != proposed),
    )


def describe_label(one: FoundImage) -> str:
    """Say in words which label an image has, or why it has none."""
    row = one.consensus
    if row is None:
        return status_word("outside" if one.image.status == "ok" else one.image.status)
    if row.label is None:
        return status_word(row.status)
    return f"{label_word(row.label)}, {format_percent(row.probability)}"
