"""What can be said of one person's votes, and when to warn or to pause.

Every flag is a test at a small level, so that chance does not accuse a good person, and compares
the answers with what the *images* warrant: who says `center` forty times in a row on forty central
images is right. `q_i(t)` below is the posterior of image i **without the person's own vote**
(`without_own`); the votes of nobody can prove themselves.

- `random`: the answers fit a person who does not look (own shares of answers, whatever the image)
  better by `odds` than a competent one (DEFAULT_CONFUSION):
  sum_i log sum_t q_i(t) D(t, a_i) - sum_i log m(a_i) < -log odds, and less than `plausible` of
  the answers are what the others say, mean of q_i(a_i). It catches who presses keys at random as
  well as who always presses the same; the second condition spares who only ever met one label.
- `swapped`: the mirrored answers of a competent person fit best: left and right misunderstood.
- `one_sided`: one answer k comes where another is due, more often than the `tolerated` rate r:
  S = sum_i w_i ([a_i = k] - p_i), w_i = 1 - q_i(k), p_i = q_i(k) + r w_i, and
  S / sqrt(sum_i w_i^2 p_i (1 - p_i)) above the normal quantile.
- `monotone`: a run of the same answer whose probability, product of its p_i, times the number of
  votes is below the level.
- `too_fast`: more than `fast_share` of the answers in less than `fast_ms`, by Wilson's limit.
- `low_gold`: the upper Wilson limit of the accuracy on gold is below `gold_limit`.

`information` is the spammer score of V. C. Raykar, S. Yu, *Eliminating spammers and ranking
annotators for crowdsourced labeling tasks*, JMLR 13, 2012, section 3.2: 0 where the answers do not
depend on the label, 1 for a perfect person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from labeler.labels import ANSWERS
from labeler.statistics.intervals import Interval, wilson
from labeler.statistics.posterior import DEFAULT_CONFUSION, SMALLEST
from labeler.statistics.vote_arrays import MIRRORED_ANSWERS, N_ANSWERS, N_LABELS, Floats, Integers
from rotation.data.labels import LABELS

PAUSING = frozenset({"random", "swapped", "low_gold"})


class Flag(NamedTuple):
    """A finding: a code for programs and a sentence for the supervisor."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a person is flagged.

    Parameters:
        min_votes: votes before any flag but `low_gold`.
        min_gold: gold answers before `low_gold`.
        level: the share of good people that one test may flag by chance.
        odds: how much better the answers must fit not looking, or exchanged sides.
        plausible: the share of agreement from which nobody is called random.
        tolerated: the rate of one wrong answer that a good person may have.
        fast_ms, fast_share: answers below so many milliseconds, up to this share.
        gold_limit: the accuracy on gold below which nobody should go on.
        shortest_run: runs of fewer equal answers are never flagged.
    """

    min_votes: int = 15
    min_gold: int = 5
    level: float = 1e-3
    odds: float = 1e4
    plausible: float = 0.6
    tolerated: float = 0.15
    fast_ms: float = 400.0
    fast_share: float = 0.25
    gold_limit: float = 0.7
    shortest_run: int = 10


@dataclass(frozen=True, slots=True)
class Record:
    """The current votes of one person, in the order in which they came.

    Parameters:
        answers: (n,) index in `ANSWERS`.
        posteriors: (n, 3) of the images without this person's vote (`without_own`).
        elapsed_ms: (n,) from the picture to the answer; NaN where unknown, as in the grid.
        gold_right, gold_asked: answers to gold, and how many of them were right.
    """

    answers: Integers
    posteriors: Floats
    elapsed_ms: Floats = field(default_factory=lambda: np.empty(0))
    gold_right: int = 0
    gold_asked: int = 0

    def __post_init__(self) -> None:
        if self.posteriors.shape != (len(self.answers), N_LABELS):
            raise ValueError(f"{len(self.answers)} answers, posteriors {self.posteriors.shape}")


def without_own(
    posteriors: Floats,
    answers: Integers,
    confusion: Floats,
    shown: Integers | None = None,
    following: float = 0.0,
) -> Floats:
    """(n, 3) posteriors of the images a person voted on, with that one vote taken out.

    q without v is q / L_v, normalised, with L_v as in `statistics.posterior`:
    L_v(t) = f [answer = shown] + (1 - f) C(t, answer).

    Parameters:
        posteriors: (n, 3) with the vote in it; rows of gold (0 and 1) stay what they are.
        answers: (n,) the person's answers.
        confusion: (3, 4) of the person, as the posteriors were computed with.
        shown: (n,) label of the proposal that was shown, -1 for none; None: all were blind.
        following: f of the person, as the posteriors were computed with.
    """
    likelihoods = confusion[:, answers].T
    if shown is not None:
        repeated = np.where(shown == answers, following, 0.0)[:, None]
        own = np.where(shown >= 0, 1 - following, 1.0)[:, None]
        likelihoods = repeated + own * likelihoods
    rest: Floats = posteriors / np.maximum(likelihoods, SMALLEST)
    return rest / rest.sum(axis=1, keepdims=True)


def gold_accuracy(record: Record, level: float = 0.95) -> Interval:
    """Share of the gold answers that are right, with Wilson's interval."""
    return wilson(record.gold_right, record.gold_asked, level)


