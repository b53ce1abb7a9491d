"""Mirror-equivariant multinomial logistic regression.

With odd features o (a mirror negates them) and even features e (it leaves them), the scores are

    s_left = u.e + w.o + a,    s_center = v.e + b,    s_right = u.e - w.o + a

and p = softmax(s). A mirror swaps s_left and s_right and nothing else, whatever the weights: the
mirrored picture gets exactly the mirrored probabilities. |o| is among the even features, so that
a strong asymmetry can speak against `center` without saying which side.

The weights are those of scikit-learn's `LogisticRegression` fitted to every picture and its
mirror with the label swapped, one row for each share of a label. That penalised likelihood is
strictly convex in the weights and does not change under the mirror, so its minimum has the tied
form. Here it is looked for among tied weights alone, with the shares as they are, which takes a
sixth of the rows (a test compares the two).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from labeler.light_classifier.features import N_EVEN, N_FEATURES, N_ODD, Features, typical_features

LEFT, CENTER, RIGHT = 0, 1, 2
N_LABELS = 3
INVERSE_PENALTY = 0.1  # C of scikit-learn; chosen inside subjects 1-10 of Yale B
PRIOR_WEIGHT = 1.0  # in images, shared by the three labels
SMALLEST = 1e-300
N_TIED = N_EVEN + N_ODD  # weights on the even part and on |odd|
N_WEIGHTS = N_ODD + 2 * N_TIED + 2
NEGLIGIBLE = 1e-3  # a share of a label under this is not taught
MAX_ITERATIONS = 3000
TOLERANCE = 1e-6  # of the gradient, a picture

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
        return _softmax(_scores(*_split(features), self))

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
    start: MirrorLogistic | None = None,
) -> MirrorLogistic:
    """Fit to labelled pictures.

    The average rendered head of each label is added, together weighing `PRIOR_WEIGHT` images: no
    label gets probability 0 because nobody has given it yet.

    Parameters:
        features: (N, N_FEATURES), see `light_features`.
        labels: (N,) 0 left, 1 center, 2 right; or (N, 3) the share of each, rows that sum to 1.
        weights: (N,) positive; 1 for a unanimous label.
        inverse_penalty: C of scikit-learn; smaller is smoother.
        start: a model to begin from; changes the time and not the result.

    Raises:
        ValueError: nothing to learn from, or shapes and values that do not fit together.
    """
    shares = as_shares(labels)
    _check_training(features, shares, weights)
    task = _Task(
        *_split(np.concatenate([features, typical_features()])),
        np.concatenate([shares, np.eye(N_LABELS)]),
        # Twice: each picture stands for its mirror as well. The typical faces mirror each other.
        np.concatenate([2 * weights, np.full(N_LABELS, PRIOR_WEIGHT / N_LABELS)]),
        inverse_penalty,
    )
    first = np.zeros(N_WEIGHTS) if start is None else _flat(start)
    settings = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE, "ftol": 64 * np.finfo(float).eps}
    with threadpool_limits(1):  # threads only wait for each other on matrices as small as these
        found = minimize(task, first, jac=True, method="L-BFGS-B", options=settings)
    return _model(found.x)


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


class _Task:
    """The penalised mean loss of flat tied weights, with its gradient: (N_WEIGHTS,) -> both."""

    def __init__(
        self, odd: Weights, even: Weights, shares: SoftLabels, weights: Weights, c: float
    ) -> None:
        self.odd, self.even = odd, even
        self.taught = np.where(shares > NEGLIGIBLE, shares, 0) * weights[:, None]
        self.weight = self.taught.sum(axis=1)
        total = self.weight.sum()
        # Of (left, center, right) rows of weights: `odd` and `side` stand in two of them.
        sizes = np.repeat([2.0, 2.0, 1.0, 0.0], [N_ODD, N_TIED, N_TIED, 2])
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
    odd, side, center, biases = np.split(flat, [N_ODD, N_ODD + N_TIED, N_ODD + 2 * N_TIED])
    return MirrorLogistic(odd, side, center, float(biases[0]), float(biases[1]))


def _scores(odd: Weights, even: Weights, model: MirrorLogistic) -> Weights:
    asymmetry = odd @ model.odd
    side = even @ model.side + model.side_bias
    center = even @ model.center + model.center_bias
    return np.stack([side + asymmetry, center, side - asymmetry], axis=1)


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
