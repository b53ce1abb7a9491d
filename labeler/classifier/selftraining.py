"""Learning from pictures that nobody has labelled: self-training with soft, sharpened labels.

1. Fit to the labels.
2. Give the unlabelled pictures the model's own probabilities, sharpened by p^(1/T) / sum; leave
   out those it is not sure of, since they lie between the labels and would be pulled to one.
3. Fit to both; all unlabelled pictures together weigh no more than `POOL_SHARE` times the labels.
4. Repeat from 2, `ROUNDS` times in all, always from the model of the round before.

Scudder 1965 (doi:10.1109/TIT.1965.1053799) with the sharpening of MixMatch (Berthelot et al.,
NeurIPS 2019, equation 7). The labels of step 2 live in this function alone: they never reach the
caller, let alone the votes.
"""

from __future__ import annotations

import numpy as np

from labeler.classifier.features import Features
from labeler.classifier.model import (
    Labels,
    MirrorLogistic,
    SoftLabels,
    Weights,
    as_shares,
    fit,
)

ROUNDS = 3
SHARPENING = 0.5  # T of step 2
SURE = 0.9  # probability of the likeliest label from which a picture is used
PICTURE_WEIGHT = 0.1  # of an unlabelled picture against a labelled one, at most
POOL_SHARE = 1.0
MAX_POOL = 4000  # more unlabelled pictures than this change nothing but the time


def fit_with_unlabeled(
    features: Features, labels: Labels | SoftLabels, weights: Weights, unlabeled: Features
) -> MirrorLogistic:
    """Fit to N labelled pictures and M unlabelled ones; M = 0 is `fit`.

    Parameters:
        features: (N, N_FEATURES).
        labels, weights: as in `fit`.
        unlabeled: (M, N_FEATURES); the first `MAX_POOL` rows of a fixed permutation are used.

    Raises:
        ValueError: as `fit`.
    """
    shares, pool = as_shares(labels), _sample(unlabeled)
    model = fit(features, shares, weights)
    for _ in range(ROUNDS if len(pool) else 0):
        guessed = model.predict(pool)
        sure = guessed.max(axis=1) >= SURE
        if not sure.any():
            break
        each = min(PICTURE_WEIGHT, POOL_SHARE * weights.sum() / sure.sum())
        model = fit(
            np.concatenate([features, pool[sure]]),
            np.concatenate([shares, sharpen(guessed[sure], SHARPENING)]),
            np.concatenate([weights, np.full(sure.sum(), each)]),
        )
    return model


def sharpen(probabilities: SoftLabels, temperature: float) -> SoftLabels:
    """p^(1/T) / sum of (N, 3) rows; T < 1 makes the likeliest label likelier."""
    powers = probabilities ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def _sample(unlabeled: Features) -> Features:
    if len(unlabeled) <= MAX_POOL:
        return unlabeled
    return unlabeled[np.random.default_rng(0).permutation(len(unlabeled))[:MAX_POOL]]
