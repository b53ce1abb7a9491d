"""**Mirror-equivariant multinomial logistic regression.**

A mirror negates the odd features o and does not change the even features e. The scores are

    s_left = u.e + w.o + a,    s_center = v.e + b,    s_right = u.e - w.o + a,

and p = softmax(s). A mirror exchanges s_left and s_right and changes nothing else. So the mirrored
image always gets exactly the mirrored probabilities. |o| is one of the even features, so that a
strong asymmetry lowers `center` without naming a side.

The fitted weights equal those of scikit-learn's `LogisticRegression` on each image and its mirror
image with the exchanged label. That penalised likelihood is strictly convex and does not change
under a mirror, so its minimum has the form above. The search here is limited to weights of this
form, with soft labels, and needs a sixth of the rows. A test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from labeler.light_classifier.features import Features, as_kind, kind_of

LEFT, CENTER, RIGHT = 0, 1, 2
N_LABELS = 3
INVERSE_PENALTY = 0.1  # C of scikit-learn; chosen inside subjects 1-10 of Yale B
PRIOR_WEIGHT = 1.0  # of the three average rendered heads together; an image has 1
SMALLEST = 1e-300
NEGLIGIBLE = 1e-3  # smaller shares of a label are ignored
MAX_ITERATIONS = 3000
TOLERANCE = 1e-6  # of the gradient, per image

Labels = npt.NDArray[np.int64]
SoftLabels = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float64]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MirrorLogistic:
    """A model fitted to K odd and K even features: `odd` (K,), `side` and `center` (2 K,)."""

    odd: Weights
    side: Weights
    center: Weights
    side_bias: float
    center_bias: float

    def predict(self, features: Features) -> Probabilities:
        """Return probabilities (N, 3) of left, center, right from features (N, 2 K).

        Rows of NaN, which are images without a face, get the same probability for each label.
        Features of a face may have more numbers than the model knows (`features.as_kind`).

        Raises:
            ValueError: the features are of another kind, or partly NaN or infinite.
        """
        features = as_kind(features, 2 * len(self.odd))
        _check_shape(features, len(self.odd))
        faceless = np.isnan(features).all(axis=1, keepdims=True)
        known = np.where(faceless, np.float32(0), features)
        _check_finite(known)
        chances = _softmax(_scores(*_split(known), self))
        return np.where(faceless, 1 / N_LABELS, chances)

    def tempered(self, temperature: float) -> MirrorLogistic:
        """Return the model with scores divided by a temperature > 0; above 1 it is less certain."""
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
    start: MirrorLogistic | None = None,
) -> MirrorLogistic:
    """Fit to labelled images.

    The average rendered head of each label is added, with `PRIOR_WEIGHT` for the three together.
    So a label that nobody has given yet does not get probability 0.

    Parameters:
        features: (N, 2 K), of either kind.
        labels: (N,) 0 left, 1 center, 2 right; or (N, 3) soft labels, rows sum to 1.
        weights: (N,) positive; 1 is a full image.
        inverse_penalty: C of scikit-learn; a smaller value regularises more.
        start: a model to start from. It changes the time, not the result.

    Raises:
        ValueError: there is nothing to learn from, or shapes or values are wrong.
    """
    shares = as_soft_labels(labels)
    _check_training(features, shares, weights)
    typical = kind_of(features).typical()
    objective = _Objective(
        *_split(np.concatenate([features, typical])),
        np.concatenate([shares, np.eye(N_LABELS)]),
        # Twice: each image also stands for its mirror image. The rendered heads do so already.
        np.concatenate([2 * weights, np.full(N_LABELS, PRIOR_WEIGHT / N_LABELS)]),
        inverse_penalty,
    )
    n_odd = features.shape[1] // 2
    first = np.zeros(5 * n_odd + 2) if start is None else _flat(start)
    settings = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps}
    with threadpool_limits(1):  # more threads are slower on matrices as small as these
        found = minimize(objective, first, jac=True, method="L-BFGS-B", options=settings)
    return _model(found.x)


def as_soft_labels(labels: Labels | SoftLabels) -> SoftLabels:
    """Return labels (N,) as soft labels (N, 3). Soft labels are returned unchanged.

    Raises:
        ValueError: the shape is wrong, a label is unknown, or a row does not sum to 1.
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


