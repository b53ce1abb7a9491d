"""What showing the proposal does to the answers, and which hand people prefer.

A campaign shows the proposal to some and hides it from others, at random. Of the votes that saw
it a share f just repeats it; the rest agree as often as blind people do, a_blind. So

    a_shown = f + (1 - f) a_blind,    f = (a_shown - a_blind) / (1 - a_blind)
                                        = 1 - (1 - a_shown) / (1 - a_blind).

The same with planted wrong proposals on gold, where the blind rate b is that of the same wrong
answer. Intervals: Wilson for shares, Newcombe for differences, Donner and Zou for the ratio.

The side bias is measured as the person saw the picture: where views are mirrored at random, the
true labels cancel and what is left is the hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeler.statistics.intervals import (
    LEVEL,
    Interval,
    difference,
    newcombe_difference,
    ratio,
    wilson,
)
from labeler.statistics.vote_arrays import MIRRORED_ANSWERS, N_LABELS, Integers

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Anchoring:
    """Agreement with the proposal.

    Parameters:
        shown, blind: share of answers that are the proposal's label, seen and unseen.
        difference: shown - blind.
        following: the share f of answers that only repeat what is shown, -1 to 1; below 0 where
            people contradict. An interval that includes 0 shows no anchoring.
    """

    shown: Interval
    blind: Interval
    difference: Interval
    following: Interval


def measure_anchoring(
    answer: Integers, proposal: Integers, blind: Booleans, level: float = LEVEL
) -> Anchoring:
    """Agreement with the proposal when seen against when hidden.

    Use votes of campaigns that draw `blind` at random, without the planted wrong proposals.

    Parameters:
        answer: (V,) 0 to 3; an unsure answer agrees with nothing.
        proposal: (V,) label 0 to 2 of the proposal for the image, shown or not; -1 (there was
            none) is left out.
        blind: (V,) whether it was hidden.
    """
    proposed = proposal >= 0
    agrees = answer == proposal
    seen, unseen = proposed & ~blind, proposed & blind
    of_seen = (int(agrees[seen].sum()), int(seen.sum()))
    of_unseen = (int(agrees[unseen].sum()), int(unseen.sum()))
    return _compare(*of_seen, *of_unseen, level)


def _compare(seen: float, n_seen: float, unseen: float, n_unseen: float, level: float) -> Anchoring:
    shown, blind = wilson(seen, n_seen, level), wilson(unseen, n_unseen, level)
    return Anchoring(
        shown,
        blind,
        newcombe_difference(seen, n_seen, unseen, n_unseen, level),
        _following(shown, blind),
    )


def _following(shown: Interval, blind: Interval) -> Interval:
    """1 - (1 - shown) / (1 - blind), cut at -1 and 1."""
    kept = ratio(_complement(shown), _complement(blind))
    if math.isnan(kept.estimate):
        return Interval(math.nan, -1.0, 1.0)
    return Interval(
        *(min(max(1 - value, -1.0), 1.0) for value in (kept.estimate, kept.high, kept.low))
    )


def _complement(share: Interval) -> Interval:
    return Interval(1 - share.estimate, 1 - share.high, 1 - share.low)


def measure_planted(
    answer: Integers,
    planted: Integers,
    truth: Integers,
    base_answer: Integers,
    base_truth: Integers,
    level: float = LEVEL,
) -> Anchoring:
    """Following of planted wrong proposals on gold, corrected for who errs so without them.

    The base rate is that of the same wrong answer to the same true label among blind votes,
    b = sum over (truth t, planted s) of w_ts b_ts with the planted pairs' shares w_ts; its
    effective number of votes is 1 / sum of w_ts^2 / n_ts. Pairs that no blind vote covers are
    left out of b.

    Parameters:
        answer, planted, truth: (V,) votes that saw a planted proposal, s, on gold of label t.
        base_answer, base_truth: (B,) blind votes on gold; of the whole class where the
            person has few.

    Returns:
        `shown` is the share that gave the planted answer, `blind` the base rate.

    Raises:
        ValueError: a planted proposal that is right.
    """
    if (planted == truth).any():
        raise ValueError("a planted proposal must be wrong")
    pairs = np.bincount(truth * N_LABELS + planted, minlength=N_LABELS**2)
    n_base = np.bincount(base_truth, minlength=N_LABELS).repeat(N_LABELS)
    named = base_answer < N_LABELS
    cells = base_truth[named] * N_LABELS + base_answer[named]
    given = np.bincount(cells, minlength=N_LABELS**2)
    used = (pairs > 0) & (n_base > 0)
    followed = int((answer == planted).sum())
    if not used.any():
        return _compare(followed, len(answer), 0, 0, level)
    weights = pairs[used] / pairs[used].sum()
    n_effective = 1 / (weights**2 / n_base[used]).sum()
    base = float((weights * given[used] / n_base[used]).sum())
    return _compare(followed, len(answer), base * n_effective, n_effective, level)


def side_bias(answer: Integers, mirrored: Booleans, level: float = LEVEL) -> Interval:
    """How much more often people answer the left than the right of what they see, -1 to 1.

    Of the answers left or right, p_u is the share that is left on the screen in plain views,
    p_m in mirrored ones. The light itself moves them in opposite ways, the hand in the same:

        bias = p_u + p_m - 1,

    whatever share of the views is mirrored. Positive: towards the left of the screen.

    Parameters:
        answer: (V,) as stored, un-mirrored, 0 to 3; center and unsure are left out.
        mirrored: (V,) whether the view was mirrored.

    Returns:
        Interval(nan, -1, 1) where there are no plain or no mirrored views: then hand and light
        cannot be told apart.
    """
    seen = np.where(mirrored, MIRRORED_ANSWERS[answer], answer)
    sided = (seen == 0) | (seen == 2)
    shares = []
    for view in (sided & ~mirrored, sided & mirrored):
        n = int(view.sum())
        if n == 0:
            return Interval(math.nan, -1.0, 1.0)
        shares.append(wilson(int((seen[view] == 0).sum()), n, level))
    plain, flipped = shares
    return difference(plain, _complement(flipped))
