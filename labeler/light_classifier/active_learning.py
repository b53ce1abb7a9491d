"""**Active learning**: the images whose labels help the model most.

An image helps if the model is uncertain about it, and if it differs from the images that are
already labelled or chosen. Images are chosen one by one. Each choice lowers the score of images
that look like it or like its mirror image, so that a batch contains different images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from labeler.light_classifier.features import Features, mirror_features
from labeler.light_classifier.mirror_logistic import Probabilities

SMALLEST = 1e-12
SCALE_PERCENTILE = 10  # of the distances between images: the scale of "similar"
MAX_CANDIDATES = 4000

Indices = npt.NDArray[np.intp]


def margin_uncertainty(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """Return 1 minus the difference of the two largest probabilities (N,).

    0 is certain, 1 is a tie.

    Parameters:
        probabilities: (N, 3).
    """
    ranked = np.sort(probabilities, axis=1)
    return 1 - (ranked[:, -1] - ranked[:, -2])


def next_to_ask(
    features: Features,
    probabilities: Probabilities,
    count: int,
    asked: Features | None = None,
) -> Indices:
    """Choose the images to label next, the most useful first.

    Each step takes the image i with the largest score

        u_i * prod_j (1 - exp(-d_ij^2 / s^2)).

    u_i is its `margin_uncertainty`. j runs over the images asked or chosen before. d_ij is the
    distance to image j or to its mirror image, whichever is closer. s is a typical small distance
    between images.

    Parameters:
        features: (N, 2 K) of the images without a label.
        probabilities: (N, 3) of the same images, by the current model.
        count: number of images to choose, at most N.
        asked: (M, 2 K) of images that have a label or that somebody is labelling.

    Returns:
        Row numbers of `features`.

    Raises:
        ValueError: `features` and `probabilities` differ in length.
    """
    if len(features) != len(probabilities):
        raise ValueError(f"{len(features)} images came with {len(probabilities)} predictions")
    score = margin_uncertainty(probabilities)
    candidates = np.argsort(-score, kind="stable")[: max(MAX_CANDIDATES, count)]
    rows, score = features[candidates].astype(np.float64), score[candidates] + SMALLEST
    scale = _typical_distance(rows)
    for seen in [] if asked is None else asked.astype(np.float64):
        score = score * _novelty(rows, seen, scale)
    taken: list[int] = []
    for _ in range(min(count, len(rows))):
        best = int(np.argmax(score))
        taken.append(best)
        score = score * _novelty(rows, rows[best], scale)
        score[taken] = -1.0
    return candidates[taken]


def _novelty(
    rows: npt.NDArray[np.float64], seen: npt.NDArray[np.float64], scale: float
) -> npt.NDArray[np.float64]:
    mirrored = mirror_features(seen[None].astype(np.float32))[0]
    nearest = np.minimum(((rows - seen) ** 2).sum(axis=1), ((rows - mirrored) ** 2).sum(axis=1))
    return 1 - np.exp(-nearest / scale**2)


def _typical_distance(rows: npt.NDArray[np.float64]) -> float:
    """Return a low percentile of the distances within a sample of rows, or 1 if all are equal."""
    sample = rows[:: max(1, len(rows) // 200)]
    distances = np.sqrt(((sample[:, None] - sample[None]) ** 2).sum(axis=2))
    apart = distances[distances > 0]
    return float(np.percentile(apart, SCALE_PERCENTILE)) if len(apart) else 1.0
