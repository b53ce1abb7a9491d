"""The form of a campaign: its fields and their texts, reading it, and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from flask import request
from sqlalchemy.orm import Session

from labeler.campaigns.image_selection import SampleTooLarge, list_partitions
from labeler.campaigns.service import MAX_GUIDELINE, MAX_NAME, CampaignPlan
from labeler.csv_input import read_filenames
from labeler.errors import BrokenData, Conflict, NotFound, SidelightError
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset
from labeler.rules.campaign_rules import Rules, read_rules, write_rule
from labeler.rules.image_selection_spec import ImageSelection
from labeler.rules.presets import PRESETS, Cost, expected_cost, find_preset
from labeler.rules.validation import RuleError, read_whole
from labeler.web import request_fields
from labeler.web.formatting import plural

PARTITIONS = {0: "train", 1: "valid", 2: "test"}
Choices = tuple[tuple[str, str], ...]


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
class PresetChoice:
    """A preset of the form. `cost`: what it takes, in words."""

    name: str
    title: str
    sentence: str
    cost: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """An option of a field, and whether it is chosen."""

    value: str
    text: str
    chosen: str = ""


@dataclass(slots=True)
class CampaignForm:
    """The values of the form as texts.

    `problems`: messages by field; `selection` is the key for the selection as a whole.
    `unreadable`: why the uploaded list cannot be read.
    """

    name: str = ""
    guideline: str = ""
    rules: dict[str, str] = field(default_factory=lambda: rule_texts(Rules()))
    partitions: set[str] = field(default_factory=set)
    attributes: dict[str, str] = field(default_factory=dict)
    sample: str = ""
    seed: str = "0"
    filenames: str = ""
    unreadable: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    max_guideline: ClassVar[int] = MAX_GUIDELINE

    @property
    def faults(self) -> list[Fault]:
        """The problems in the order of the fields on the page."""
        order = [name for name in _LABELS if name in self.problems]
        return [Fault(name, _LABELS[name], self.problems[name]) for name in order]

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
        rules, selection = self._rules(), self._selection()
        if self.problems or rules is None or selection is None:
            raise FormError(self.problems)
        return CampaignPlan(self.name, rules, selection, self.guideline)

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
        }
        self.problems[places.get(type(error), "selection")] = error.message

    def check_guideline(self) -> None:
        """Add a problem if the guideline is too long to be stored or shown."""
        if len(self.guideline) > MAX_GUIDELINE:
            self.problems["guideline"] = (
                f"The guideline has {len(self.guideline):,} characters. The limit is "
                f"{MAX_GUIDELINE:,}."
            )

    def _plain_problems(self) -> dict[str, str]:
        problems = {}
        if not 1 <= len(self.name.strip()) <= MAX_NAME:
            problems["name"] = f"Enter a name of 1 to {MAX_NAME} characters."
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
        }
        if self.unreadable:
            self.problems["filenames"] = self.unreadable
        try:
            names = read_filenames(self.filenames)
        except SidelightError as error:
            self.problems["filenames"] = error.message
        if self.problems.keys() & {"sample", "seed", "filenames"}:
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
            self.problems[name] = "Enter a whole number."
        return number


@dataclass(frozen=True, slots=True)
class RuleField:
    """The field of a rule.

    Parameters:
        name: of the rule, as in `Rules`.
        kind: `word` (one of `choices`), `whole`, `percent` or `yes`.
        label: what people read beside the field.
        sentence: what the rule does.
        choices: values and their texts.
    """

    name: str
    kind: str
    label: str
    sentence: str
    choices: Choices = ()


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Fields under a common heading."""

    title: str
    fields: tuple[RuleField, ...]


