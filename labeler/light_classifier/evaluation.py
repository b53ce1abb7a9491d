"""How good the probabilities are, measured on people the model has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.model_selection import GroupKFold

from labeler.light_classifier.features import Features
from labeler.light_classifier.mirror_logistic import (
    N_LABELS,
    Labels,
    Probabilities,
    SoftLabels,
    Weights,
    as_shares,
)
from labeler.light_classifier.semi_supervised import fit_with_unlabeled

Groups = npt.NDArray[np.int64]

FOLDS = 5
CONFIDENCE_BINS = 10
SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of N predictions. `confusion[i][j]`: label i was given, j proposed."""

    n: int
    n_per_label: list[int]
    accuracy: float
    accuracy_of_commonest_label: float
    macro_f1: float
    log_loss: float
    ece: float
    confusion: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain numbers and lists."""
        return asdict(self)


def evaluate(probabilities: Probabilities, labels: Labels) -> Evaluation:
    """Compare (N, 3) probabilities with (N,) labels, N >= 1.

    `macro_f1` is the mean over the labels that occur among the given or the proposed ones;
    `log_loss` in nats; `ece`: see `expected_calibration_error`.
    """
    proposed = probabilities.argmax(axis=1)
    counts = np.bincount(labels, minlength=N_LABELS)
    of_given = probabilities[np.arange(len(labels)), labels]
    return Evaluation(
        n=len(labels),
        n_per_label=counts.tolist(),
        accuracy=float((proposed == labels).mean()),
        accuracy_of_commonest_label=float(counts.max() / len(labels)),
        macro_f1=float(f1_score(labels, proposed, average="macro")),
        log_loss=float(-np.log(np.maximum(of_given, SMALLEST_PROBABILITY)).mean()),
        ece=expected_calibration_error(probabilities, labels),
        confusion=confusion_matrix(labels, proposed, labels=range(N_LABELS)).tolist(),
    )


def expected_calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Mean of |accuracy - confidence| over ten bins of confidence, weighted by their counts.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
    gaps = np.bincount(bins, right - confidence, minlength=CONFIDENCE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def out_of_fold(
    features: Features, labels: Labels | SoftLabels, weights: Weights, groups: Groups,
    unlabeled: Features | None = None,
) -> Probabilities | None:  # fmt: skip
    """(N, 3) probabilities, each from a model that saw no label of the same group.

    Parameters:
        groups: (N,) the person on each picture; a number of its own where unknown.
        unlabeled: pictures without a label, as in `fit_with_unlabeled`, seen by every fold.

    Returns:
        None where all pictures are of one group: nothing can be held out.
    """
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        return None
    shares = as_shares(labels)
    result = np.empty(shares.shape)
    for train, test in GroupKFold(folds, shuffle=True, random_state=0).split(shares, groups=groups):
        model = fit_with_unlabeled(features[train], shares[train], weights[train], unlabeled)
        result[test] = model.predict(features[test])
    return result
