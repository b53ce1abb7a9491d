"""**Semi-supervised training**: also learn from images without a label.

An image and its variants (`rotation.faces.face_pairs.read_variant`) have the same light.

**Algorithm:**

1. Fit the model to the labelled images.
2. For each unlabelled image, average the model's probabilities over the image and its variants.
   Leave out images whose largest probability is below `SURE`, because they may lie between two
   labels. Sharpen the others: p^(1/T) / sum p^(1/T), with T = `SHARPENING`.
3. Fit the model to the labelled images, and to the variants with these probabilities. Together the
   unlabelled images weigh at most `POOL_SHARE` times as much as the labelled ones.
4. Repeat 2 and 3, `ROUNDS` times in all. Each fit starts from the last model.

The probabilities of step 2 stay inside this function. They are never stored with the votes.

References:
    K. Sohn et al., *FixMatch: Simplifying semi-supervised learning with consistency and
    confidence*, NeurIPS 2020 (confidence threshold, consistency over variants).

    D. Berthelot et al., *MixMatch: A holistic approach to semi-supervised learning*, NeurIPS 2019,
    algorithm 1 (averaging and sharpening).

    H. J. Scudder, *Probability of error of some adaptive pattern-recognition machines*, IEEE
    Transactions on Information Theory 11(3), 1965 (self-training, to which this reduces without
    variants). The rounds of complete fits, for a convex model, are this project's own.
"""

from __future__ import annotations

import numpy as np

from labeler.light_classifier.features import Features
from labeler.light_classifier.mirror_logistic import (
    N_LABELS,
    Labels,
    MirrorLogistic,
    SoftLabels,
    Weights,
    as_soft_labels,
    fit,
)

ROUNDS = 2
SHARPENING = 0.5  # T of step 2
SURE = 0.8  # smallest probability of the best label for an image to be used
IMAGE_WEIGHT = 0.1  # largest weight of an unlabelled image; a labelled one has 1
POOL_SHARE = 1.0
VARIANTS = 4  # of each unlabelled image
MAX_POOL = 2000  # unlabelled images; more take longer and do not help


def fit_with_unlabeled(
    features: Features,
    labels: Labels | SoftLabels,
    weights: Weights,
    unlabeled: Features | None = None,
) -> MirrorLogistic:
    """Fit to N labelled images and M unlabelled ones. Without unlabelled images this is `fit`.

    Parameters:
        features: (N, 2 K) of the labelled images.
        labels, weights: as for `fit`.
        unlabeled: (1 + V, M, 2 K) of the unlabelled images and V variants of each, as
            `extract_variants` returns them; or (M, 2 K) without variants. If there are more than
            `MAX_POOL`, so many are drawn with a fixed seed.

    Raises:
        ValueError: as `fit`.
    """
    shares, pool = as_soft_labels(labels), _pool(unlabeled, features.shape[1])
    model = fit(features, shares, weights)
    for _ in range(ROUNDS if pool.shape[1] else 0):
        guessed = np.mean([model.predict(each) for each in pool], axis=0)
        sure = guessed.max(axis=1) >= SURE
        if not sure.any():
            break
        taught = pool[1:, sure] if len(pool) > 1 else pool[:, sure]
        each = min(IMAGE_WEIGHT, POOL_SHARE * weights.sum() / sure.sum()) / len(taught)
        model = fit(
            np.concatenate([features, taught.reshape(-1, features.shape[1])]),
            np.concatenate([shares, np.tile(sharpen(guessed[sure], SHARPENING), (len(taught), 1))]),
            np.concatenate([weights, np.full(len(taught) * sure.sum(), each)]),
            start=model,
        )
    return model


def sharpen(probabilities: SoftLabels, temperature: float) -> SoftLabels:
    """Return p^(1/T) / sum p^(1/T) of each row (N, 3). T < 1 raises the largest probability."""
    powers = probabilities ** (1 / temperature)
    sides = (
        powers[:, 0] + powers[:, N_LABELS - 1]
    )  # added first, so that a mirrored row gives the same sum
    return powers / (powers[:, 1] + sides)[:, None]


def _pool(unlabeled: Features | None, n_features: int) -> Features:
    """Return (1 + V, M, 2 K), with M at most `MAX_POOL`."""
    if unlabeled is None:
        return np.empty((1, 0, n_features), np.float32)
    pool = unlabeled[None] if unlabeled.ndim == 2 else unlabeled
    if pool.shape[1] <= MAX_POOL:
        return pool
    return pool[:, np.random.default_rng(0).permutation(pool.shape[1])[:MAX_POOL]]
