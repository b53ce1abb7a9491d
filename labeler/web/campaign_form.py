"""The form of a campaign: what was sent, what it means, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import request
from sqlalchemy.orm import Session

from labeler.domain.rules import RuleError, Rules, Selection
from labeler.errors import Conflict, InvalidInput, NotFound, SidelightError
from labeler.models import Campaign, Dataset
from labeler.services.campaigns import MAX_GUIDELINE, MAX_NAME, Plan
from labeler.services.selecting import list_partitions
from labeler.services.sheets import read_filenames
from labeler.web import forms, rules_form

PARTITIONS = {0: "train", 1: "valid", 2: "test"}


class FormError(Exception):
    """What was sent cannot be: `problems` by field."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(", ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several things to tick or choose, and whether it is."""

    value: str
    text: str
    chosen: str = ""


@dataclass(slots=True)
class CampaignForm:
    """What the form shows; `problems` by field, `selection` for the selection as a whole.

    `unreadable`: what is wrong with the uploaded list.
    """

    name: str = ""
    guideline: str = ""
    rules: dict[str, str] = field(default_factory=lambda: rules_form.texts_of(Rules()))
    partitions: set[str] = field(default_factory=set)
    attributes: dict[str, str] = field(default_factory=dict)
    sample: str = ""
    seed: str = "0"
    filenames: str = ""
    unreadable: str = ""
    problems: dict[str, str] = field(default_factory=dict)

    def plan(self) -> Plan:
        """What the form means.

        Raises:
            FormError: with everything that is wrong.
        """
        self.problems = self._plain_problems()
        rules, selection = self._rules(), self._selection()
        if self.problems or rules is None or selection is None:
            raise FormError(self.problems)
        return Plan(self.name, rules, selection, self.guideline)

    def selection(self) -> Selection:
        """Which images the form selects.

        Raises:
            FormError: with everything that is wrong.
        """
        self.problems = {}
        selection = self._selection()
        if selection is None:
            raise FormError(self.problems)
        return selection

    def blame(self, error: SidelightError) -> None:
        """Put an error of the services at the field that it is about."""
        places: dict[type[SidelightError], str] = {Conflict: "name", NotFound: "filenames"}
        self.problems[places.get(type(error), "selection")] = error.message

    def _plain_problems(self) -> dict[str, str]:
        problems = {}
        if not 1 <= len(self.name.strip()) <= MAX_NAME:
            problems["name"] = f"Enter a name of 1 to {MAX_NAME} characters."
        if len(self.guideline) > MAX_GUIDELINE:
            problems["guideline"] = (
                f"The guideline has {len(self.guideline):,} characters. The limit is "
                f"{MAX_GUIDELINE:,}."
            )
        return problems

    def _rules(self) -> Rules | None:
        try:
            return rules_form.parse(self.rules)
        except RuleError as error:
            self.problems |= rules_form.sentences_of(error)
            return None

    def _selection(self) -> Selection | None:
        numbers = {"sample": self._whole("sample", self.sample or None), "seed":
                   self._whole("seed", self.seed or "0")}  # fmt: skip
        if self.unreadable:
            self.problems["filenames"] = self.unreadable
        try:
            names = read_filenames(self.filenames)
        except SidelightError as error:
            self.problems["filenames"] = error.message
        if self.problems.keys() & {"sample", "seed", "filenames"}:
            return None
        try:
            return Selection(
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
        if not text.strip().isascii() or not text.strip().isdigit():
            self.problems[name] = "Enter a whole number."
            return None
        return int(text)


def sent_form(dataset: Dataset | None = None) -> CampaignForm:
    """What was sent; the selection only where a data set is given.

    An uploaded list goes into the field of the list, so that it is there when the form comes back.
    """
    form = CampaignForm(
        name=forms.text("name"), guideline=forms.text("guideline"), rules=rules_form.sent_texts()
    )
    if dataset is not None:
        form.partitions = set(request.form.getlist("partition")) & set(map(str, PARTITIONS))
        form.attributes = {
            name: said
            for index, name in enumerate(dataset.attribute_names)
            if (said := forms.text(f"attribute-{index}")) in ("yes", "no")
        }
        form.sample, form.seed = forms.text("sample"), forms.text("seed")
        form.filenames = forms.text("filenames")
        try:
            form.filenames = uploaded("list") or form.filenames
        except InvalidInput as error:
            form.unreadable = error.message
    return form


def form_of(campaign: Campaign) -> CampaignForm:
    """The form of a campaign that there is."""
    rules = rules_form.texts_of(campaign.parsed_rules)
    return CampaignForm(name=campaign.name, guideline=campaign.guideline, rules=rules)


def uploaded(name: str) -> str:
    """The text of a file that was sent; empty where none was.

    Raises:
        InvalidInput: it is no text in UTF-8.
    """
    file = request.files.get(name)
    if file is None or not file.filename:
        return ""
    try:
        return file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{file.filename} is not UTF-8 text. Save it as a CSV file in UTF-8."
        ) from None


def partition_choices(session: Session, dataset: Dataset, form: CampaignForm) -> list[Choice]:
    """The partitions that the data set has."""
    return [
        Choice(
            str(one), PARTITIONS.get(one, str(one)), "yes" if str(one) in form.partitions else ""
        )
        for one in list_partitions(session, dataset.id)
    ]


def attribute_choices(dataset: Dataset, form: CampaignForm) -> list[Choice]:
    """The attributes with what was chosen: `yes`, `no` or nothing."""
    return [
        Choice(str(index), name.replace("_", " "), form.attributes.get(name, ""))
        for index, name in enumerate(dataset.attribute_names)
    ]


def words_of(selection: Selection) -> str:
    """A selection in words."""
    if selection.is_everything:
        return "all images"
    parts = []
    if selection.partitions:
        parts.append(" or ".join(PARTITIONS.get(one, str(one)) for one in selection.partitions))
    parts += [f"{'' if wanted else 'not '}{name.replace('_', ' ')}"
              for name, wanted in selection.attributes.items()]  # fmt: skip
    if selection.filenames is not None:
        parts.append(f"from a list of {len(selection.filenames):,}")
    if selection.sample is not None:
        parts.append(f"{selection.sample:,} at random (seed {selection.seed})")
    return ", ".join(parts)
