"""How an image is presented to a person: with or without a proposal, mirrored or not.

A presentation is drawn once, when the image is assigned. The lease stores it, and then the vote.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from labeler.labels import likeliest_label, mirror_label
from labeler.rules.campaign_rules import Rules
from labeler.rules.random_draws import inserted_label, is_blind, is_mirrored

PRESENTATION_COLUMNS = (
    "mode",
    "blind",
    "shown_run_id",
    "shown_label",
    "withheld_label",
    "planted",
    "mirrored",
)


@dataclass(frozen=True, slots=True)
class ModelProposal:
    """The likeliest label of an image according to a model run, and its probability."""

    run_id: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Presentation:
    """The columns of `Lease` that say how the image is presented.

    Every label is about the unmirrored image. `planted`: the shown label was inserted and is
    wrong on purpose, which happens on gold questions only.
    """

    mode: str = "single"
    blind: bool = False
    shown_run_id: int | None = None
    shown_label: str | None = None
    shown_probability: float | None = None
    withheld_label: str | None = None
    planted: bool = False
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class LeasedImage:
    """An image that a person holds until `expires_at`, and how it is presented to them.

    `campaign_id`: the campaign under which it was assigned. The answer belongs to that campaign,
    also if another one is active by then.
    """

    campaign_id: int
    image_id: int
    width: int
    height: int
    sha256: str
    filename: str
    presentation: Presentation
    expires_at: datetime

    @property
    def shown_as_seen(self) -> str | None:
        """The label beside the image, as the person sees it: left and right change if mirrored."""
        return as_seen(self.presentation.shown_label, self.presentation.mirrored)


def as_seen(answer: str | None, mirrored: bool) -> str | None:
    """Turn an answer about the unmirrored image into one about the image as seen, or back."""
    return mirror_label(answer) if answer is not None and mirrored else answer


def likeliest_proposal(
    run_id: int | None, chances: tuple[float | None, ...]
) -> ModelProposal | None:
    """The likeliest label of a run.

    Parameters:
        run_id: the run, None if there is none.
        chances: (p_left, p_center, p_right), each None if the run has no proposal for the image.

    Returns:
        None without a run, without a proposal, or if two labels are equally likely.
    """
    if run_id is None or chances[0] is None:
        return None
    probabilities = tuple(p for p in chances if p is not None)
    label = likeliest_label(probabilities)
    return ModelProposal(run_id, label, max(probabilities)) if label else None


def draw_presentation(
    rules: Rules,
    campaign_id: int,
    annotator_id: int,
    image_id: int,
    proposal: ModelProposal | None,
    gold: str | None,
) -> Presentation:
    """How an image that is assigned alone is presented to this person.

    Random draws decide, with the same result each time.

    Parameters:
        proposal: what the current run proposes, None if it proposes nothing.
        gold: the known label of a gold question. A share of these (`Rules.planted_share`) is
            shown with a wrong label.
    """
    who = campaign_id, annotator_id, image_id
    mirrored = rules.mirror_views and is_mirrored(*who)
    blind = is_blind(*who, rules.blind_to_proposals())
    if proposal is None:
        return Presentation(blind=blind, mirrored=mirrored)
    if blind:
        return Presentation(blind=True, withheld_label=proposal.label, mirrored=mirrored)
    wrong = inserted_label(*who, gold, rules.planted_share) if gold else None
    if wrong is not None:
        return Presentation(
            shown_label=wrong,
            shown_probability=proposal.probability,
            planted=True,
            mirrored=mirrored,
        )
    return Presentation(
        shown_run_id=proposal.run_id,
        shown_label=proposal.label,
        shown_probability=proposal.probability,
        mirrored=mirrored,
    )


def presentation_values(seen: Any) -> dict[str, Any]:
    """The presentation columns of a lease or vote, which a new vote or lease takes over."""
    return {name: getattr(seen, name) for name in PRESENTATION_COLUMNS}
