"""Presets: the rules that decide about cost and trust, set together, and what they cost.

Votes per image are those of simulated classes (docs/results.md#simulated-class-on-labels). The
lower number is with a model that is right on 97 % of the images, the higher one without a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labeler.rules.campaign_rules import Rules

SECONDS_PER_VOTE = 3.0  # of a person at work, with the pauses between images


@dataclass(frozen=True, slots=True)
class Preset:
    """Rules that are set together. `votes_per_image`: the fewest and the most on average."""

    name: str
    title: str
    sentence: str
    changes: Mapping[str, Any]
    votes_per_image: tuple[float, float]

    def applied(self, rules: Rules) -> Rules:
        """Return rules with those of the preset."""
        return replace(rules, **self.changes)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a campaign is expected to take: votes, and hours of work of all people together."""

    votes: tuple[int, int]
    hours: tuple[float, float]


_BY_PROBABILITY = {
    "method": "posterior",
    "required_votes": 1,
    "threshold": 0.9,
    "vote_cap": 7,
    "use_model": True,
    "proposals": "mixed",
}
PRESETS = (
    Preset(
        "quick",
        "Quick",
        "Trusts the model most: a confident proposal can outweigh a person. For large sets.",
        {**_BY_PROBABILITY, "named": False},
        (1.09, 2.30),
    ),
    Preset(
        "careful",
        "Careful",
        "Asks again where a label is doubtful. A person has named every label. For most classes.",
        {**_BY_PROBABILITY, "named": True},
        (1.31, 2.30),
    ),
    Preset(
        "research",
        "Research",
        "Five people judge every image and see no suggestion. For agreement that you publish.",
        {
            "method": "majority",
            "required_votes": 5,
            "vote_cap": 7,  # not used, but it may not be below the votes that are required
            "use_model": False,
            "proposals": "hidden",
        },
        (5.0, 5.0),
    ),
)


def find_preset(rules: Rules) -> Preset | None:
    """Return the preset that these rules follow; None if they follow none."""
    return next((one for one in PRESETS if one.applied(rules) == rules), None)


def expected_cost(rules: Rules, images: int) -> Cost:
    """Return what rules cost for so many images. Rules of no preset have wide limits.

    Answers to gold questions are not included.
    """
    preset = find_preset(rules)
    each = preset.votes_per_image if preset else (rules.required_votes, rules.votes_needed)
    fewest, most = (round(images * one) for one in each)
    hours = fewest * SECONDS_PER_VOTE / 3600, most * SECONDS_PER_VOTE / 3600
    return Cost((fewest, most), hours)
