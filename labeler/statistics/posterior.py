"""What the votes on one image say about its label, given how each person answers.

A *confusion* is P(answer | true label): rows left, center, right; columns left, center, right,
unsure; each row sums to 1. With the prior pi (a model's calibrated probabilities, or the shares
of the labels) and votes v that are independent given the label t,

    P(t | votes) is proportional to pi(t) * product over v of L_v(t),
    L_v(t) = f_v [answer = shown] + (1 - f_v) confusion_v(t, answer).

f_v is how probably the person repeats a proposal that is shown, 0 for a blind vote. An answer
that only repeats the proposal weighs all labels alike, so a model that is the prior already is
not counted a second time through the people who follow it.

Source: A. P. Dawid, A. M. Skene, *Maximum likelihood estimation of observer error-rates using the
EM algorithm*, Applied Statistics 28(1), 1979, https://doi.org/10.2307/2346806, formula 2.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labeler.labels import ANSWERS
from rotation.data.labels import LABELS

Confusion = tuple[tuple[float, ...], ...]

# A person of whom nothing is known yet. The neighbours left and center are confused more often
# than the opposites; the mirror image of a row is the row of the mirrored label.
DEFAULT_CONFUSION: Confusion = (
    (0.800, 0.110, 0.040, 0.050),
    (0.075, 0.800, 0.075, 0.050),
    (0.040, 0.110, 0.800, 0.050),
)

SMALLEST = 1e-9  # no vote is proof: no probability leaves [SMALLEST, 1 - SMALLEST]
_COLUMN = {answer: column for column, answer in enumerate(ANSWERS)}
_MIRRORED_COLUMNS = (2, 1, 0, 3)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One vote as evidence.

    Parameters:
        answer: one of `ANSWERS`.
        confusion: how this person answers, 3 x 4.
        shown_label: the label of the proposal that was shown; None for a blind vote.
        following: how probably the person just repeats a proposal that is shown, 0 to 1.

    Raises:
        ValueError: a word or number outside of these.
    """

    answer: str
    confusion: Confusion
    shown_label: str | None = None
    following: float = 0.0

    def __post_init__(self) -> None:
        if self.answer not in _COLUMN:
            allowed = ", ".join(ANSWERS)
            raise ValueError(f"{self.answer!r} is not an answer; allowed are {allowed}")
        if self.shown_label is not None and self.shown_label not in LABELS:
            raise ValueError(f"{self.shown_label!r} is not a label that can be shown")
        if not 0 <= self.following <= 1:
            raise ValueError(f"following is {self.following}; it is a probability")
        check_confusion(self.confusion)

    def log_likelihoods(self) -> list[float]:
        """log P(answer | label) for left, center, right."""
        column = _COLUMN[self.answer]
        following = 0.0 if self.shown_label is None else self.following
        repeated = following if self.answer == self.shown_label else 0.0
        return [
            math.log(max(repeated + (1 - following) * row[column], SMALLEST))
            for row in self.confusion
        ]

    def mirrored(self) -> Evidence:
        """The same vote on the mirrored picture by a person with mirrored habits."""
        swapped = dict(zip(LABELS, reversed(LABELS), strict=True))
        return Evidence(
            swapped.get(self.answer, self.answer),
            mirrored_confusion(self.confusion),
            None if self.shown_label is None else swapped[self.shown_label],
            self.following,
        )


def check_confusion(confusion: Confusion) -> None:
    """Accept 3 rows of 4 probabilities.

    Raises:
        ValueError: another shape, a negative number, or a row that does not sum to 1.
    """
    if len(confusion) != len(LABELS) or any(len(row) != len(ANSWERS) for row in confusion):
        raise ValueError("a confusion has 3 rows (labels) of 4 numbers (answers)")
    for label, row in zip(LABELS, confusion, strict=True):
        if not abs(sum(row) - 1) < 1e-6 or min(row) < 0:
            raise ValueError(f"row {label} of the confusion is {row}, not probabilities")


def mirrored_confusion(confusion: Confusion) -> Confusion:
    """How the person would answer if left and right were exchanged."""
    return tuple(tuple(row[column] for column in _MIRRORED_COLUMNS) for row in reversed(confusion))


def label_posterior(
    prior: Sequence[float], evidence: Iterable[Evidence]
) -> tuple[float, float, float]:
    """P(left), P(center), P(right) given the prior and the votes.

    The sum of logarithms is exactly rounded (`math.fsum`): neither the order of the votes nor
    a mirror changes a digit.

    Parameters:
        prior: three numbers >= 0 that sum to 1.

    Returns:
        Three numbers in [1e-9, 1) that sum to 1.

    Raises:
        ValueError: the prior is not three probabilities.
    """
    if len(prior) != len(LABELS) or not abs(sum(prior) - 1) < 1e-6 or min(prior) < 0:
        raise ValueError(f"the prior {tuple(prior)} is not three probabilities")
    votes = [vote.log_likelihoods() for vote in evidence]
    logs = [
        math.fsum([math.log(max(share, SMALLEST)), *(vote[label] for vote in votes)])
        for label, share in enumerate(prior)
    ]
    highest = max(logs)
    weights = [math.exp(log - highest) for log in logs]
    total = math.fsum(weights)
    floored = [max(weight / total, SMALLEST) for weight in weights]
    total = math.fsum(floored)
    return floored[0] / total, floored[1] / total, floored[2] / total


def entropy(probabilities: Sequence[float]) -> float:
    """-sum of p log p, in nats: 0 where sure, log 3 = 1.0986 where nothing is known."""
    return -math.fsum(p * math.log(p) for p in probabilities if p > 0) + 0.0
