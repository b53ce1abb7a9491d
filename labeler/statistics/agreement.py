"""How far people agree beyond chance: Krippendorff's alpha, Cohen's kappa, confusion counts.

Sources: K. Krippendorff, *Computing Krippendorff's alpha-reliability*, 2011; J. Cohen,
*A coefficient of agreement for nominal scales*, Educational and Psychological Measurement 20, 1960.
"""

from __future__ import annotations

import math

import numpy as np

from labeler.statistics.vote_arrays import N_ANSWERS, N_LABELS, Floats, Integers, Votes


def krippendorff_alpha(patterns: Integers, counts: Integers | None = None) -> float:
    """Nominal alpha = 1 - D_o / D_e from vote counts per image.

    With n_c the votes for c on an image of m >= 2 votes, each image adds
    o_cc' = n_c (n_c' - [c = c']) / (m - 1) to the coincidences; D_o is their share off the
    diagonal, D_e what the totals would give by chance. 600,000 votes make only some dozens of
    different patterns, hence the multiplicities.

    Parameters:
        patterns: (P, K) number of votes for each of K values; leave out the column of
            `unsure` where it should count as missing.
        counts: (P,) how many images have the pattern; None: one each.

    Returns:
        1 for perfect agreement, 0 for chance; NaN where no image has two votes or only one value
        was ever given: then there is nothing that could disagree.

    Raises:
        ValueError: a negative number, or counts of another length.
    """
    if counts is None:
        counts = np.ones(len(patterns), dtype=int)
    if patterns.ndim != 2 or counts.shape != (len(patterns),):
        raise ValueError(f"patterns {patterns.shape} and counts {counts.shape} do not fit")
    if patterns.min(initial=0) < 0 or counts.min(initial=0) < 0:
        raise ValueError("patterns and counts must not be negative")
    votes = patterns.sum(axis=1)
    pairable = votes > 1
    patterns, counts, votes = patterns[pairable], counts[pairable], votes[pairable]
    agreeing = (patterns * (patterns - 1)).sum(axis=1) / (votes - 1)
    totals = (patterns * counts[:, None]).sum(axis=0).astype(np.float64)
    n = totals.sum()
    chance = n * n - (totals**2).sum()
    if chance == 0:
        return math.nan
    observed = n - (agreeing * counts).sum()
    return float(1 - (n - 1) * observed / chance)


def pairwise_kappa(votes: Votes, n_annotators: int, min_overlap: int = 10) -> Floats:
    """(A, A) Cohen's kappa of each pair of people over the images that both voted on.

    `unsure` is a fourth answer. The diagonal and pairs with fewer than `min_overlap` common
    images are NaN, and so are pairs who only ever gave one and the same answer.
    """
    tables = _joint_answers(votes, n_annotators)
    n = tables.sum(axis=(2, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = tables / n[:, :, None, None]
        observed = np.trace(shares, axis1=2, axis2=3)
        chance = (shares.sum(axis=3) * shares.sum(axis=2)).sum(axis=2)
        kappa: Floats = (observed - chance) / (1 - chance)
    kappa[(n < min_overlap) | (chance > 1 - 1e-12) | np.eye(n_annotators, dtype=bool)] = np.nan
    return kappa


def _joint_answers(votes: Votes, n_annotators: int) -> Integers:
    """(A, A, 4, 4) how often the first answered this and the second that on the same image."""
    order = np.argsort(votes.image, kind="stable")
    image, person, answer = votes.image[order], votes.annotator[order], votes.answer[order]
    size = n_annotators * n_annotators * N_ANSWERS * N_ANSWERS
    table = np.zeros(size, dtype=np.int64)
    most = int(np.bincount(image).max(initial=0))
    for step in range(1, most):  # the vote and the one `step` places further on the same image
        first = np.flatnonzero(image[step:] == image[:-step])
        pair = person[first] * n_annotators + person[first + step]
        cells = (pair * N_ANSWERS + answer[first]) * N_ANSWERS + answer[first + step]
        table += np.bincount(cells, minlength=size)
    joint = table.reshape(n_annotators, n_annotators, N_ANSWERS, N_ANSWERS)
    return joint + joint.transpose(1, 0, 3, 2)


def confusion_matrix(labels: Integers, answers: Integers) -> Integers:
    """(3, 4) counts of answers (columns) by label (rows); images with label -1 are left out.

    Raises:
        ValueError: columns of different length, or a number outside of its range.
    """
    if labels.shape != answers.shape:
        raise ValueError(f"{len(labels)} labels, {len(answers)} answers")
    if not (np.isin(labels, range(-1, N_LABELS)).all() and np.isin(answers, range(4)).all()):
        raise ValueError("labels are -1 to 2, answers 0 to 3")
    known = labels >= 0
    cells = labels[known] * N_ANSWERS + answers[known]
    size = N_LABELS * N_ANSWERS
    return np.bincount(cells, minlength=size).reshape(N_LABELS, N_ANSWERS)
