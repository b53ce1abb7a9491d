"""Learning from pictures that nobody has labelled: a picture and its variants have one light.

1. Fit to the labels.
2. Average the model's probabilities over each unlabelled picture and its variants (`variants`),
   sharpened by p^(1/T) / sum; leave out the pictures it is not sure of, since they lie between
   the labels and would be pulled to one.
3. Fit to the labels and to the variants under those probabilities; all unlabelled pictures
   together weigh no more than `POOL_SHARE` times the labels.
4. Repeat from 2, `ROUNDS` times in all, always from the model of the round before.

The consistency of FixMatch (Sohn et al., NeurIPS 2020) with the averaging and sharpening of
MixMatch (Berthelot et al., NeurIPS 2019, algorithm 1) for a convex model, which needs rounds and
not steps of a gradient. Without variants it is self-training (Scudder 1965). The probabilities of
step 2 live in this function alone: they never reach the caller, let alone the votes.
"""

from __future__ import annotations

import numpy as np

from labeler.light_classifier.features import N_FEATURES, Features
from labeler.light_classifier.mirror_logistic import (
    N_LABELS,
    Labels,
    MirrorLogistic,
    SoftLabels,
    Weights,
    as_shares,
    fit,
)

ROUNDS = 2
SHARPENING = 0.5  # T of step 2
SURE = 0.8  # probability of the likeliest label from which a picture is used
PICTURE_WEIGHT = 0.1  # of an unlabelled picture against a labelled one, at most
POOL_SHARE = 1.0
MAX_POOL = 2000  # unlabelled pictures; more change nothing but the time


def fit_with_unlabeled(
    features: Features,
    labels: Labels | SoftLabels,
    weights: Weights,
    unlabeled: Features | None = None,
) -> MirrorLogistic:
    """Fit to N labelled pictures and M unlabelled ones; with M = 0 or None this is `fit`.

    Parameters:
        features: (N, N_FEATURES).
        labels, weights: as in `fit`.
        unlabeled: (1 + V, M, N_FEATURES) of the pictures and V variants of each, as
            `features_with_variants` gives them, or (M, N_FEATURES) without variants. Of more than
            `MAX_POOL` pictures as many are drawn, with a fixed seed.

    Raises:
        ValueError: as `fit`.
    """
    shares, pool = as_shares(labels), _pool(unlabeled)
    model = fit(features, shares, weights)
    for _ in range(ROUNDS if pool.shape[1] else 0):
        guessed = np.mean([model.predict(each) for each in pool], axis=0)
        sure = guessed.max(axis=1) >= SURE
        if not sure.any():
            break
        taught = pool[1:, sure] if len(pool) > 1 else pool[:, sure]
        each = min(PICTURE_WEIGHT, POOL_SHARE * weights.sum() / sure.sum()) / len(taught)
        model = fit(
            np.concatenate([features, taught.reshape(-1, N_FEATURES)]),
            np.concatenate([shares, np.tile(sharpen(guessed[sure], SHARPENING), (len(taught), 1))]),
            np.concatenate([weights, np.full(len(taught) * sure.sum(), each)]),
            start=model,
        )
    return model


def sharpen(probabilities: SoftLabels, temperature: float) -> SoftLabels:
    """p^(1/T) / sum of (N, 3) rows; T < 1 makes the likeliest label likelier."""
    powers = probabilities ** (1 / temperature)
    sides = powers[:, 0] + powers[:, N_LABELS - 1]  # first, so that a mirror changes no bit
    return powers / (powers[:, 1] + sides)[:, None]


def _pool(unlabeled: Features | None) -> Features:
    """(1 + V, M, N_FEATURES), M at most `MAX_POOL`."""
    if unlabeled is None:
        return np.empty((1, 0, N_FEATURES), np.float32)
    pool = unlabeled[None] if unlabeled.ndim == 2 else unlabeled
    if pool.shape[1] <= MAX_POOL:
        return pool
    return pool[:, np.random.default_rng(0).permutation(pool.shape[1])[:MAX_POOL]]
