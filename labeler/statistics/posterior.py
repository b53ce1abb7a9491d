"""**The label probabilities of one image**, given its votes and how each person answers.

A *confusion* is P(answer | true label). Its rows are the labels left, center, right. Its columns
are the answers left, center, right, unsure. Each row sums to 1.

Votes are independent given the label t. With the prior pi(t), which is a model's calibrated
probability or the share of the label among all images,

    P(t | votes) = pi(t) * prod_v L_v(t) / sum over t,
    L_v(t)       = f_v [answer = shown] + (1 - f_v) confusion_v(t, answer).

f_v is the copy rate: the probability that the person repeats a suggestion without looking. It is
0 for a vote without a suggestion. A copied answer is equally likely for all labels. So a model
that is already the prior is not counted again through people who copy it.

Reference:
    A. P. Dawid, A. M. Skene, *Maximum likelihood estimation of observer error-rates using the EM
    algorithm*, Applied Statistics 28(1), 1979, https://doi.org/10.2307/2346806, formula 2.5. The
    copy rate is this project's own addition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labeler.labels import ANSWERS
from rotation.data.labels import LABELS

Confusion = tuple[tuple[float, ...], ...]

# A person about whom nothing is known yet. Neighbours such as left and center are confused more
# often than left and right. The mirror image of a row is the row of the mirrored label.
DEFAULT_CONFUSION: Confusion = (
    (0.800, 0.110, 0.040, 0.050),
    (0.075, 0.800, 0.075, 0.050),
    (0.040, 0.110, 0.800, 0.050),
)

SMALLEST = 1e-9  # no vote is proof: all probabilities stay in [SMALLEST, 1 - SMALLEST]
_COLUMN = {answer: column for column, answer in enumerate(ANSWERS)}
_MIRRORED_COLUMNS = (2, 1, 0, 3)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One vote, with what is known about the person.

    Parameters:
        answer: one of `ANSWERS`.
        confusion: (3, 4) P(answer | label) of the person.
        shown_label: the label that was suggested; None for a blind vote.
        copy_rate: probability that the person repeats a suggestion without looking, 0 to 1.

    Raises:
        ValueError: a value is outside of its range.
    """

    answer: str
    confusion: Confusion
    shown_label: str | None = None
    copy_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.answer not in _COLUMN:
            allowed = ", ".join(ANSWERS)
            raise ValueError(f"{self.answer!r} is not an answer; allowed are {allowed}")
        if self.shown_label is not None and self.shown_label not in LABELS:
            raise ValueError(f"{self.shown_label!r} is not a label that can be shown")
        if not 0 <= self.copy_rate <= 1:
            raise ValueError(f"copy_rate is {self.copy_rate}; it is a probability")
        check_confusion(self.confusion)

    def log_likelihoods(self) -> list[float]:
        """Return log P(answer | label) for left, center, right."""
        column = _COLUMN[self.answer]
        copy_rate = 0.0 if self.shown_label is None else self.copy_rate
        repeated = copy_rate if self.answer == self.shown_label else 0.0
        return [
            math.log(max(repeated + (1 - copy_rate) * row[column], SMALLEST))
            for row in self.confusion
        ]

    def mirrored(self) -> Evidence:
        """Return the vote that a person with the mirrored confusion gives to the mirrored image."""
        swapped = dict(zip(LABELS, reversed(LABELS), strict=True))
        return Evidence(
            swapped.get(self.answer, self.answer),
            mirrored_confusion(self.confusion),
            None if self.shown_label is None else swapped[self.shown_label],
            self.copy_rate,
        )


def check_confusion(confusion: Confusion) -> None:
    """Check that a confusion has 3 rows of 4 probabilities.

    Raises:
        ValueError: it has another shape, a negative number, or a row that does not sum to 1.
    """
    if len(confusion) != len(LABELS) or any(len(row) != len(ANSWERS) for row in confusion):
        raise ValueError("a confusion has 3 rows (labels) of 4 numbers (answers)")
    for label, row in zip(LABELS, confusion, strict=True):
        if not abs(sum(row) - 1) < 1e-6 or min(row) < 0:
            raise ValueError(f"row {label} of the confusion is {row}, not probabilities")


def mirrored_confusion(confusion: Confusion) -> Confusion:
    """Return the confusion with left and right exchanged, in labels and in answers."""
    return tuple(tuple(row[column] for column in _MIRRORED_COLUMNS) for row in reversed(confusion))


def label_posterior(
    prior: Sequence[float], evidence: Iterable[Evidence]
) -> tuple[float, float, float]:
    """Return P(left), P(center), P(right) given the prior and the votes.

    `math.fsum` rounds the sum of logarithms exactly. So the result does not depend on the order
    of the votes, and mirrored votes give exactly the mirrored result.

    Parameters:
        prior: three probabilities that sum to 1.
        evidence: the votes.

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
    """Return -sum p log p in nats: 0 if one label is certain, log 3 = 1.0986 if all are equal."""
    return -math.fsum(p * math.log(p) for p in probabilities if p > 0) + 0.0
