"""The stopping rule: when enough people have looked at an image.

An image is **agreed** as soon as one label is probable enough and enough people have named that
label. It is **contested** if it reaches the vote cap without agreement, and **open** until then.
An *unsure* vote counts towards the cap, since it cost a look, but never towards `min_votes`.

Stopping at a posterior instead of at a number of votes is Wald's sequential test with known error
rates of the observers. Easy images take one or two votes, doubtful images take the cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labeler.consensus.majority import Outcome, VoteCounts
from labeler.labels import likeliest_label
from labeler.rules.random_draws import draw
from rotation.data.labels import LABELS

METHOD = "posterior-1"  # stamped on each result; raise the number when the rule changes


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When an image needs no more votes.

    Parameters:
        threshold: the posterior from which a label is agreed, above 0.5 and below 1.
        min_votes: how many people must have named the label, >= 1. A label that no person
            named is a proposal, not a consensus.
        vote_cap: the number of votes after which an image without agreement is contested.
        named: False lets votes for any label count towards `min_votes`. Then a confident
            model overrules a person who often errs. This saves a sixth of the votes.

    Raises:
        ValueError: a number is outside of its range.
    """

    threshold: float
    min_votes: int
    vote_cap: int
    named: bool = True

    def __post_init__(self) -> None:
        if not 0.5 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; allowed is between 0.5 and 1")
        if self.min_votes < 1:
            raise ValueError(f"min_votes is {self.min_votes}; at least one vote is needed")
        if self.vote_cap < self.min_votes:
            raise ValueError(f"vote_cap is {self.vote_cap}, below min_votes {self.min_votes}")


def apply_stopping_rule(
    posterior: Sequence[float], counts: VoteCounts, rule: StoppingRule, audited: bool = False
) -> Outcome:
    """What the stopping rule says about an image.

    Parameters:
        posterior: P(left), P(center), P(right) given the current votes.
        counts: the votes that count.
        audited: the image gets votes up to the cap, whatever the first votes say. The audited
            images check the early decisions on the others.

    Returns:
        Agreed with the label and its posterior, contested, or open. A tie is never a label.
    """
    capped = counts.total >= rule.vote_cap
    if audited and not capped:
        return Outcome("open")
    label = likeliest_label(posterior)
    if label is not None:
        probability = posterior[LABELS.index(label)]
        backing = counts.of(label) if rule.named else counts.labelled
        if probability >= rule.threshold and backing >= rule.min_votes:
            return Outcome("agreed", label, probability)
    return Outcome("contested" if capped else "open")


def is_audited(campaign_id: int, image_id: int, share: float) -> bool:
    """Whether this image is in the campaign's audit sample.

    A random draw decides. It gives the same result each time and does not depend on the votes.

    Parameters:
        share: the share of the images that is audited, 0 to 1.
    """
    return draw("audit", campaign_id, image_id) < share
