"""Measures of the probabilities, and cross-validation over people."""

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
    as_soft_labels,
)
from labeler.light_classifier.semi_supervised import fit_with_unlabeled

Groups = npt.NDArray[np.int64]

FOLDS = 5
CONFIDENCE_BINS = 10
SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures of N predictions. `confusion[i][j]`: how often label i was predicted as j."""

    n: int
    n_per_label: list[int]
    accuracy: float
    accuracy_of_commonest_label: float
    macro_f1: float
    log_loss: float
    ece: float
    confusion: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        """Return the measures as JSON values."""
        return asdict(self)


def evaluate(probabilities: Probabilities, labels: Labels) -> Evaluation:
    """Compare probabilities with true labels.

    `macro_f1` is the mean over the labels that occur or are predicted. `log_loss` is in nats.
    `ece` is the `expected_calibration_error`.

    Parameters:
        probabilities: (N, 3), N >= 1.
        labels: (N,).
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
    """**Expected calibration error**: the mean of |accuracy - confidence| over ten bins.

    The bins have equal widths of confidence and are weighted by their numbers of predictions.

    Reference:
        C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, *On calibration of modern neural networks*,
        ICML 2017, equation 3.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CONFIDENCE_BINS).astype(int), CONFIDENCE_BINS - 1)
    gaps = np.bincount(bins, right - confidence, minlength=CONFIDENCE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def out_of_fold(
    features: Features,
    labels: Labels | SoftLabels,
    weights: Weights,
    groups: Groups,
    unlabeled: Features | None = None,
) -> Probabilities | None:
    """Predict each image by a model trained without the group of the image (cross-validation).

    Parameters:
        features, labels, weights: as for `fit`.
        groups: (N,) the person on each image; a number of its own if unknown.
        unlabeled: images without a label for `fit_with_unlabeled`; all folds use them.

    Returns:
        (N, 3) probabilities; None if all images have the same group.
    """
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        return None
    shares = as_soft_labels(labels)
    result = np.empty(shares.shape)
    for train, test in GroupKFold(folds, shuffle=True, random_state=0).split(shares, groups=groups):
        model = fit_with_unlabeled(features[train], shares[train], weights[train], unlabeled)
        result[test] = model.predict(features[test])
    return result
