"""The effect of suggestions on the answers, and the preference for a side of the screen.

A campaign shows the model's proposal as a suggestion to some people and hides it from others, at
random. Of the answers beside a suggestion, a share f repeats it without looking. The others agree
with it as often as blind answers do, a_blind. So

    a_shown = f + (1 - f) a_blind,    f = (a_shown - a_blind) / (1 - a_blind)
                                        = 1 - (1 - a_shown) / (1 - a_blind).

The same holds for wrong suggestions that are inserted on gold questions. There a_blind is the share
of blind answers that make the same error.

Intervals are Wilson's for shares, Newcombe's for differences, and Donner and Zou's for ratios; see
`intervals`. The estimate of f is this project's own.
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
    """Agreement with the suggestion, seen and unseen.

    Parameters:
        shown, blind: share of answers that equal the suggestion, when it is shown and when hidden.
        difference: shown - blind.
        copy_rate: share f of answers that repeat a suggestion without looking, -1 to 1. It is
            negative if people contradict. An interval that includes 0 shows no anchoring.
    """

    shown: Interval
    blind: Interval
    difference: Interval
    copy_rate: Interval


def measure_anchoring(
    answer: Integers, proposal: Integers, blind: Booleans, level: float = LEVEL
) -> Anchoring:
    """**The effect of a suggestion on the answers**, from votes that saw it and votes that did not.

    Use votes of campaigns that draw `blind` at random, without inserted wrong suggestions.

    Parameters:
        answer: (V,) 0 to 3. An unsure answer agrees with no suggestion.
        proposal: (V,) label 0 to 2 of the proposal for the image, shown or hidden; votes with -1
            had none and are left out.
        blind: (V,) whether the proposal was hidden.
        level: of the intervals.
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
        _copy_rate(shown, blind),
    )


def _copy_rate(shown: Interval, blind: Interval) -> Interval:
    """Return 1 - (1 - shown) / (1 - blind), limited to -1 to 1."""
    kept = ratio(_complement(shown), _complement(blind))
    if math.isnan(kept.estimate):
        return Interval(math.nan, -1.0, 1.0)
    return Interval(
        *(min(max(1 - value, -1.0), 1.0) for value in (kept.estimate, kept.high, kept.low))
    )


def _complement(share: Interval) -> Interval:
    """Return 1 - share."""
    return Interval(1 - share.estimate, 1 - share.high, 1 - share.low)


def measure_inserted(
    answer: Integers,
    inserted: Integers,
    truth: Integers,
    base_answer: Integers,
    base_truth: Integers,
    level: float = LEVEL,
) -> Anchoring:
    """**The copy rate of inserted wrong suggestions** on gold, corrected for honest errors.

    Some people give the same wrong answer without a suggestion. Their share is the base rate b,
    estimated from blind votes:

        b = sum_ts w_ts b_ts,    n_b = 1 / sum_ts (w_ts^2 / n_ts).

    w_ts is the share of inserted suggestions s on images of label t. b_ts is the share of answer s
    among the n_ts blind votes on images of label t. n_b is the effective number of votes behind b.
    Pairs (t, s) without a blind vote are left out.

    Parameters:
        answer: (V,) answers to gold beside an inserted suggestion, 0 to 3.
        inserted: (V,) the suggestion, 0 to 2; it differs from `truth`.
        truth: (V,) the label of the image, 0 to 2.
        base_answer, base_truth: (B,) blind votes on gold, of the person or of the whole class.
        level: of the intervals.

    Returns:
        `shown` is the share that gave the suggested answer; `blind` is the base rate.

    Raises:
        ValueError: an inserted suggestion is right.
    """
    if (inserted == truth).any():
        raise ValueError("an inserted suggestion must be wrong")
    pairs = np.bincount(truth * N_LABELS + inserted, minlength=N_LABELS**2)
    n_base = np.bincount(base_truth, minlength=N_LABELS).repeat(N_LABELS)
    named = base_answer < N_LABELS
    cells = base_truth[named] * N_LABELS + base_answer[named]
    given = np.bincount(cells, minlength=N_LABELS**2)
    used = (pairs > 0) & (n_base > 0)
    followed = int((answer == inserted).sum())
    if not used.any():
        return _compare(followed, len(answer), 0, 0, level)
    weights = pairs[used] / pairs[used].sum()
    n_effective = 1 / (weights**2 / n_base[used]).sum()
    base = float((weights * given[used] / n_base[used]).sum())
    return _compare(followed, len(answer), base * n_effective, n_effective, level)


def side_bias(answer: Integers, mirrored: Booleans, level: float = LEVEL) -> Interval:
    """**The preference for a side of the screen**, -1 to 1; positive: the left side.

    Among the answers left and right, p_u is the share that points to the left of the screen if
    the image is shown as it is, and p_m the share if it is mirrored. The light changes p_u and p_m
    in opposite directions, a habit changes both in the same direction. So

        bias = p_u + p_m - 1

    does not depend on the light, whatever share of the images is mirrored.

    Parameters:
        answer: (V,) answers about the image as it is stored, 0 to 3. Center and unsure are left
            out.
        mirrored: (V,) whether the image was shown mirrored.
        level: of the interval.

    Returns:
        Interval(nan, -1, 1) if no image was shown mirrored, or all were. Then a habit cannot be
        told from the light.
    """
    seen = np.where(mirrored, MIRRORED_ANSWERS[answer], answer)
    sided = (seen == 0) | (seen == 2)
    shares = []
    for presented in (sided & ~mirrored, sided & mirrored):
        n = int(presented.sum())
        if n == 0:
            return Interval(math.nan, -1.0, 1.0)
        shares.append(wilson(int((seen[presented] == 0).sum()), n, level))
    plain, flipped = shares
    return difference(plain, _complement(flipped))
