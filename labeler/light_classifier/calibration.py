"""Probabilities that mean what they say, and the threshold at which they may stand for a label."""

from __future__ import annotations

import numpy as np

from labeler.light_classifier.mirror_logistic import (
    Labels,
    Probabilities,
    SoftLabels,
    Weights,
    as_shares,
)
from labeler.light_classifier.semi_supervised import sharpen

# Never below 1: held-out pictures may show people that the model knows, and the people it will meet
# are others, so that being even surer than before has no ground.
COLDEST, HOTTEST = 1.0, 4.0
# Unless the labels are votes of whom it is known how often they err: a model that was taught by
# single votes, a fifth of them wrong, is right more often than it dares to say.
COLDEST_BY_VOTES = 0.2
STEPS = 41
# The temperature starts at 1 and moves only as far as the labels carry it: with fifteen of them
# the best one is mostly chance. log T is taken as normal with variance 1 / CAUTION.
CAUTION = 10.0
SMALLEST = 1e-12


def fit_temperature(
    probabilities: Probabilities,
    labels: Labels | SoftLabels,
    weights: Weights,
    likelihoods: SoftLabels | None = None,
) -> float:
    """The temperature T that makes held-out probabilities fit the labels best.

    Minimises sum_i w_i NLL_i(p^(1/T)) + CAUTION / 2 log(T)^2 over a grid of T from `COLDEST` to
    `HOTTEST`. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2. With
    `likelihoods` NLL_i is that of the votes, -log sum_t p_T(t) L_i(t), with the label summed out.

    Parameters:
        probabilities: (N, 3), of models that have not seen the row.
        labels, weights: as in `fit`.
        likelihoods: (N, 3) P(votes on the picture | label), up to a factor for each picture.
    """
    shares, coldest = as_shares(labels), COLDEST if likelihoods is None else COLDEST_BY_VOTES
    best, best_loss = 1.0, np.inf
    for temperature in [1.0, *np.geomspace(coldest, HOTTEST, STEPS)]:
        tempered = sharpen(np.maximum(probabilities, SMALLEST), temperature)
        misfit = weights @ _misfits(np.maximum(tempered, SMALLEST), shares, likelihoods)
        loss = misfit + CAUTION / 2 * np.log(temperature) ** 2
        if loss < best_loss:
            best, best_loss = float(temperature), loss
    return best


def _misfits(
    probabilities: Probabilities, shares: SoftLabels, likelihoods: SoftLabels | None
) -> Weights:
    """(N,) negative log likelihoods of the labels, or of the votes."""
    if likelihoods is None:
        misfits: Weights = -(shares * np.log(probabilities)).sum(axis=1)
        return misfits
    misfits = -np.log(np.maximum((likelihoods * probabilities).sum(axis=1), SMALLEST))
    return misfits


def threshold_for_precision(
    probabilities: Probabilities, labels: Labels, precision: float
) -> float | None:
    """The smallest confidence from which proposals may label the rest with that precision.

    Of the held-out predictions at or above the threshold, at least `precision` are right, and
    so they are above every higher threshold that still leaves `fewest_needed` of them.

    Parameters:
        probabilities: (N, 3), of models that have not seen the row, calibrated like those that
            the threshold will meet.
        precision: wanted share of right labels, 0 < precision < 1.

    Returns:
        None where no threshold keeps the promise, or too few labels are there to tell.

    Raises:
        ValueError: precision outside (0, 1).
    """
    if not 0 < precision < 1:
        raise ValueError(f"precision must lie between 0 and 1, both excluded, not {precision}")
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    kept = np.arange(1, len(right) + 1)
    good = np.cumsum(right) / kept >= precision
    # One wrong among too few says nothing; equal confidences stand or fall together.
    steady = np.logical_and.accumulate(good | (kept < fewest_needed(precision)))
    sorted_confidence = confidence[order]
    ends = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)
    usable = np.flatnonzero(steady & good & ends & (kept >= fewest_needed(precision)))
    return float(sorted_confidence[usable[-1]]) if len(usable) else None


def fewest_needed(precision: float) -> int:
    """Held-out predictions under which a precision cannot be told: one mistake would break it."""
    return int(np.ceil(1 / (1 - precision) - 1e-9))
