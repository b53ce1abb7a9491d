"""Agreement beyond chance: Krippendorff's alpha, Cohen's kappa, and confusion counts."""

from __future__ import annotations

import math

import numpy as np

from labeler.statistics.vote_arrays import N_ANSWERS, N_LABELS, Floats, Integers, Votes


def krippendorff_alpha(patterns: Integers, counts: Integers | None = None) -> float:
    """**Krippendorff's alpha** for nominal values, from vote counts per image.

    alpha = 1 - D_o / D_e, with the observed disagreement D_o and the one expected by chance, D_e:

    1. An image with m >= 2 votes, n_c of them for value c, adds
       o_cc' = n_c (n_c' - [c = c']) / (m - 1) to the coincidences of c and c'.
    2. D_o is the share of coincidences with c != c'.
    3. D_e is the share that the totals of the values give if the votes are paired at random.

    Images with the same counts are given once, with their number. 600,000 votes have only some
    dozens of different counts.

    Parameters:
        patterns: (P, K) number of votes for each of K values. Leave out the column of `unsure` to
            treat it as missing.
        counts: (P,) number of images with each pattern; None: one image each.

    Returns:
        1 for perfect agreement, 0 for chance. NaN if no image has two votes, or if only one value
        was ever given, because then nothing could disagree.

    Raises:
        ValueError: a number is negative, or `counts` has another length.

    Reference:
        K. Krippendorff, *Computing Krippendorff's alpha-reliability*, 2011.
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
    """**Cohen's kappa** of each pair of people, over the images that both voted on.

    kappa = (p_o - p_e) / (1 - p_e). p_o is the share of equal answers. p_e is the share expected
    from how often each of the two gives each answer. `unsure` is a fourth answer.

    Parameters:
        votes: at most one vote per person and image.
        n_annotators: A.
        min_overlap: the smallest number of common images for a kappa.

    Returns:
        (A, A). The diagonal is NaN, and so are pairs with too few common images and pairs who
        always gave the same single answer.

    Reference:
        J. Cohen, *A coefficient of agreement for nominal scales*, Educational and Psychological
        Measurement 20(1), 1960, https://doi.org/10.1177/001316446002000104.
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
    """Count answers to the same image by pair: (first person, second person, answer, answer)."""
    order = np.argsort(votes.image, kind="stable")
    image, person, answer = votes.image[order], votes.annotator[order], votes.answer[order]
    size = n_annotators * n_annotators * N_ANSWERS * N_ANSWERS
    table = np.zeros(size, dtype=np.int64)
    most = int(np.bincount(image).max(initial=0))
    for step in range(1, most):  # pairs of votes `step` places apart
        first = np.flatnonzero(image[step:] == image[:-step])
        pair = person[first] * n_annotators + person[first + step]
        cells = (pair * N_ANSWERS + answer[first]) * N_ANSWERS + answer[first + step]
        table += np.bincount(cells, minlength=size)
    joint = table.reshape(n_annotators, n_annotators, N_ANSWERS, N_ANSWERS)
    return joint + joint.transpose(1, 0, 3, 2)


def confusion_matrix(labels: Integers, answers: Integers) -> Integers:
    """Count answers by label.

    Parameters:
        labels: (V,) label of the image of each vote, 0 to 2; votes with -1 are left out.
        answers: (V,) the answer of each vote, 0 to 3.

    Returns:
        (3, 4) counts, labels as rows and answers as columns.

    Raises:
        ValueError: the lengths differ, or a number is outside of its range.
    """
    if labels.shape != answers.shape:
        raise ValueError(f"{len(labels)} labels, {len(answers)} answers")
    if not (np.isin(labels, range(-1, N_LABELS)).all() and np.isin(answers, range(4)).all()):
        raise ValueError("labels are -1 to 2, answers 0 to 3")
    known = labels >= 0
    cells = labels[known] * N_ANSWERS + answers[known]
    size = N_LABELS * N_ANSWERS
    return np.bincount(cells, minlength=size).reshape(N_LABELS, N_ANSWERS)
