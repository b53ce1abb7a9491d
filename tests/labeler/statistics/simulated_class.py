"""Simulated classes of annotators whose skills are known."""

from __future__ import annotations

import numpy as np

from labeler.statistics.vote_arrays import Votes

CONFUSIONS = {
    "good": [[0.90, 0.06, 0.02, 0.02], [0.04, 0.92, 0.04, 0.0], [0.02, 0.06, 0.90, 0.02]],
    "lopsided but good": [[0.85, 0.15, 0, 0], [0.05, 0.9, 0.05, 0], [0, 0.15, 0.85, 0]],
    "careless": [[0.70, 0.18, 0.08, 0.04], [0.13, 0.70, 0.13, 0.04], [0.08, 0.18, 0.70, 0.04]],
    "centrist": [[0.45, 0.52, 0.02, 0.01], [0.02, 0.95, 0.02, 0.01], [0.02, 0.52, 0.45, 0.01]],
    "spammer": [[0.33, 0.33, 0.33, 0.01]] * 3,
    "one-sided": [[0.80, 0.10, 0.08, 0.02]] * 3,
    "one key": [[0.0, 1.0, 0.0, 0.0]] * 3,
    "swapped": [[0.03, 0.07, 0.90, 0.0], [0.05, 0.90, 0.05, 0.0], [0.90, 0.07, 0.03, 0.0]],
}


def draw(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a column for each row of probabilities."""
    steps = probabilities.cumsum(axis=-1)
    columns = (rng.random((*steps.shape[:-1], 1)) > steps).sum(axis=-1)
    return np.minimum(columns, probabilities.shape[-1] - 1)


def draw_votes(
    kinds: list[str], n_images: int, per_image: int, seed: int
) -> tuple[Votes, np.ndarray]:
    """Draw blind votes of `per_image` people on each image.

    Returns:
        The votes, and the true labels (N,).
    """
    rng = np.random.default_rng(seed)
    truth = draw(np.tile([0.3, 0.4, 0.3], (n_images, 1)), rng)
    people = rng.permuted(np.tile(np.arange(len(kinds)), (n_images, 1)), axis=1)[:, :per_image]
    image, annotator = np.repeat(np.arange(n_images), per_image), people.ravel()
    confusions = np.array([CONFUSIONS[kind] for kind in kinds])
    return Votes(image, annotator, draw(confusions[annotator, truth[image]], rng)), truth