def information(confusion: Floats) -> float:
    """Raykar and Yu's spammer score of a (3, 4) confusion, 0 to 1.

    Mean over the pairs of labels of half the squared distance of their rows.
    """
    pairs = [(0, 1), (0, 2), (1, 2)]
    return float(np.mean([((confusion[a] - confusion[b]) ** 2).sum() / 2 for a, b in pairs]))


def flags(record: Record, limits: Limits | None = None) -> list[Flag]:
    """All that speaks against the person, empty for a good one."""
    limits = limits or Limits()
    found = [_low_gold(record, limits)]
    if len(record.answers) >= limits.min_votes:
        found += [
            _not_looking(record, limits),
            _one_sided(record, limits),
            _monotone(record, limits),
            _too_fast(record, limits),
        ]
    return [flag for flag in found if flag is not None]


def standing(found: list[Flag]) -> str:
    """`ok`, `warn`, or `pause`: for what cannot be excused by haste, or for two findings."""
    if PAUSING & {flag.code for flag in found} or len(found) > 1:
        return "pause"
    return "warn" if found else "ok"


def _low_gold(record: Record, limits: Limits) -> Flag | None:
    accuracy = gold_accuracy(record, 1 - 2 * limits.level)
    if record.gold_asked < limits.min_gold or accuracy.high >= limits.gold_limit:
        return None
    share = f"{record.gold_right} of {record.gold_asked}"
    return Flag("low_gold", f"Right on {share} gold questions.")


def fits(record: Record) -> tuple[float, float, float]:
    """Log likelihoods of the answers for a competent person, one with left and right exchanged,
    and one who does not look (own shares of answers, fitted)."""
    expected = record.posteriors @ np.array(DEFAULT_CONFUSION)
    rows = np.arange(len(record.answers))
    competent = np.log(expected[rows, record.answers]).sum()
    exchanged = np.log(expected[rows, MIRRORED_ANSWERS[record.answers]]).sum()
    shares = np.bincount(record.answers, minlength=N_ANSWERS) / max(len(rows), 1)
    blind = np.log(shares[record.answers]).sum()
    return float(competent), float(exchanged), float(blind)


def _not_looking(record: Record, limits: Limits) -> Flag | None:
    competent, exchanged, blind = fits(record)
    margin = math.log(limits.odds)
    if exchanged > max(competent, blind) + margin:
        return Flag(
            "swapped", "Seems to confuse left and right: the answers fit if they are exchanged."
        )
    agreement = (record.posteriors * np.eye(N_ANSWERS)[record.answers, :N_LABELS]).sum(axis=1)
    if blind > competent + margin and agreement.mean() < limits.plausible:
        return Flag("random", "The answers do not depend on the images.")
    return None


def _warranted(record: Record, answer: int, limits: Limits) -> Floats:
    """(n,) how probably a good person may give this answer to each image."""
    due = record.posteriors[:, answer]
    return due + limits.tolerated * (1 - due)


def _one_sided(record: Record, limits: Limits) -> Flag | None:
    quantile = NormalDist().inv_cdf(1 - limits.level / N_LABELS)
    for answer in range(N_LABELS):
        weight = 1 - record.posteriors[:, answer]
        warranted = _warranted(record, answer, limits)
        given = record.answers == answer
        excess = (weight * (given - warranted)).sum()
        spread = math.sqrt((weight**2 * warranted * (1 - warranted)).sum())
        if spread > 0 and excess > quantile * spread:
            share = (weight * given).sum() / weight.sum()
            word = LABELS[answer]
            return Flag(
                "one_sided",
                f"Answers {word} for {share:.0%} of the images that have another label.",
            )
    return None


def _monotone(record: Record, limits: Limits) -> Flag | None:
    n = len(record.answers)
    edges = np.flatnonzero(np.diff(record.answers, prepend=-1, append=-1))
    for start, end in pairwise(edges):
        answer = int(record.answers[start])
        if end - start < limits.shortest_run or answer >= N_LABELS:
            continue
        surprise = np.log(_warranted(record, answer, limits)[start:end]).sum()
        if surprise + math.log(n) < math.log(limits.level):
            word = ANSWERS[answer]
            return Flag(
                "monotone", f"Answered {word} {end - start} times in a row on different images."
            )
    return None


def _too_fast(record: Record, limits: Limits) -> Flag | None:
    timed = record.elapsed_ms[~np.isnan(record.elapsed_ms)]
    fast = int((timed < limits.fast_ms).sum())
    low = wilson(fast, len(timed), 1 - 2 * limits.level).low
    if len(timed) < limits.min_votes or low <= limits.fast_share:
        return None
    median = np.median(timed)
    return Flag(
        "too_fast",
        f"Half of the answers came within {median / 1000:.1f} s after the image appeared.",
    )
