"""Tests of one person's votes that warn about the person, or pause them.

Each flag is a statistical test at a small level, so that chance rarely flags a good person. The
tests compare the answers with the images: forty answers `center` to forty central images are right.
Below, a_i is the answer to image i, and q_i(t) is its label probability **without this vote**
(`without_own`). So no vote confirms itself. D is `DEFAULT_CONFUSION`, a competent person.

- `random`: the answers do not depend on the images. They fit the person's own shares of answers m
  better than D by the factor `odds`,
  sum_i w_i (log sum_t q_i(t) D(t, a_i) - log m(a_i)) < -log odds,
  and the mean of q_i(a_i) is below `plausible`. This finds random keys as well as always the same
  key. The weight w_i of an image is (1 - H(q_i) / H(q))^(1/4), with H the entropy and q the mean of
  all q_i: it is 0 if the others say nothing about the image. So a class that has just begun is
  not flagged. The second condition protects people who only ever met one label.
- `swapped`: the answers fit D best if left and right are exchanged, with the same weights.
- `one_sided`: answer k comes for images with another label more often than the `tolerated` rate r.
  With w_i = 1 - q_i(k), p_i = q_i(k) + r w_i and S = sum_i w_i ([a_i = k] - p_i), the statistic
  S / sqrt(sum_i w_i^2 p_i (1 - p_i)) is above the normal quantile.
- `monotone`: a run of equal answers is too improbable. The product of its p_i, times the number of
  votes, is below the level.
- `too_fast`: the share of answers within `fast_ms` is above `fast_share`, by Wilson's lower limit.
- `follower`: the copy rate f of `statistics.anchoring` is above `copy_limit`, by the lower end of
  its 95 % interval. So large a share of the suggestions is repeated beyond what the person would
  answer without them. It is measured on the model's proposals, shown and hidden, and on wrong
  suggestions that were inserted on gold. A person who merely agrees with a good model agrees with
  hidden proposals as well, and is not flagged.
- `low_gold`: the accuracy on gold is below `gold_limit`, by Wilson's upper limit.

The tests are this project's own; `spammer_score` names its source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from labeler.labels import ANSWERS
from labeler.languages.stored import translate_stored
from labeler.languages.texts import mark, translate
from labeler.statistics.intervals import Interval, wilson
from labeler.statistics.posterior import DEFAULT_CONFUSION, SMALLEST
from labeler.statistics.vote_arrays import MIRRORED_ANSWERS, N_ANSWERS, N_LABELS, Floats, Integers
from rotation.data.labels import LABELS

PAUSING = frozenset({"random", "swapped", "low_gold"})
# The sentences are stored in English. `translate_finding` writes them in other languages.
_SENTENCES = {
    "low_gold": mark("Right on %(right)s of %(asked)s gold questions."),
    "swapped": mark("Seems to confuse left and right: the answers fit if they are exchanged."),
    "random": mark("The answers do not depend on the images."),
    "one_sided": mark(
        "Gives the answer “%(answer)s” for %(share)s %% of the images that have another label."
    ),
    "monotone": mark("Answered %(answer)s %(times)s times in a row on different images."),
    "follower": mark(
        "Repeats suggestions: an estimated %(share)s %% of them (%(low)s to %(high)s) without "
        "looking."
    ),
    "too_fast": mark("Half of the answers came within %(seconds)s s after the image appeared."),
}


class Flag(NamedTuple):
    """A finding about a person: a code for programs, and an English sentence for the supervisor."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the tests.

    Parameters:
        min_votes: number of votes needed for every flag except `low_gold`.
        min_gold: number of gold answers needed for `low_gold`.
        level: the share of good people that one test may flag by chance.
        odds: the likelihood ratio needed for `random` and `swapped`.
        plausible: the share of agreement from which `random` is never raised.
        tolerated: the rate of one wrong answer that a good person may have.
        fast_ms: answers faster than this many milliseconds count as fast.
        fast_share: the share of fast answers that a good person may have.
        gold_limit: the accuracy on gold that every person should reach.
        shortest_run: runs of fewer equal answers are never flagged.
        copy_limit: the share of suggestions that a person may repeat without looking.
    """

    min_votes: int = 15
    min_gold: int = 5
    level: float = 1e-3
    odds: float = 3e3
    plausible: float = 0.6
    tolerated: float = 0.15
    fast_ms: float = 400.0
    fast_share: float = 0.25
    gold_limit: float = 0.7
    shortest_run: int = 10
    copy_limit: float = 0.25


@dataclass(frozen=True, slots=True)
class Copying:
    """How often a person repeats suggestions without looking.

    Parameters:
        copy_rate: f, as `statistics.anchoring` measures it, with the limits of 95 %.
        beside: number of answers beside a suggestion.
        without: number of answers that say what people answer without a suggestion.
    """

    copy_rate: Interval
    beside: int
    without: int


@dataclass(frozen=True, slots=True)
class Record:
    """The current votes of one person, in the order of arrival.

    Parameters:
        answers: (n,) index in `ANSWERS`.
        posteriors: (n, 3) label probabilities of the images without this vote (`without_own`).
        elapsed_ms: (n,) from the appearance of the image to the answer; NaN where unknown, as on
            the page that verifies many images.
        gold_right: number of right answers to gold questions.
        gold_asked: number of answers to gold questions.
        shown: copying of the model's proposals; None: not measured.
        inserted: copying of inserted wrong suggestions; None: not measured.

    Raises:
        ValueError: the posteriors do not fit the answers.
    """

    answers: Integers
    posteriors: Floats
    elapsed_ms: Floats = field(default_factory=lambda: np.empty(0))
    gold_right: int = 0
    gold_asked: int = 0
    shown: Copying | None = None
    inserted: Copying | None = None

    def __post_init__(self) -> None:
        if self.posteriors.shape != (len(self.answers), N_LABELS):
            raise ValueError(f"{len(self.answers)} answers, posteriors {self.posteriors.shape}")


def without_own(
    posteriors: Floats,
    answers: Integers,
    confusion: Floats,
    shown: Integers | None = None,
    copy_rate: float = 0.0,
) -> Floats:
    """Return label probabilities with one vote of a person removed.

    q without vote v is q(t) / L_v(t), normalised, with L_v of `statistics.posterior`:
    L_v(t) = f [answer = shown] + (1 - f) C(t, answer).

    Parameters:
        posteriors: (n, 3) of the images that the person voted on, with the votes. Rows of gold,
            which are 0 and 1, do not change.
        answers: (n,) the person's answers.
        confusion: (3, 4) C of the person, with which the posteriors were computed.
        shown: (n,) label that was suggested, -1 for none; None: all votes were blind.
        copy_rate: f of the person, with which the posteriors were computed.

    Returns:
        (n, 3), rows sum to 1.
    """
    likelihoods = confusion[:, answers].T
    if shown is not None:
        repeated = np.where(shown == answers, copy_rate, 0.0)[:, None]
        own = np.where(shown >= 0, 1 - copy_rate, 1.0)[:, None]
        likelihoods = repeated + own * likelihoods
    rest: Floats = posteriors / np.maximum(likelihoods, SMALLEST)
    return rest / rest.sum(axis=1, keepdims=True)


def gold_accuracy(record: Record, level: float = 0.95) -> Interval:
    """Return the share of right answers to gold questions, with Wilson's interval."""
    return wilson(record.gold_right, record.gold_asked, level)


