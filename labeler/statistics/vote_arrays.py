"""Votes as arrays, for computations over all of them at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeler.labels import ANSWERS
from rotation.data.labels import LABELS

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer]

N_LABELS, N_ANSWERS = len(LABELS), len(ANSWERS)
MIRRORED_ANSWERS = np.array([2, 1, 0, 3])


@dataclass(frozen=True, slots=True)
class Votes:
    """V current votes as columns.

    Parameters:
        image: (V,) index of the image, from 0.
        annotator: (V,) index of the person, from 0.
        answer: (V,) index in `ANSWERS`: 0 left, 1 center, 2 right, 3 unsure.
        shown: (V,) label that was suggested, -1 for none. None: all votes were blind.

    Raises:
        ValueError: the columns differ in length, or an index is outside of its range.
    """

    image: Integers
    annotator: Integers
    answer: Integers
    shown: Integers | None = None

    def __post_init__(self) -> None:
        columns = [self.image, self.annotator, self.answer, self.shown_labels]
        if len({column.shape for column in columns}) > 1 or self.image.ndim != 1:
            raise ValueError("the columns of the votes differ in length")
        ranges = [(0, None), (0, None), (0, N_ANSWERS), (-1, N_LABELS)]
        names = ("image", "annotator", "answer", "shown")
        for name, column, (low, end) in zip(names, columns, ranges, strict=True):
            if len(column) and (column.min() < low or (end is not None and column.max() >= end)):
                raise ValueError(f"{name} has an index outside of its range")

    @property
    def shown_labels(self) -> Integers:
        """Return `shown` (V,), with -1 everywhere if all votes were blind."""
        return np.full(len(self.image), -1) if self.shown is None else self.shown

    def mirrored(self) -> Votes:
        """Return the votes with left and right exchanged."""
        shown = self.shown_labels
        answer = MIRRORED_ANSWERS[self.answer]
        return Votes(self.image, self.annotator, answer, np.where(shown < 0, -1, 2 - shown))


def check_prior(prior: Floats, n_images: int) -> None:
    """Check that each row of a prior (N, 3) sums to 1, or is NaN for an image without a proposal.

    Raises:
        ValueError: the shape or a row is wrong. The message names the first wrong row.
    """
    if prior.shape != (n_images, N_LABELS):
        raise ValueError(f"the prior has shape {prior.shape}, expected {(n_images, N_LABELS)}")
    rows = np.isnan(prior).all(axis=1)
    rows |= (prior >= 0).all(axis=1) & (np.abs(prior.sum(axis=1) - 1) < 1e-4)
    if not rows.all():
        first = int(np.flatnonzero(~rows)[0])
        raise ValueError(f"row {first} of the prior is {prior[first]}, not probabilities")