GROUPS = (
    RuleGroup(
        "Who sees what",
        (
            RuleField(
                "proposals",
                "word",
                "Show the model's suggestions",
                "“Mixed” lets you measure how much suggestions influence people.",
                (
                    ("mixed", "Mixed: hidden for some images"),
                    ("shown", "Always shown"),
                    ("hidden", "Always hidden"),
                ),
            ),
            RuleField(
                "blind_share",
                "percent",
                "Hide suggestions for (%)",
                "Share of the images without a suggestion if suggestions are mixed. It is "
                "drawn for each person.",
            ),
            RuleField(
                "mirror_views",
                "yes",
                "Show half of the images mirrored",
                "Cancels out a habit of pressing one side. Answers are stored for the "
                "image as it is.",
            ),
        ),
    ),
    RuleGroup(
        "When an image is finished",
        (
            RuleField(
                "method",
                "word",
                "Stopping rule",
                "“Probability” weighs each answer by how reliable the person has been. It asks "
                "for more answers only where the label is doubtful.",
                (("posterior", "Probability"), ("majority", "A fixed number of votes")),
            ),
            RuleField(
                "required_votes",
                "whole",
                "Votes needed",
                "With a fixed number: the number of votes per image. With probability: the "
                "smallest number of votes for a label.",
            ),
            RuleField(
                "threshold",
                "percent",
                "Certain enough at (%)",
                "An image is finished when one label is at least this probable.",
            ),
            RuleField(
                "vote_cap",
                "whole",
                "Largest number of votes",
                "An image that has this many votes and no label is contested. A supervisor "
                "decides.",
            ),
            RuleField(
                "use_model",
                "yes",
                "Count the model's proposal as a first opinion",
                "Saves votes if the model's probabilities are right.",
            ),
            RuleField(
                "named",
                "yes",
                "A person must have named the label",
                "If not ticked, a confident proposal can outweigh a person. This needs the "
                "fewest votes and trusts the model most.",
            ),
            RuleField(
                "audit_share",
                "percent",
                "Audit share (%)",
                "Share of the images, drawn at random, that get the largest number of "
                "votes anyway. They show how good early labels are.",
            ),
        ),
    ),
    RuleGroup(
        "Gold questions and qualification",
        (
            RuleField(
                "gold_first",
                "whole",
                "Gold questions among the first 20",
                "Images with a known answer. They look like all others and show how well a "
                "person judges.",
            ),
            RuleField(
                "gold_rate",
                "percent",
                "Gold questions later (%)",
                "Share of all images after the first 20.",
            ),
            RuleField(
                "planted_share",
                "percent",
                "Gold questions with a wrong suggestion (%)",
                "Shows who copies suggestions. Not used if suggestions are always hidden.",
            ),
            RuleField(
                "min_gold",
                "percent",
                "Pause below (%)",
                "People who are clearly right on fewer gold questions than this are paused.",
            ),
            RuleField(
                "training",
                "whole",
                "Qualification images",
                "Gold questions that people answer, with feedback, before they start. 0: "
                "no qualification.",
            ),
            RuleField(
                "pass_share",
                "percent",
                "Qualification passed at (%)",
                "Share of right answers in a round. Below it, another round follows.",
            ),
        ),
    ),
    RuleGroup(
        "Model",
        (
            RuleField(
                "retrain_votes",
                "whole",
                "Train again after (votes)",
                "Smallest number of new votes. The first model needs 15 votes. 0: train "
                "only on request.",
            ),
            RuleField(
                "retrain_share",
                "percent",
                "And after this growth (%)",
                "New votes as a share of the votes so far. It keeps large campaigns from "
                "training all the time.",
            ),
        ),
    ),
    RuleGroup(
        "Order",
        (
            RuleField(
                "order",
                "word",
                "Which images come first",
                "Images of equal priority come in random order.",
                (
                    ("breadth", "Images with the fewest votes"),
                    ("random", "Random order"),
                    ("uncertain", "Images that help the model most, then the least certain"),
                    ("contested", "Images on which people disagree"),
                    ("mixed", "Random mix of fewest votes, least certain and disagreement"),
                ),
            ),
        ),
    ),
)
FIELDS = {field.name: field for group in GROUPS for field in group.fields}
_LABELS = {
    "dataset": "Data set",
    "name": "Name",
    "selection": "Images",
    "partitions": "Partition",
    "sample": "Random sample",
    "seed": "Seed of the random sample",
    "attributes": "Attributes",
    "filenames": "Only images in a list",
    **{name: field.label for name, field in FIELDS.items()},
    "guideline": "Guideline",
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
    )
    if preset := applied_preset():
        apply_preset(form, preset)
    if dataset is not None:
        form.partitions = set(request.form.getlist("partition")) & set(map(str, PARTITIONS))
        form.attributes = {
            name: said
            for index, name in enumerate(dataset.attribute_names)
            if (said := request_fields.text(f"attribute-{index}")) in ("yes", "no")
        }
        form.sample, form.seed = request_fields.text("sample"), request_fields.text("seed")
        form.filenames = request_fields.text("filenames")
        try:
            form.filenames = request_fields.uploaded_text("list") or form.filenames
        except BrokenData as error:
            form.unreadable = error.message
    return form


def applied_preset() -> str:
    """Return the name of the preset whose button was pressed, "" for none."""
    name = request_fields.text("preset")
    return name if name in {one.name for one in PRESETS} else ""


