"""Train a calibrated model from the features of labelled images."""

from __future__ import annotations

from dataclasses import dataclass

from labeler.light_classifier.calibration import fit_temperature, threshold_for_precision
from labeler.light_classifier.evaluation import Groups, out_of_fold
from labeler.light_classifier.features import CELLS, CROP, FACE, Features
from labeler.light_classifier.mirror_logistic import (
    Labels,
    MirrorLogistic,
    Probabilities,
    SoftLabels,
    Weights,
    as_soft_labels,
)
from labeler.light_classifier.semi_supervised import fit_with_unlabeled, sharpen

METHODS = {"mirror-logistic-2": CROP, "mirror-logistic-3": CELLS, "mirror-logistic-4": FACE}
"""The kind of features by the method of a run. New runs have the last one."""
METHOD = "mirror-logistic-4"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A calibrated model.

    Attributes:
        model: the model, already calibrated.
        temperature: with which it was calibrated.
        held_out: (N, 3) calibrated probabilities of the labelled images, each from a model that
            was trained without its group. None if all images have the same group; then the
            temperature is 1.
    """

    model: MirrorLogistic
    temperature: float
    held_out: Probabilities | None


def train(
    features: Features,
    labels: Labels | SoftLabels,
    weights: Weights,
    groups: Groups,
    unlabeled: Features | None = None,
    likelihoods: SoftLabels | None = None,
) -> TrainedModel:
    """Fit a model to labelled and unlabelled images, and calibrate it by cross-validation.

    Parameters:
        features: (N, 2 K) of the labelled images.
        labels: (N,) labels, or (N, 3) soft labels such as the probabilities of the consensus.
        weights: (N,) positive.
        groups: (N,) the person on each image; a number of its own if unknown.
        unlabeled: images without a label, as for `fit_with_unlabeled`.
        likelihoods: (N, 3) of the votes, as for `fit_temperature`.

    Raises:
        ValueError: there is nothing to learn from, or shapes or values are wrong.
    """
    shares = as_soft_labels(labels)
    model = fit_with_unlabeled(features, shares, weights, unlabeled)
    held_out = out_of_fold(features, shares, weights, groups, unlabeled)
    if held_out is None:
        return TrainedModel(model, 1.0, None)
    temperature = fit_temperature(held_out, shares, weights, likelihoods)
    return TrainedModel(model.tempered(temperature), temperature, sharpen(held_out, temperature))


def threshold_of(trained: TrainedModel, labels: Labels, precision: float) -> float | None:
    """Return `threshold_for_precision` of the images held out, or None without any."""
    if trained.held_out is None:
        return None
    return threshold_for_precision(trained.held_out, labels, precision)
