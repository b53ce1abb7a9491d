"""The whole from labelled features to a calibrated model and its figures."""

from __future__ import annotations

from dataclasses import dataclass

from labeler.light_classifier.calibration import fit_temperature, threshold_for_precision
from labeler.light_classifier.evaluation import Groups, out_of_fold
from labeler.light_classifier.features import Features
from labeler.light_classifier.mirror_logistic import (
    Labels,
    MirrorLogistic,
    Probabilities,
    SoftLabels,
    Weights,
    as_shares,
)
from labeler.light_classifier.semi_supervised import fit_with_unlabeled, sharpen

METHOD = "mirror-logistic-2"


@dataclass(frozen=True, slots=True)
class Trained:
    """A calibrated model. `held_out` (N, 3): calibrated probabilities of the labelled pictures,
    each from a model that saw no picture of its group; None where nothing can be held out, and
    then `temperature` is 1."""

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
) -> Trained:
    """Fit to labelled and unlabelled pictures, calibrated on pictures held out.

    Parameters:
        features: (N, N_FEATURES).
        labels: (N,) or, from the consensus posterior, (N, 3).
        weights: (N,) positive, for example the skill of those who voted.
        groups: (N,) the person on each picture; a number of its own where unknown.
        unlabeled: pictures without a label, as in `fit_with_unlabeled`.
        likelihoods: (N, 3) of the votes, as in `fit_temperature`.

    Raises:
        ValueError: nothing to learn from, or shapes and values that do not fit together.
    """
    shares = as_shares(labels)
    model = fit_with_unlabeled(features, shares, weights, unlabeled)
    held_out = out_of_fold(features, shares, weights, groups, unlabeled)
    if held_out is None:
        return Trained(model, 1.0, None)
    temperature = fit_temperature(held_out, shares, weights, likelihoods)
    return Trained(model.tempered(temperature), temperature, sharpen(held_out, temperature))


def threshold_of(trained: Trained, labels: Labels, precision: float) -> float | None:
    """`threshold_for_precision` on the pictures held out; None where there are none."""
    if trained.held_out is None:
        return None
    return threshold_for_precision(trained.held_out, labels, precision)
