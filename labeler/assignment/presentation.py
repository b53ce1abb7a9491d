"""How a person sees an image: with or without the proposal, with a planted one, mirrored.

Drawn once, at the hand-out, and kept in the lease and then in the vote.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from labeler.labels import likeliest_label, mirror_label
from labeler.rules.campaign_rules import Rules
from labeler.rules.random_draws import inserted_label, is_blind, is_mirrored

VIEW_COLUMNS = (
    "mode", "blind", "shown_run_id", "shown_label", "withheld_label", "planted", "mirrored"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelView:
    """What the current run says of an image: its likeliest label, if there is one."""

    run_id: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Presentation:
    """The columns of `Lease` that say how the image is seen; labels are of the unmirrored one."""

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
    """An image in a person's hands until `expires_at`, and how they see it."""

    image_id: int
    width: int
    height: int
    sha256: str
    filename: str
    view: Presentation
    expires_at: datetime

    @property
    def shown_as_seen(self) -> str | None:
        """The label beside the picture, in the person's view."""
        return as_seen(self.view.shown_label, self.view.mirrored)


def as_seen(answer: str | None, mirrored: bool) -> str | None:
    """An answer about the picture as it is, in the view of who sees it mirrored, or back."""
    return mirror_label(answer) if answer is not None and mirrored else answer


def model_view(run_id: int | None, chances: tuple[float | None, ...]) -> ModelView | None:
    """From a run and its (p_left, p_center, p_right), None where it has not seen the image."""
    if run_id is None or chances[0] is None:
        return None
    known = tuple(p for p in chances if p is not None)
    label = likeliest_label(known)
    return ModelView(run_id, label, max(known)) if label else None


def draw_presentation(
    rules: Rules,
    campaign_id: int,
    annotator_id: int,
    image_id: int,
    model: ModelView | None,
    gold: str | None,
) -> Presentation:
    """How this person sees this image when it is handed out alone.

    Parameters:
        gold: the known answer, if it is a gold image; a share of them is shown with a wrong one.
    """
    who = campaign_id, annotator_id, image_id
    mirrored = rules.mirror_views and is_mirrored(*who)
    blind = is_blind(*who, rules.blind_to_proposals())
    if model is None:
        return Presentation(blind=blind, mirrored=mirrored)
    if blind:
        return Presentation(blind=True, withheld_label=model.label, mirrored=mirrored)
    wrong = inserted_label(*who, gold, rules.planted_share) if gold else None
    if wrong is not None:
        return Presentation(
            shown_label=wrong, shown_probability=model.probability, planted=True, mirrored=mirrored
        )
    return Presentation(
        shown_run_id=model.run_id,
        shown_label=model.label,
        shown_probability=model.probability,
        mirrored=mirrored,
    )


def presentation_values(seen: Any) -> dict[str, Any]:
    """The columns that a vote takes over from a lease, or from the vote that it supersedes."""
    return {name: getattr(seen, name) for name in VIEW_COLUMNS}
