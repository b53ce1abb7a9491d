"""Calibration by temperature scaling, and the threshold for a wanted precision."""

from __future__ import annotations

import numpy as np

from labeler.light_classifier.mirror_logistic import (
    Labels,
    Probabilities,
    SoftLabels,
    Weights,
    as_soft_labels,
)
from labeler.light_classifier.semi_supervised import sharpen

# Not below 1: the images left out may show people whom the model knows, while new images show
# others. So there is no reason to be more certain than before.
MIN_TEMPERATURE, MAX_TEMPERATURE = 1.0, 4.0
# Below 1 if the error rates of the votes are known: a model trained on single votes, a fifth of
# them wrong, is right more often than it predicts.
MIN_TEMPERATURE_BY_VOTES = 0.2
STEPS = 41
# log T has a normal prior with mean 0 and variance 1 / LOG_PRECISION. With few labels, fifteen for
# example, the best temperature would be mostly chance.
LOG_PRECISION = 10.0
SMALLEST = 1e-12


def fit_temperature(
    probabilities: Probabilities,
    labels: Labels | SoftLabels,
    weights: Weights,
    likelihoods: SoftLabels | None = None,
) -> float:
    """**Temperature scaling** with a prior: the T at which probabilities fit the labels best.

    T minimises, over a grid of `STEPS` values,

        sum_i w_i NLL_i(T) + LOG_PRECISION / 2 log(T)^2.

    With p_T = p^(1/T) / sum p^(1/T), NLL_i is -sum_t y_i(t) log p_T(t) for the labels y. With
    `likelihoods` it is that of the votes, -log sum_t p_T(t) L_i(t).

    Parameters:
        probabilities: (N, 3), each row from a model that was not trained on the image.
        labels, weights: as for `fit`.
        likelihoods: (N, 3) L_i(t) = P(votes on image i | label t), up to a factor per image.

    Returns:
        T > 0; above 1 the probabilities become less certain.

    Reference:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, *On calibration of modern neural networks*,
        ICML 2017, section 4.2. The prior and the likelihood of votes are this project's own.
    """
    shares = as_soft_labels(labels)
    lowest = MIN_TEMPERATURE if likelihoods is None else MIN_TEMPERATURE_BY_VOTES
    best, best_loss = 1.0, np.inf
    for temperature in [1.0, *np.geomspace(lowest, MAX_TEMPERATURE, STEPS)]:
        tempered = sharpen(np.maximum(probabilities, SMALLEST), temperature)
        misfit = weights @ _misfits(np.maximum(tempered, SMALLEST), shares, likelihoods)
        loss = misfit + LOG_PRECISION / 2 * np.log(temperature) ** 2
        if loss < best_loss:
            best, best_loss = float(temperature), loss
    return best


def _misfits(
    probabilities: Probabilities, shares: SoftLabels, likelihoods: SoftLabels | None
) -> Weights:
    """Return the negative log likelihood of the labels, or of the votes, by image (N,)."""
    if likelihoods is None:
        misfits: Weights = -(shares * np.log(probabilities)).sum(axis=1)
        return misfits
    misfits = -np.log(np.maximum((likelihoods * probabilities).sum(axis=1), SMALLEST))
    return misfits


def threshold_for_precision(
    probabilities: Probabilities, labels: Labels, precision: float
) -> float | None:
    """Return the smallest confidence from which predictions have a precision.

    At least `precision` of the predictions with this confidence or more are right. The same holds
    for every higher threshold that leaves at least `fewest_needed` predictions.

    Parameters:
        probabilities: (N, 3) calibrated, each row from a model that was not trained on the image.
        labels: (N,) the true labels.
        precision: wanted share of right labels, 0 < precision < 1.

    Returns:
        A probability; None if no threshold reaches the precision, or if there are too few labels.

    Raises:
        ValueError: the precision is not between 0 and 1.
    """
    if not 0 < precision < 1:
        raise ValueError(f"precision must lie between 0 and 1, both excluded, not {precision}")
    confidence = probabilities.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = (probabilities.argmax(axis=1) == labels)[order]
    kept = np.arange(1, len(right) + 1)
    good = np.cumsum(right) / kept >= precision
    # With too few predictions one error says nothing. Equal confidences belong together.
    steady = np.logical_and.accumulate(good | (kept < fewest_needed(precision)))
    sorted_confidence = confidence[order]
    ends = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)
    usable = np.flatnonzero(steady & good & ends & (kept >= fewest_needed(precision)))
    return float(sorted_confidence[usable[-1]]) if len(usable) else None


def fewest_needed(precision: float) -> int:
    """Return the smallest number of predictions of which one may be wrong at this precision."""
    return int(np.ceil(1 / (1 - precision) - 1e-9))
