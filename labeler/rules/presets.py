"""Presets: the rules that decide about cost and trust, set together.

`labeler.consensus.cost` forecasts what rules cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labeler.languages.texts import mark
from labeler.rules.campaign_rules import Rules


@dataclass(frozen=True, slots=True)
class Preset:
    """Rules that are set together. `title` and `sentence` are texts of the catalogues."""

    name: str
    title: str
    sentence: str
    changes: Mapping[str, Any]

    def applied(self, rules: Rules) -> Rules:
        """Return rules with those of the preset."""
        return replace(rules, **self.changes)


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
        mark("Quick majority"),
        mark(
            "People and model decide together, and the surer ones count more. A confident "
            "proposal can outweigh a person. For large sets."
        ),
        {**_BY_PROBABILITY, "named": False},
    ),
    Preset(
        "careful",
        mark("Careful class"),
        mark(
            "Asks again where a label is doubtful. A person has named every label. For most "
            "classes."
        ),
        {**_BY_PROBABILITY, "named": True},
    ),
    Preset(
        "research",
        mark("Experiment with hidden suggestions"),
        mark(
            "Five people judge every image and see no suggestion. For agreement that you publish."
        ),
        {
            "method": "majority",
            "required_votes": 5,
            "vote_cap": 7,  # not used, but it may not be below the votes that are required
            "use_model": False,
            "proposals": "hidden",
        },
    ),
)


def find_preset(rules: Rules) -> Preset | None:
    """Return the preset that these rules follow; None if they follow none."""
    return next((one for one in PRESETS if one.applied(rules) == rules), None)