def spammer_score(confusion: Floats) -> float:
    """**Raykar and Yu's spammer score** of a confusion (3, 4), 0 to 1.

    The score is the mean, over the pairs of labels, of half the squared distance between their
    rows. It is 0 if the answers do not depend on the label, and 1 for a perfect person.

    Reference:
        V. C. Raykar, S. Yu, *Eliminating spammers and ranking annotators for crowdsourced labeling
        tasks*, JMLR 13, 2012, section 3.2.
    """
    pairs = [(0, 1), (0, 2), (1, 2)]
    return float(np.mean([((confusion[a] - confusion[b]) ** 2).sum() / 2 for a, b in pairs]))


def flags(record: Record, limits: Limits | None = None) -> list[Flag]:
    """Return the flags of a person; see the tests of this module. A good person has none."""
    limits = limits or Limits()
    found = [_low_gold(record, limits)]
    if len(record.answers) >= limits.min_votes:
        found += [
            _not_looking(record, limits),
            _one_sided(record, limits),
            _monotone(record, limits),
            _too_fast(record, limits),
            _follower(record, limits),
        ]
    return [flag for flag in found if flag is not None]


def translate_finding(sentence: str) -> str:
    """Write the sentence of a flag in the language of the moment. Other texts stay as they are."""
    return translate_stored(sentence, tuple(_SENTENCES.values()), {"answer": translate})


