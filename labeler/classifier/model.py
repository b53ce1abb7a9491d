"""Mirror-equivariant multinomial logistic regression.

With odd features o (a mirror negates them) and even features e (it leaves them), the scores are

    s_left = u.e + w.o + a,    s_center = v.e + b,    s_right = u.e - w.o + a

and p = softmax(s). A mirror swaps s_left and s_right and nothing else, whatever the weights: the
mirrored picture gets exactly the mirrored probabilities. |o| is among the even features, so that
a strong asymmetry can speak against `center` without saying which side.

The weights are those of scikit-learn's `LogisticRegression` fitted to every picture and its
mirror with the label swapped. Its penalised likelihood is strictly convex in the weights and does
not change under the mirror, so its minimum has the tied form; `_tie` only takes off what the
solver's tolerance left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from labeler.classifier.features import (
    N_FEATURES,
    N_ODD,
    Features,
    mirror_features,
    typical_features,
)

LEFT, CENTER, RIGHT = 0, 1, 2
N_LABELS = 3
INVERSE_PENALTY = 0.1  # C of scikit-learn; chosen inside subjects 1-10 of Yale B
PRIOR_WEIGHT = 1.0  # in images, shared by the three labels
NEGLIGIBLE = 1e-3  # a share of a label under this is not taught

Labels = npt.NDArray[np.int64]
SoftLabels = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MirrorLogistic:
    """A fitted model. Shapes: `odd` (N_ODD,), `side` and `center` (N_EVEN + N_ODD,)."""

    odd: Weights
    side: Weights
    center: Weights
    side_bias: float
    center_bias: float

    def predict(self, features: Features) -> Probabilities:
        """(N, N_FEATURES) -> (N, 3) probabilities of left, center, right; rows sum to 1."""
        _check_features(features)
        odd, even = _split(features)
        asymmetry = odd @ self.odd
        side = even @ self.side + self.side_bias
        scores = np.stack(
            [side + asymmetry, even @ self.center + self.center_bias, side - asymmetry], axis=1
        )
        return _softmax(scores)

    def tempered(self, temperature: float) -> MirrorLogistic:
        """The model whose scores are these divided by a temperature > 0: above 1 less sure."""
        return MirrorLogistic(
            self.odd / temperature,
            self.side / temperature,
            self.center / temperature,
            self.side_bias / temperature,
            self.center_bias / temperature,
        )


def fit(
    features: Features,
    labels: Labels | SoftLabels,
    weights: Weights,
    inverse_penalty: float = INVERSE_PENALTY,
) -> MirrorLogistic:
    """Fit to labelled pictures.

    The average rendered head of each label is added, together weighing `PRIOR_WEIGHT` images: no
    label gets probability 0 because nobody has given it yet.

    Parameters:
        features: (N, N_FEATURES), see `light_features`.
        labels: (N,) 0 left, 1 center, 2 right; or (N, 3) the share of each, rows that sum to 1.
        weights: (N,) positive; 1 for a unanimous label.
        inverse_penalty: C of scikit-learn; smaller is smoother.

    Raises:
        ValueError: nothing to learn from, or shapes and values that do not fit together.
    """
    shares = as_shares(labels)
    _check_training(features, shares, weights)
    rows, taught, weighing = _rows(
        np.concatenate([features, mirror_features(features), typical_features()]),
        np.concatenate([shares, shares[:, ::-1], np.eye(N_LABELS)]),
        np.concatenate([weights, weights, np.full(N_LABELS, PRIOR_WEIGHT / N_LABELS)]),
    )
    solver = LogisticRegression(C=inverse_penalty, max_iter=3000, tol=1e-5)
    with threadpool_limits(1):  # threads only wait for each other on matrices as small as these
        solver.fit(rows, taught, weighing)
    return _tie(solver.coef_, solver.intercept_)


def as_shares(labels: Labels | SoftLabels) -> SoftLabels:
    """(N,) labels as (N, 3) shares; (N, 3) shares as they are.

    Raises:
        ValueError: another shape, another label, or rows that do not sum to 1.
    """
    if labels.ndim == 1:
        if not np.isin(labels, range(N_LABELS)).all():
            raise ValueError("labels must be 0 (left), 1 (center) or 2 (right)")
        return np.eye(N_LABELS)[labels.astype(np.int64)]
    if labels.shape[1:] != (N_LABELS,):
        raise ValueError(f"labels of shape (N,) or (N, {N_LABELS}) are needed, not {labels.shape}")
    if not ((labels >= 0).all() and np.allclose(labels.sum(axis=1), 1)):
        raise ValueError("shares of the labels must be 0 or more and sum to 1 in each row")
    return labels.astype(np.float64)


def _rows(
    features: Features, shares: SoftLabels, weights: Weights
) -> tuple[Weights, Labels, Weights]:
    """One row for each label that a picture has a share of: scikit-learn takes no shares."""
    odd, even = _split(features)
    design = np.concatenate([odd, even], axis=1)
    picture, label = np.nonzero(shares > NEGLIGIBLE)
    return design[picture], label, shares[picture, label] * weights[picture]


def _tie(weights: Weights, biases: Weights) -> MirrorLogistic:
    """The tied weights nearest to (3, N_ODD + N_EVEN + N_ODD) free ones."""
    odd, even = weights[:, :N_ODD], weights[:, N_ODD:]
    return MirrorLogistic(
        odd=(odd[LEFT] - odd[RIGHT]) / 2,
        side=(even[LEFT] + even[RIGHT]) / 2,
        center=even[CENTER],
        side_bias=float(biases[LEFT] + biases[RIGHT]) / 2,
        center_bias=float(biases[CENTER]),
    )


def _split(features: Features) -> tuple[Weights, Weights]:
    odd = features[:, :N_ODD].astype(np.float64)
    return odd, np.concatenate([features[:, N_ODD:], np.abs(odd)], axis=1)


def _softmax(scores: Weights) -> Probabilities:
    """Left and right are added first: the sum is then the same for the mirrored row, bit by bit."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    total = powers[:, CENTER] + (powers[:, LEFT] + powers[:, RIGHT])
    return powers / total[:, None]


def _check_features(features: Features) -> None:
    if features.ndim != 2 or features.shape[1] != N_FEATURES:
        raise ValueError(f"features of shape (N, {N_FEATURES}) are needed, not {features.shape}")
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinity")


def _check_training(features: Features, shares: SoftLabels, weights: Weights) -> None:
    _check_features(features)
    count = len(features)
    if not count or len(shares) != count or weights.shape != (count,):
        raise ValueError(
            f"{count} rows of features came with {len(shares)} labels and weights of shape "
            f"{weights.shape}; one of each a row, and at least one row, is needed"
        )
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("weights must be positive and finite")
