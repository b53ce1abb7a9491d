"""A simulated class: its people, what they answer, and a simulated model.

The benchmarks compare stopping rules with it, and the form of a campaign forecasts its cost.

**People**, 40 in all: 24 good ones (86-94 % right), 6 careless ones (65-75 %), and 4 who answer
center for 43 % of the images that are lit from a side. Three more are spammers, who answer at
random, and three press one side 80 % of the time. Two percent of the answers of most are *unsure*.

**Model**: calibrated. Its probability for its label is the chance that the label is right. At an
accuracy of 97.4 %, 85 % of the images are easy (99.2-100 %), the others have 70-100 %.

Answers are independent, given the label and the person: no image is harder than another one for
everybody, and nobody copies a suggestion.
"""

from __future__ import annotations

import numpy as np

from labeler.statistics.vote_arrays import Floats, Integers

KINDS = {"good": 24, "careless": 6, "centrist": 4, "spammer": 3, "one-sided": 3}
USELESS = ("spammer", "one-sided")  # their answers do not depend on the image
LABEL_SHARES = (0.3, 0.4, 0.3)
_EASY, _HARD = 0.996, 0.85  # mean probability of the model's label, of easy and of other images
MODEL_ACCURACY = 0.85 * _EASY + 0.15 * _HARD  # of the usual model: 97.4 %
LOWEST_ACCURACY = 1 / 3  # of a model that guesses
_MOST = 0.999  # no label of the model is more probable


def draw_confusion(kind: str, rng: np.random.Generator) -> Floats:
    """Draw how a person of this kind answers: (3, 4) P(answer | label)."""
    if kind == "spammer":
        return np.tile([0.33, 0.33, 0.33, 0.01], (3, 1))
    if kind == "one-sided":
        rows = np.tile([0.80, 0.10, 0.08, 0.02], (3, 1))
        return rows if rng.random() < 0.5 else rows[:, [2, 1, 0, 3]]
    if kind == "centrist":
        sided = np.array([0.53, 0.43, 0.02, 0.02])
        return np.stack([sided, [0.03, 0.92, 0.03, 0.02], sided[[2, 1, 0, 3]]])
    right = rng.uniform(0.86, 0.94) if kind == "good" else rng.uniform(0.65, 0.75)
    wrong = 0.98 - right
    row = np.array([right, 0.7 * wrong, 0.3 * wrong, 0.02])
    return np.stack([row, [wrong / 2, right, wrong / 2, 0.02], row[[2, 1, 0, 3]]])


def draw_answers(confusions: Floats, rng: np.random.Generator) -> Integers:
    """Draw an answer, 0 to 3, from each row of probabilities: (..., 4) becomes (...)."""
    draws = rng.random((*confusions.shape[:-1], 1))
    return np.minimum((draws > confusions.cumsum(axis=-1)).sum(axis=-1), 3)


def draw_proposals(truth: Integers, accuracy: float, rng: np.random.Generator) -> Floats:
    """Draw the probabilities that a calibrated model gives to N images.

    Parameters:
        truth: (N,) labels, 0 to 2.
        accuracy: the share of the images on which the model is right, `LOWEST_ACCURACY` to 0.996.

    Returns:
        (N, 3) probabilities.
    """
    n = len(truth)
    is_easy = rng.random(n) < max(0.0, (accuracy - _HARD) / (_EASY - _HARD))
    mean = min(accuracy, _HARD)  # of the images that are not easy
    lowest = max(2 * mean - 1, LOWEST_ACCURACY)
    highest = 2 * mean - lowest
    doubt = np.where(is_easy, 2 * (1 - _EASY), highest - lowest) * rng.random(n)
    top = np.minimum(np.where(is_easy, 1.0, highest) - doubt, _MOST)
    wrong = (truth + rng.integers(1, 3, n)) % 3
    label = np.where(rng.random(n) < top, truth, wrong)
    proposals = np.repeat((1 - top)[:, None] / 2, 3, axis=1)
    proposals[np.arange(n), label] = top
    return proposals
