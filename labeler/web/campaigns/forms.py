"""The form of a campaign: its fields and their texts, reading it, and its errors."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from flask import request
from sqlalchemy.orm import Session

from labeler.campaigns.audience import Audience
from labeler.campaigns.default_guideline import default_guideline
from labeler.campaigns.image_selection import (
    SampleTooLarge,
    UnusableSubset,
    list_partitions,
)
from labeler.campaigns.period import check_period
from labeler.campaigns.service import MAX_GUIDELINE, MAX_NAME, CampaignPlan
from labeler.csv_input import read_filenames
from labeler.errors import BrokenData, Conflict, InvalidInput, NotFound, SidelightError
from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, pgettext
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from labeler.rules.validation import RuleError, read_whole
from labeler.web import request_fields
from labeler.web.campaigns.presets import applied_preset, apply_preset
from labeler.web.campaigns.rule_fields import (
    FIELDS,
    parse_rules,
    rule_messages,
    rule_texts,
    sent_rules,
)

PARTITION_WORDS = {0: mark("train"), 1: mark("valid"), 2: mark("test")}  # of CelebA


class FormError(Exception):
    """A form with errors. `problems`: messages by field."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Fault:
    """A field that must be corrected: its name, its label on the page, and what is wrong."""

    field: str
    label: str
    problem: str


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a field, and whether it is chosen."""

    value: str
    text: str
    chosen: str = ""


@dataclass(slots=True)
class CampaignForm:
    """The values of the form as texts.

    `starts`, `ends`: as browsers send a date and a time, in the time zone `zone`. `restricted`,
    `people`, `groups`: as in `campaigns.audience.Audience`.
    `problems`: messages by field; `selection` is the key for the selection as a whole.
    `unreadable`: why the uploaded list cannot be read.
    """

    name: str = ""
    guideline: str = field(default_factory=default_guideline)
    rules: dict[str, str] = field(default_factory=lambda: rule_texts(Rules()))
    partitions: set[str] = field(default_factory=set)
    attributes: dict[str, str] = field(default_factory=dict)
    starts: str = ""
    ends: str = ""
    zone: str = "UTC"
    restricted: bool = False
    people: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    sample: str = ""
    seed: str = "0"
    filenames: str = ""
    subset: str = ""
    unreadable: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    max_guideline: ClassVar[int] = MAX_GUIDELINE

    @property
    def faults(self) -> list[Fault]:
        """The problems in the order of the fields on the page."""
        order = [name for name in _LABELS if name in self.problems]
        return [Fault(name, _(_LABELS[name]), self.problems[name]) for name in order]

    @property
    def wrong_rules(self) -> bool:
        """Whether the problem of a rule stands among the rules that are folded away."""
        return not self.problems.keys().isdisjoint(FIELDS)

    def plan(self) -> CampaignPlan:
        """Return the campaign that the form describes.

        Raises:
            FormError: fields are wrong. It contains all errors.
        """
        self.problems = self._plain_problems()
        self.check_guideline()
        for check in (self.period, self.audience):
            with suppress(FormError):
                check()
        rules, selection = self._rules(), self._selection()
        if self.problems or rules is None or selection is None:
            raise FormError(self.problems)
        return CampaignPlan(self.name, rules, selection, self.guideline)

    def period(self) -> tuple[datetime | None, datetime | None]:
        """Return the start and the end.

        Raises:
            FormError: one of them cannot be read, or the start is not before the end.
        """
        starts, ends = (self._time(name, getattr(self, name)) for name in ("starts", "ends"))
        if self.problems.keys() & {"starts", "ends"}:
            raise FormError(self.problems)
        try:
            check_period(starts, ends)
        except InvalidInput as error:
            self.problems["ends"] = error.message
            raise FormError(self.problems) from None
        return starts, ends

    def audience(self) -> Audience:
        """Return who may label.

        Raises:
            FormError: only chosen people may, and nobody is chosen.
        """
        if self.restricted and not (self.people or self.groups):
            self.problems["audience"] = _("Choose at least one person or group.")
            raise FormError(self.problems)
        return Audience(self.restricted, self.people, self.groups)

    def _time(self, name: str, text: str) -> datetime | None:
        if not text.strip():
            return None
        try:
            time = datetime.fromisoformat(text.strip())
        except ValueError:
            self.problems[name] = _("Enter a date and a time, such as 2026-12-01T09:00.")
            return None
        if time.tzinfo is None:
            time = time.replace(tzinfo=request_fields.find_zone(self.zone))
        try:
            return time.astimezone(UTC)
        except OverflowError:  # the first and the last day that there is
            self.problems[name] = _("Enter a year between 2 and 9998.")
            return None

    def selection(self) -> ImageSelection:
        """Return the images that the form selects.

        Raises:
            FormError: fields are wrong. It contains all errors.
        """
        self.problems = {}
        selection = self._selection()
        if selection is None:
            raise FormError(self.problems)
        return selection

    def add_error(self, error: SidelightError) -> None:
        """Add an error of a service to the field that caused it."""
        places: dict[type[SidelightError], str] = {
            Conflict: "name",
            NotFound: "filenames",
            SampleTooLarge: "sample",
            UnusableSubset: "subset",
        }
        self.problems[places.get(type(error), "selection")] = error.message

    def check_guideline(self) -> None:
        """Add a problem if the guideline is too long to be stored or shown."""
        if len(self.guideline) > MAX_GUIDELINE:
            self.problems["guideline"] = _(
                "The guideline has %(count)s characters. The limit is %(most)s.",
                count=write_number(len(self.guideline)),
                most=write_number(MAX_GUIDELINE),
            )

    def _plain_problems(self) -> dict[str, str]:
        problems = {}
        if not 1 <= len(self.name.strip()) <= MAX_NAME:
            problems["name"] = _("Enter a name of 1 to %(most)s characters.", most=MAX_NAME)
        return problems

    def _rules(self) -> Rules | None:
        try:
            return parse_rules(self.rules)
        except RuleError as error:
            self.problems |= rule_messages(error)
            return None

    def _selection(self) -> ImageSelection | None:
        numbers = {
            "sample": self._whole("sample", self.sample or None),
            "seed": self._whole("seed", self.seed or "0"),
            "subset": self._whole("subset", self.subset or None),
        }
        if self.unreadable:
            self.problems["filenames"] = self.unreadable
        try:
            names = read_filenames(self.filenames)
        except SidelightError as error:
            self.problems["filenames"] = error.message
        if self.problems.keys() & {"sample", "seed", "subset", "filenames"}:
            return None
        try:
            return ImageSelection(
                partitions=tuple(int(one) for one in self.partitions),
                attributes={name: said == "yes" for name, said in self.attributes.items() if said},
                filenames=tuple(names) or None,
                **numbers,
            )
        except RuleError as error:
            self.problems |= {one.field: one.sentence() for one in error.problems}
            return None

    def _whole(self, name: str, text: str | None) -> Any:
        if text is None:
            return None
        number = read_whole(text)
        if number is None:
            self.problems[name] = _("Enter a whole number.")
        return number


_LABELS = {
    "dataset": mark("Data set"),
    "name": mark("Name"),
    "selection": mark("Images"),
    "partitions": mark("Partition"),
    "sample": mark("Random sample"),
    "seed": mark("Seed of the random sample"),
    "attributes": mark("Attributes"),
    "subset": mark("Only images of a subset"),
    "filenames": mark("Only images in a list"),
    **{name: field.label for name, field in FIELDS.items()},
    "guideline": mark("Guideline"),
    "starts": mark("Start"),
    "ends": mark("End"),
    "audience": mark("Who may label"),
}


def sent_form(dataset: Dataset | None = None) -> CampaignForm:
    """Read the form that was sent.

    The text of an uploaded list goes into the field `filenames`. So it is still there if the form
    is shown again.

    Parameters:
        dataset: the data set to select images from; None: the form has no selection.
    """
    form = CampaignForm(
        name=request_fields.text("name"),
        guideline=request_fields.text("guideline"),
        rules=sent_rules(),
        starts=request_fields.text("starts"),
        ends=request_fields.text("ends"),
        zone=request_fields.text("zone") or "UTC",
        restricted=request_fields.text("audience") == "chosen",
        people=request_fields.row_numbers("person"),
        groups=request_fields.row_numbers("group"),
    )
    if preset := applied_preset():
        apply_preset(form.rules, preset)
    if dataset is not None:
        form.partitions = set(request.form.getlist("partition")) & set(map(str, PARTITION_WORDS))
        form.attributes = {
            name: said
            for index, name in enumerate(dataset.attribute_names)
            if (said := request_fields.text(f"attribute-{index}")) in ("yes", "no")
        }
        form.sample, form.seed = request_fields.text("sample"), request_fields.text("seed")
        form.subset = request_fields.text("subset").strip()
        form.filenames = request_fields.text("filenames")
        try:
            form.filenames = request_fields.uploaded_text("list") or form.filenames
        except BrokenData as error:
            form.unreadable = error.message
    return form


def stored_form(campaign: Campaign, audience: Audience) -> CampaignForm:
    """Return the form of a stored campaign."""
    return CampaignForm(
        name=campaign.name,
        guideline=campaign.guideline or default_guideline(),
        rules=rule_texts(campaign.parsed_rules),
        starts=_time_text(campaign.starts_at),
        ends=_time_text(campaign.ends_at),
        restricted=audience.restricted,
        people=audience.people,
        groups=audience.groups,
    )


def _time_text(time: datetime | None) -> str:
    """Write a time as the field of a browser takes it, in UTC."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M}" if time else ""


