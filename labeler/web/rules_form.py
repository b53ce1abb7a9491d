"""The rules of a campaign as a form: what is asked in which words, and what was sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import request

from labeler.domain.rule_text import read_rules, write_rule
from labeler.domain.rules import RuleError, Rules
from labeler.web import forms

Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RuleField:
    """One rule: its name, what it is called, what it does.

    `kind`: `word` (one of `choices`), `whole`, `percent` or `yes`.
    """

    name: str
    kind: str
    label: str
    sentence: str
    choices: Choices = ()


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that belong together."""

    title: str
    fields: tuple[RuleField, ...]


GROUPS = (
    RuleGroup(
        "Who sees what",
        (
            RuleField(
                "proposals", "word", "Suggestions of the model",
                "Mixed measures how much the suggestions sway people.",
                (
                    ("mixed", "Mixed: hidden for a share"),
                    ("shown", "Shown to everybody"),
                    ("hidden", "Hidden from everybody"),
                ),
            ),
            RuleField(
                "blind_share", "percent", "Hidden for (%)",
                "Of the pictures, drawn for each person, when suggestions are mixed.",
            ),
            RuleField(
                "mirror_views", "yes", "Show half of the pictures mirrored",
                "Cancels a habit of one hand or one side. Answers are stored as the picture is.",
            ),
        ),
    ),
    RuleGroup(
        "When is an image done",
        (
            RuleField(
                "method", "word", "What decides",
                "Probability weighs each answer by how reliable the person has been, and asks "
                "for more only where there is doubt.",
                (("posterior", "Probability"), ("majority", "A fixed number of votes")),
            ),
            RuleField(
                "required_votes", "whole", "Votes needed",
                "For a fixed number: so many. For probability: no label rests on fewer.",
            ),
            RuleField(
                "threshold", "percent", "Certain enough at (%)",
                "Probability of a label at which an image is done.",
            ),
            RuleField(
                "vote_cap", "whole", "At most so many votes",
                "An image without a label by then is contested: a supervisor decides.",
            ),
            RuleField(
                "use_model", "yes", "Count the model's proposal as a first opinion",
                "Saves votes where the model is well calibrated.",
            ),
            RuleField(
                "named", "yes", "A person must have named the label",
                "Without, a sure proposal can outweigh a person: fewest votes, most trust in it.",
            ),
            RuleField(
                "audit_share", "percent", "Ask to the end anyway (%)",
                "Of the images, by lot: they tell how good the early decisions are.",
            ),
        ),
    ),
    RuleGroup(
        "Gold and training",
        (
            RuleField(
                "gold_first", "whole", "Gold among the first 20",
                "Images with a known answer, mixed in unseen, that tell how well a person judges.",
            ),
            RuleField("gold_rate", "percent", "Gold later (%)", "Of all pictures after these."),
            RuleField(
                "planted_share", "percent", "Gold with a wrong suggestion (%)",
                "Measures who repeats what is suggested. None where suggestions are hidden.",
            ),
            RuleField(
                "min_gold", "percent", "Pause below (%)",
                "Who is surely right on fewer gold images than this gets no more pictures.",
            ),
            RuleField(
                "training", "whole", "Training pictures",
                "Gold images with the right answer told, before the work begins. 0: no training.",
            ),
            RuleField(
                "pass_share", "percent", "Training is passed at (%)",
                "Right answers of a round; below, another round follows.",
            ),
        ),
    ),
    RuleGroup(
        "Model",
        (
            RuleField(
                "retrain_votes", "whole", "Train anew after",
                "New votes, at least; the first time after 15. 0: only when somebody asks.",
            ),
            RuleField(
                "retrain_share", "percent", "And when so many are new (%)",
                "Of the votes there were, so that a large campaign is not always training.",
            ),
        ),
    ),
    RuleGroup(
        "Order",
        (
            RuleField(
                "order", "word", "Which images come first",
                "Within the same rank the order is random.",
                (
                    ("breadth", "Those with the fewest votes"),
                    ("random", "Any, at random"),
                    ("uncertain", "Those that teach the model most, then the least certain"),
                    ("contested", "Those on which people differ"),
                    ("mixed", "By lot: fewest votes, least certain, or dissent"),
                ),
            ),
        ),
    ),
)  # fmt: skip
FIELDS = {field.name: field for group in GROUPS for field in group.fields}


def texts_of(rules: Rules) -> dict[str, str]:
    """What the form shows for these rules."""
    values = rules.as_dict()
    return {
        name: write_rule(round(100 * values[name], 8) if field.kind == "percent" else values[name])
        for name, field in FIELDS.items()
    }


def sent_texts() -> dict[str, str]:
    """What was sent; a box that is not ticked is not sent at all."""
    return {
        name: ("yes" if name in request.form else "no") if field.kind == "yes" else forms.text(name)
        for name, field in FIELDS.items()
    }


def parse(texts: Mapping[str, str]) -> Rules:
    """The rules of the form.

    Raises:
        RuleError: with all fields that are wrong; `sentences_of` words it.
    """
    return read_rules({name: text + _unit(name) for name, text in texts.items()})


def sentences_of(error: RuleError) -> dict[str, str]:
    """A sentence for each field that is wrong, in percent where the form is."""
    return {one.field: one.sentence(_scale(one.field)) for one in error.problems}


def _unit(name: str) -> str:
    return " %" if FIELDS[name].kind == "percent" else ""


def _scale(name: str) -> float:
    return 100 if FIELDS[name].kind == "percent" else 1
