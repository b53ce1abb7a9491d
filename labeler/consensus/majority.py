"""Consensus by plurality with a quorum: when the votes are enough, and what they say.

**A tie is never a label.** An image stays open until it has `required` votes of any kind. Then a
label is agreed if it has strictly more votes than each other answer, *unsure* included. If no
label has, the image is contested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labeler.labels import ANSWERS
from rotation.data.labels import LABELS

METHOD = "majority-1"  # stamped on each result; raise the number when the rule changes


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """How many votes each answer has."""

    left: int = 0
    center: int = 0
    right: int = 0
    unsure: int = 0

    @property
    def total(self) -> int:
        """The number of all votes."""
        return self.left + self.center + self.right + self.unsure

    @property
    def labelled(self) -> int:
        """The number of votes that name a label."""
        return self.left + self.center + self.right

    def of(self, answer: str) -> int:
        """The number of votes for one answer."""
        counts: int = getattr(self, answer)
        return counts

    def mirrored(self) -> VoteCounts:
        """The counts of the same votes on the mirrored image: left and right change places."""
        return VoteCounts(self.right, self.center, self.left, self.unsure)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the votes on an image say.

    `status`: `open`, `agreed` or `contested`. `label`, `probability`: set only if agreed.
    """

    status: str
    label: str | None = None
    probability: float | None = None


def count_votes(answers: Iterable[str]) -> VoteCounts:
    """Count the votes by answer. Their order does not matter.

    Raises:
        ValueError: an answer that is not one of `ANSWERS`.
    """
    counts = dict.fromkeys(ANSWERS, 0)
    for answer in answers:
        if answer not in counts:
            raise ValueError(f"{answer!r} is not an answer; allowed are {', '.join(ANSWERS)}")
        counts[answer] += 1
    return VoteCounts(**counts)


def majority_outcome(counts: VoteCounts, required: int) -> Outcome:
    """The outcome of the votes on one image. `probability` is a share of the labelled votes.

    Parameters:
        counts: the votes that count.
        required: the number of votes that closes an image, >= 1.

    Raises:
        ValueError: `required` is below 1.
    """
    if required < 1:
        raise ValueError(f"required is {required}; at least one vote is needed")
    if counts.total < required:
        return Outcome("open")
    ranked = sorted(ANSWERS, key=counts.of, reverse=True)
    best, second = ranked[0], ranked[1]
    if best not in LABELS or counts.of(best) == counts.of(second):
        return Outcome("contested")
    return Outcome("agreed", best, counts.of(best) / counts.labelled)