def partition_word(number: int) -> str:
    """The word of a partition of CelebA on pages."""
    return _(PARTITION_WORDS[number]) if number in PARTITION_WORDS else str(number)


def partition_choices(session: Session, dataset: Dataset, form: CampaignForm) -> list[Choice]:
    """Return the partitions of a data set as options."""
    return [
        Choice(str(one), partition_word(one), "yes" if str(one) in form.partitions else "")
        for one in list_partitions(session, dataset.id)
    ]


def attribute_choices(dataset: Dataset, form: CampaignForm) -> list[Choice]:
    """Return the attributes of a data set as options: `yes`, `no` or not chosen."""
    return [
        Choice(str(index), attribute_words(name), form.attributes.get(name, ""))
        for index, name in enumerate(dataset.attribute_names)
    ]


def attribute_words(name: str) -> str:
    """Write the name of an attribute of CelebA for people: `5 o’Clock Shadow`."""
    return name.replace("_o_Clock", " o’Clock").replace("_", " ")


def describe_selection(selection: ImageSelection, subset: str = "") -> str:
    """Describe a selection in words.

    Parameters:
        subset: the name of its subset.
    """
    if selection.is_everything:
        return _("all images")
    parts = []
    if selection.partitions:
        names = [partition_word(one) for one in selection.partitions]
        between = pgettext("partitions", "or")
        parts.append(f" {between} ".join(names))
    parts += [
        name.replace("_", " ")
        if wanted
        else _("not %(attribute)s", attribute=name.replace("_", " "))
        for name, wanted in selection.attributes.items()
    ]
    if selection.subset is not None:
        parts.append(_("of the subset %(name)s", name=subset or selection.subset))
    if selection.filenames is not None:
        parts.append(_("from a list of %(count)s", count=write_number(len(selection.filenames))))
    if selection.sample is not None:
        parts.append(
            _(
                "%(count)s at random (seed %(seed)s)",
                count=write_number(selection.sample),
                seed=selection.seed,
            )
        )
    return ", ".join(parts)


def keep_what_fits(session: Session, form: CampaignForm, dataset: Dataset) -> None:
    """Drop the conditions of a form that another data set does not have."""
    form.partitions &= set(map(str, list_partitions(session, dataset.id)))
    form.attributes = {
        name: said for name, said in form.attributes.items() if name in dataset.attribute_names
    }
    form.subset = ""