def preset_choices(form: CampaignForm, images: int) -> list[PresetChoice]:
    """Return the presets with their cost for so many images, and which one the form follows."""
    rules = _rules_or_none(form)
    followed = find_preset(rules) if rules else None
    return [
        PresetChoice(
            one.name,
            one.title,
            one.sentence,
            describe_cost(expected_cost(one.applied(rules or Rules()), images)),
            one == followed,
        )
        for one in PRESETS
    ]


def own_cost(form: CampaignForm, images: int) -> str:
    """Say what the rules of the form cost; "" if they are wrong."""
    rules = _rules_or_none(form)
    return describe_cost(expected_cost(rules, images)) if rules else ""


def describe_cost(cost: Cost) -> str:
    """Write a cost as `1,310 to 2,300 votes, 1 to 2 hours of work`."""
    fewest, most = cost.votes
    votes = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    low, high = (max(1, round(hours * 60)) for hours in cost.hours)
    if high < 90:
        unit = plural(high, "minute")
    else:
        low, high, unit = max(1, round(low / 60)), round(high / 60), "hours"
    time = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"{votes} {'vote' if most == 1 else 'votes'}, about {time} {unit} of work"


def _rules_or_none(form: CampaignForm) -> Rules | None:
    try:
        return parse_rules(form.rules)
    except RuleError:
        return None


def apply_preset(form: CampaignForm, name: str) -> None:
    """Fill in the rules of a preset. Other fields keep what was typed, also if it is wrong."""
    preset = next(one for one in PRESETS if one.name == name)
    filled = rule_texts(preset.applied(Rules()))
    form.rules |= {rule: filled[rule] for rule in preset.changes}


def stored_form(campaign: Campaign) -> CampaignForm:
    """Return the form of a stored campaign."""
    rules = rule_texts(campaign.parsed_rules)
    return CampaignForm(name=campaign.name, guideline=campaign.guideline, rules=rules)


def partition_choices(session: Session, dataset: Dataset, form: CampaignForm) -> list[Choice]:
    """Return the partitions of a data set as options."""
    return [
        Choice(
            str(one), PARTITIONS.get(one, str(one)), "yes" if str(one) in form.partitions else ""
        )
        for one in list_partitions(session, dataset.id)
    ]


def attribute_choices(dataset: Dataset, form: CampaignForm) -> list[Choice]:
    """Return the attributes of a data set as options: `yes`, `no` or not chosen."""
    return [
        Choice(str(index), name.replace("_", " "), form.attributes.get(name, ""))
        for index, name in enumerate(dataset.attribute_names)
    ]


def describe_selection(selection: ImageSelection) -> str:
    """Describe a selection in words."""
    if selection.is_everything:
        return "all images"
    parts = []
    if selection.partitions:
        parts.append(" or ".join(PARTITIONS.get(one, str(one)) for one in selection.partitions))
    parts += [
        f"{'' if wanted else 'not '}{name.replace('_', ' ')}"
        for name, wanted in selection.attributes.items()
    ]
    if selection.filenames is not None:
        parts.append(f"from a list of {len(selection.filenames):,}")
    if selection.sample is not None:
        parts.append(f"{selection.sample:,} at random (seed {selection.seed})")
    return ", ".join(parts)


def rule_texts(rules: Rules) -> dict[str, str]:
    """Return the texts of the fields for these rules."""
    values = rules.as_dict()
    return {
        name: write_rule(round(100 * values[name], 8) if field.kind == "percent" else values[name])
        for name, field in FIELDS.items()
    }


def keep_what_fits(session: Session, form: CampaignForm, dataset: Dataset) -> None:
    """Drop the conditions of a form that another data set does not have."""
    form.partitions &= set(map(str, list_partitions(session, dataset.id)))
    form.attributes = {
        name: said for name, said in form.attributes.items() if name in dataset.attribute_names
    }


def sent_rules() -> dict[str, str]:
    """Read the texts of the fields. Browsers do not send a box that is not ticked."""
    return {
        name: ("yes" if name in request.form else "no")
        if field.kind == "yes"
        else request_fields.text(name)
        for name, field in FIELDS.items()
    }


def parse_rules(texts: Mapping[str, str]) -> Rules:
    """Read rules from the texts of the fields.

    Raises:
        RuleError: fields are wrong; `rule_messages` turns it into messages.
    """
    return read_rules({name: text + _unit(name) for name, text in texts.items()})


def rule_messages(error: RuleError) -> dict[str, str]:
    """Return a message for each wrong field, in percent where the field is in percent."""
    return {one.field: one.sentence(_scale(one.field)) for one in error.problems}


def _unit(name: str) -> str:
    return " %" if FIELDS[name].kind == "percent" else ""


def _scale(name: str) -> float:
    return 100 if FIELDS[name].kind == "percent" else 1
