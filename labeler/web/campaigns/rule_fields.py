"""The fields of the rules in the form of a campaign: their texts, reading and writing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request

from labeler.languages.numbers import write_number
from labeler.languages.texts import gettext as _
from labeler.languages.texts import mark, translate
from labeler.rules.campaign_rules import Rules, read_rules, write_rule
from labeler.rules.validation import RuleError
from labeler.web import request_fields

Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RuleField:
    """The field of a rule. Its texts are texts of the catalogues.

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
        mark("Who sees what"),
        (
            RuleField(
                "proposals",
                "word",
                mark("Show the model's suggestions"),
                mark("“Mixed” lets you measure how much suggestions influence people."),
                (
                    ("mixed", mark("Mixed: hidden for some images")),
                    ("shown", mark("Always shown")),
                    ("hidden", mark("Always hidden")),
                ),
            ),
            RuleField(
                "blind_share",
                "percent",
                mark("Hide suggestions for (%%)"),
                mark(
                    "Share of the images without a suggestion if suggestions are mixed. It is "
                    "drawn for each person."
                ),
            ),
            RuleField(
                "mirror_views",
                "yes",
                mark("Show half of the images mirrored"),
                mark(
                    "Cancels out a habit of pressing one side. Answers are stored for the "
                    "image as it is."
                ),
            ),
        ),
    ),
    RuleGroup(
        mark("When an image is finished"),
        (
            RuleField(
                "method",
                "word",
                mark("Stopping rule"),
                mark(
                    "“Probability” weighs each answer by how reliable the person has been. It asks "
                    "for more answers only where the label is doubtful."
                ),
                (("posterior", mark("Probability")), ("majority", mark("A fixed number of votes"))),
            ),
            RuleField(
                "required_votes",
                "whole",
                mark("Votes needed"),
                mark(
                    "With a fixed number: the number of votes per image. With probability: the "
                    "smallest number of votes for a label."
                ),
            ),
            RuleField(
                "threshold",
                "percent",
                mark("Certain enough at (%%)"),
                mark("An image is finished when one label is at least this probable."),
            ),
            RuleField(
                "vote_cap",
                "whole",
                mark("Largest number of votes"),
                mark(
                    "An image that has this many votes and no label is contested. A supervisor "
                    "decides."
                ),
            ),
            RuleField(
                "use_model",
                "yes",
                mark("Count the model's proposal as a first opinion"),
                mark("Saves votes if the model's probabilities are right."),
            ),
            RuleField(
                "named",
                "yes",
                mark("A person must have named the label"),
                mark(
                    "If not ticked, a confident proposal can outweigh a person. This needs the "
                    "fewest votes and trusts the model most."
                ),
            ),
            RuleField(
                "audit_share",
                "percent",
                mark("Audit share (%%)"),
                mark(
                    "Share of the images, drawn at random, that get the largest number of "
                    "votes anyway. They show how good early labels are."
                ),
            ),
        ),
    ),
    RuleGroup(
        mark("Gold questions and qualification"),
        (
            RuleField(
                "gold_first",
                "whole",
                mark("Gold questions among the first 20"),
                mark(
                    "Images with a known answer. They look like all others and show how well a "
                    "person judges."
                ),
            ),
            RuleField(
                "gold_rate",
                "percent",
                mark("Gold questions later (%%)"),
                mark("Share of all images after the first 20."),
            ),
            RuleField(
                "planted_share",
                "percent",
                mark("Gold questions with a wrong suggestion (%%)"),
                mark("Shows who copies suggestions. Not used if suggestions are always hidden."),
            ),
            RuleField(
                "min_gold",
                "percent",
                mark("Pause below (%%)"),
                mark("People who are clearly right on fewer gold questions than this are paused."),
            ),
            RuleField(
                "training",
                "whole",
                mark("Qualification images"),
                mark(
                    "Gold questions that people answer, with feedback, before they start. 0: "
                    "no qualification."
                ),
            ),
            RuleField(
                "tries",
                "whole",
                mark("Tries per qualification image"),
                mark(
                    "1 or 2. With 2, people read the note of the gold question after a wrong "
                    "answer or “Unsure”, and try once more before they see the label."
                ),
            ),
            RuleField(
                "pass_share",
                "percent",
                mark("Qualification passed at (%%)"),
                mark("Share of right answers in a round. Below it, another round follows."),
            ),
        ),
    ),
    RuleGroup(
        mark("Model"),
        (
            RuleField(
                "retrain_votes",
                "whole",
                mark("Train again after (votes)"),
                mark(
                    "Smallest number of new votes. The first model needs 15 votes. 0: train "
                    "only on request."
                ),
            ),
            RuleField(
                "retrain_share",
                "percent",
                mark("And after this growth (%%)"),
                mark(
                    "New votes as a share of the votes so far. It keeps large campaigns from "
                    "training all the time."
                ),
            ),
        ),
    ),
    RuleGroup(
        mark("Order"),
        (
            RuleField(
                "order",
                "word",
                mark("Which images come first"),
                mark("Images of equal priority come in random order."),
                (
                    ("breadth", mark("Images with the fewest votes")),
                    ("random", mark("Random order")),
                    ("uncertain", mark("Images that help the model most, then the least certain")),
                    ("contested", mark("Images on which people disagree")),
                    ("mixed", mark("Random mix of fewest votes, least certain and disagreement")),
                ),
            ),
        ),
    ),
)


FIELDS = {field.name: field for group in GROUPS for field in group.fields}


def rule_texts(rules: Rules) -> dict[str, str]:
    """Return the texts of the fields for these rules."""
    values = rules.as_dict()
    return {
        name: write_rule(round(100 * values[name], 8) if field.kind == "percent" else values[name])
        for name, field in FIELDS.items()
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


def tell_rule(name: str, value: Any) -> tuple[str, str]:
    """Return the label of a rule and its value in words. Rules of older versions stay as they are.

    Parameters:
        value: as `Rules.as_dict` has it.
    """
    field = FIELDS.get(name)
    if field is None:
        return name.replace("_", " "), str(value)
    if field.kind == "word":
        told = translate(dict(field.choices).get(value, str(value)))
    elif field.kind == "yes":
        told = _("yes") if value else _("no")
    else:
        text = write_rule(round(_scale(name) * value, 8))
        told = write_number(float(text), len(text.partition(".")[2]))
    return _(field.label), told


def _unit(name: str) -> str:
    return " %" if FIELDS[name].kind == "percent" else ""


def _scale(name: str) -> float:
    return 100 if FIELDS[name].kind == "percent" else 1
