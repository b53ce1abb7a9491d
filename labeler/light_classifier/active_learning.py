"""Which pictures to ask about next, so that the model learns most from the answers.

A picture is worth asking about as far as the model doubts it and as far as it differs from what
has been or is about to be asked. Pictures are taken one by one; each taken one lowers the worth of
those that look like it or like its mirror image, so that a batch does not ask one thing often.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from labeler.light_classifier.features import Features, mirror_features
from labeler.light_classifier.mirror_logistic import Probabilities

SMALLEST = 1e-12
SPREAD = 10  # nearest distances: this percentile counts as "alike"
MAX_CANDIDATES = 4000

Indices = npt.NDArray[np.intp]


def doubt(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """(N, 3) -> (N,): 1 less the lead of the likeliest label over the next; 0 sure, 1 a tie."""
    ranked = np.sort(probabilities, axis=1)
    return 1 - (ranked[:, -1] - ranked[:, -2])


def next_to_ask(
    features: Features,
    probabilities: Probabilities,
    count: int,
    asked: Features | None = None,
) -> Indices:
    """Rows of the pictures to ask about next, the most useful first.

    Greedy: worth_i = doubt_i * (1 - max_j exp(-d_ij^2 / s^2)), j over the pictures asked or
    taken before and their mirror images, s the typical distance between neighbours.

    Parameters:
        features: (N, N_FEATURES) of the pictures without a label.
        probabilities: (N, 3) of the same, by the current model.
        count: how many are wanted; all N where it is more.
        asked: (M, N_FEATURES) those that have a label or are in someone's hands.

    Raises:
        ValueError: the two first do not fit together.
    """
    if len(features) != len(probabilities):
        raise ValueError(f"{len(features)} pictures came with {len(probabilities)} predictions")
    worth = doubt(probabilities)
    candidates = np.argsort(-worth, kind="stable")[: max(MAX_CANDIDATES, count)]
    rows, worth = features[candidates].astype(np.float64), worth[candidates] + SMALLEST
    scale = _typical_distance(rows)
    for seen in [] if asked is None else asked.astype(np.float64):
        worth = worth * _novelty(rows, seen, scale)
    taken: list[int] = []
    for _ in range(min(count, len(rows))):
        best = int(np.argmax(worth))
        taken.append(best)
        worth = worth * _novelty(rows, rows[best], scale)
        worth[taken] = -1.0
    return candidates[taken]


def _novelty(
    rows: npt.NDArray[np.float64], seen: npt.NDArray[np.float64], scale: float
) -> npt.NDArray[np.float64]:
    mirrored = mirror_features(seen[None].astype(np.float32))[0]
    nearest = np.minimum(((rows - seen) ** 2).sum(axis=1), ((rows - mirrored) ** 2).sum(axis=1))
    return 1 - np.exp(-nearest / scale**2)


def _typical_distance(rows: npt.NDArray[np.float64]) -> float:
    """A low percentile of the distances within a sample of the rows; 1 where there is none."""
    sample = rows[:: max(1, len(rows) // 200)]
    distances = np.sqrt(((sample[:, None] - sample[None]) ** 2).sum(axis=2))
    apart = distances[distances > 0]
    return float(np.percentile(apart, SPREAD)) if len(apart) else 1.0