def recommend_action(found: list[Flag]) -> str:
    """Return `ok`, `warn` or `pause`. Two flags, or one of `PAUSING`, recommend a pause."""
    if PAUSING & {flag.code for flag in found} or len(found) > 1:
        return "pause"
    return "warn" if found else "ok"


def _low_gold(record: Record, limits: Limits) -> Flag | None:
    accuracy = gold_accuracy(record, 1 - 2 * limits.level)
    if record.gold_asked < limits.min_gold or accuracy.high >= limits.gold_limit:
        return None
    return _flag("low_gold", right=record.gold_right, asked=record.gold_asked)


def _flag(code: str, **values: object) -> Flag:
    return Flag(code, _SENTENCES[code] % values)


def log_likelihoods(record: Record) -> tuple[float, float, float]:
    """Return the log likelihood of the answers under three hypotheses.

    An image counts by what the others say about it. It counts nothing if they say nothing.

    Returns:
        For a competent person, for one who exchanges left and right, and for one whose answers
        do not depend on the image (with the observed shares of the answers).
    """
    weights = _told(record.posteriors)
    expected = record.posteriors @ np.array(DEFAULT_CONFUSION)
    rows = np.arange(len(record.answers))
    competent = weights @ np.log(expected[rows, record.answers])
    exchanged = weights @ np.log(expected[rows, MIRRORED_ANSWERS[record.answers]])
    shares = np.bincount(record.answers, weights, N_ANSWERS) / max(weights.sum(), SMALLEST)
    blind = weights @ np.log(np.maximum(shares[record.answers], SMALLEST))
    return float(competent), float(exchanged), float(blind)


def _told(posteriors: Floats) -> Floats:
    """Return how much more is known of each image (n,) than of all on the mean: 0 to 1."""
    usual = _entropy(posteriors.mean(axis=0))
    known = 1 - _entropy(posteriors) / np.maximum(usual, SMALLEST)
    return known.clip(0, 1) ** 0.25


def _entropy(probabilities: Floats) -> Floats:
    """Return the entropy of the last axis, in nats."""
    found: Floats = -(probabilities * np.log(np.maximum(probabilities, SMALLEST))).sum(axis=-1)
    return found


def _not_looking(record: Record, limits: Limits) -> Flag | None:
    competent, exchanged, blind = log_likelihoods(record)
    margin = math.log(limits.odds)
    if exchanged > max(competent, blind) + margin:
        return _flag("swapped")
    agreement = (record.posteriors * np.eye(N_ANSWERS)[record.answers, :N_LABELS]).sum(axis=1)
    if blind > competent + margin and agreement.mean() < limits.plausible:
        return _flag("random")
    return None


def _warranted(record: Record, answer: int, limits: Limits) -> Floats:
    """Return the probability that a good person gives this answer to each image (n,)."""
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
            return _flag("one_sided", answer=LABELS[answer], share=f"{share * 100:.0f}")
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
            return _flag("monotone", answer=ANSWERS[answer], times=end - start)
    return None


def _follower(record: Record, limits: Limits) -> Flag | None:
    measured = [(record.shown, limits.min_votes), (record.inserted, limits.min_gold)]
    proven = [
        copying.copy_rate
        for copying, least in measured
        if copying is not None
        and copying.beside >= least
        and copying.without >= limits.min_gold
        and copying.copy_rate.low > limits.copy_limit
    ]
    if not proven:
        return None
    rate = max(proven, key=lambda one: one.low)
    share, low, high = (f"{100 * one:.0f}" for one in (rate.estimate, rate.low, rate.high))
    return _flag("follower", share=share, low=low, high=high)


def _too_fast(record: Record, limits: Limits) -> Flag | None:
    timed = record.elapsed_ms[~np.isnan(record.elapsed_ms)]
    fast = int((timed < limits.fast_ms).sum())
    low = wilson(fast, len(timed), 1 - 2 * limits.level).low
    if len(timed) < limits.min_votes or low <= limits.fast_share:
        return None
    return _flag("too_fast", seconds=f"{np.median(timed) / 1000:.1f}")