class _Objective:
    """The penalised mean loss and its gradient, as a function of the weights (5 K + 2,)."""

    def __init__(
        self, odd: Weights, even: Weights, shares: SoftLabels, weights: Weights, c: float
    ) -> None:
        self.odd, self.even = odd, even
        self.taught = np.where(shares > NEGLIGIBLE, shares, 0) * weights[:, None]
        self.weight = self.taught.sum(axis=1)
        total = self.weight.sum()
        # `odd` and `side` occur in two of the three rows of weights (left, center, right).
        n_odd = odd.shape[1]
        sizes = np.repeat([2.0, 2.0, 1.0, 0.0], [n_odd, 2 * n_odd, 2 * n_odd, 2])
        self.penalty, self.scale = sizes / (c * total), 1 / total

    def __call__(self, flat: Weights) -> tuple[float, Weights]:
        model = _model(flat)
        chances = _softmax(_scores(self.odd, self.even, model))
        loss = -(self.taught * np.log(np.maximum(chances, SMALLEST))).sum()
        pull = self.weight[:, None] * chances - self.taught
        sides = pull[:, LEFT] + pull[:, RIGHT]
        slope = np.concatenate(
            [
                self.odd.T @ (pull[:, LEFT] - pull[:, RIGHT]),
                self.even.T @ sides,
                self.even.T @ pull[:, CENTER],
                [sides.sum(), pull[:, CENTER].sum()],
            ]
        )
        held = self.penalty * flat
        return float(self.scale * loss + held @ flat / 2), self.scale * slope + held


def _flat(model: MirrorLogistic) -> Weights:
    biases = [model.side_bias, model.center_bias]
    return np.concatenate([model.odd, model.side, model.center, biases])


def _model(flat: Weights) -> MirrorLogistic:
    n_odd = (len(flat) - 2) // 5
    odd, side, center, biases = np.split(flat, [n_odd, 3 * n_odd, 5 * n_odd])
    return MirrorLogistic(odd, side, center, float(biases[0]), float(biases[1]))


def _scores(odd: Weights, even: Weights, model: MirrorLogistic) -> Weights:
    asymmetry = odd @ model.odd
    side = even @ model.side + model.side_bias
    center = even @ model.center + model.center_bias
    return np.stack([side + asymmetry, center, side - asymmetry], axis=1)


def _split(features: Features) -> tuple[Weights, Weights]:
    n_odd = features.shape[1] // 2
    odd = features[:, :n_odd].astype(np.float64)
    return odd, np.concatenate([features[:, n_odd:], np.abs(odd)], axis=1)


def _softmax(scores: Weights) -> Probabilities:
    """Return softmax by row. Left and right are added first, so a mirrored row has the same sum."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    total = powers[:, CENTER] + (powers[:, LEFT] + powers[:, RIGHT])
    return powers / total[:, None]


def _check_shape(features: Features, n_odd: int) -> None:
    if features.ndim != 2 or features.shape[1] != 2 * n_odd:
        raise ValueError(f"features of shape (N, {2 * n_odd}) are needed, not {features.shape}")


def _check_finite(features: Features) -> None:
    if not np.isfinite(features).all():
        raise ValueError("features hold NaN or infinity")


def _check_training(features: Features, shares: SoftLabels, weights: Weights) -> None:
    _check_shape(features, kind_of(features).n_odd)
    _check_finite(features)
    count = len(features)
    if not count or len(shares) != count or weights.shape != (count,):
        raise ValueError(
            f"{count} rows of features came with {len(shares)} labels and weights of shape "
            f"{weights.shape}; one of each a row, and at least one row, is needed"
        )
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("weights must be positive and finite")
