"""When enough people have looked at an image.

An image is **agreed** as soon as one label is probable enough and enough people have named just
that label. It is **contested** when the vote cap is reached without that, and **open** until then.
An *unsure* vote counts towards the cap, since it cost a look, and never towards `min_votes`.

Stopping at a posterior instead of a number of votes is Wald's sequential test with the
observers' error rates known: easy images take one or two votes, doubtful ones the cap.
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
class RetirementRule:
    """When an image is done.

    Parameters:
        threshold: the posterior from which a label is agreed, above 0.5 and below 1.
        min_votes: how many people must have named the label, >= 1: what no person
            said is a proposal, not a consensus.
        named: False lets votes for any label count towards `min_votes`. Then a confident
            model overrules a person known to err, which saves a sixth of the votes.
        vote_cap: the number of votes after which an image without agreement is contested.

    Raises:
        ValueError: a number outside of its range.
    """

    threshold: float = 0.9
    min_votes: int = 1
    vote_cap: int = 7
    named: bool = True

    def __post_init__(self) -> None:
        if not 0.5 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; allowed is between 0.5 and 1")
        if self.min_votes < 1:
            raise ValueError(f"min_votes is {self.min_votes}; at least one vote is needed")
        if self.vote_cap < self.min_votes:
            raise ValueError(f"vote_cap is {self.vote_cap}, below min_votes {self.min_votes}")


def retire(
    posterior: Sequence[float], counts: VoteCounts, rule: RetirementRule, audited: bool = False
) -> Outcome:
    """Whether the image is done, and with what label.

    Parameters:
        posterior: P(left), P(center), P(right) given the current votes.
        counts: the current votes.
        audited: the image is asked up to the cap whatever the first votes say, so that the
            early decisions on the others can be checked.

    Returns:
        agreed with the label and its posterior, contested, or open. A tie is never a label.
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
    """Whether the campaign asks this image up to the cap: always the same answer.

    The audit sample does not depend on the votes.

    Parameters:
        share: the share of the images that is audited, 0 to 1.
    """
    return draw("audit", campaign_id, image_id) < share
