"""Batch consensus: label probabilities of all images from all votes, by a method of choice.

`METHODS` maps names to functions. `exports.batch_consensus` adds methods that need crowd-kit.

**Ties.** An image on which two labels tie is contested. It never gets the first label of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from labeler.statistics.dawid_skene import METHOD as SKILLS
from labeler.statistics.dawid_skene import fit_skills
from labeler.statistics.vote_arrays import N_ANSWERS, N_LABELS, Floats, Integers, Votes, check_prior

Booleans = npt.NDArray[np.bool_]

CONTESTED = -1
# Stored with each result; raise the number when the method changes. `skills` stores
# `dawid_skene.METHOD`. `plurality` is not `consensus.majority`, which needs a number of votes.
PLURALITY = "plurality-1"
MODEL_AND_VOTES = "model-and-votes-1"
_SMALLEST_WEIGHT = 1e-4  # nobody has a weight of 0 or less


@dataclass(frozen=True, slots=True)
class Aggregation:
    """The result of one method.

    Parameters:
        posteriors: (N, 3) P(left), P(center), P(right); 1/3 each if nothing is known.
        labels: (N,) the label of each image. -1 (`CONTESTED`) if two labels tie for the first
            place, or if nobody named a label.
        method: name and version of the method.
    """

    posteriors: Floats
    labels: Integers
    method: str


class Method(Protocol):
    """A function from all votes to labels.

    Its parameters are V votes, N, A, and the probabilities of a model (N, 3). A row of NaN is an
    image without a proposal.
    """

    def __call__(
        self, votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
    ) -> Aggregation: ...


def count_answers(votes: Votes, n_images: int) -> Integers:
    """Count the votes by image and answer (N, 4)."""
    cells = votes.image * N_ANSWERS + votes.answer
    return np.bincount(cells, minlength=n_images * N_ANSWERS).reshape(n_images, N_ANSWERS)


def likeliest_labels(scores: Floats, tolerance: float = 1e-9) -> Integers:
    """Return the column of the highest score of each row (N,).

    A row is `CONTESTED` if the second score is within `tolerance` of the first.
    """
    ranked = np.sort(scores, axis=1)
    labels: Integers = np.where(
        ranked[:, -1] - ranked[:, -2] > tolerance, scores.argmax(axis=1), CONTESTED
    )
    return labels


def plurality(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
) -> Aggregation:
    """**The answer with the most votes.** All people have the same weight; the prior is not used.

    P(label) is its share of the votes. An unsure vote counts a third for each label. An image on
    which most people are unsure is contested. Unlike `labeler.consensus.majority.majority` one
    vote is enough.
    """
    counts = count_answers(votes, n_images)
    labels = likeliest_labels(counts.astype(np.float64))
    labels = np.where(labels < N_LABELS, labels, CONTESTED)
    shared = counts[:, :N_LABELS] + counts[:, N_LABELS:] / N_LABELS
    posteriors = _normalised(shared)
    return Aggregation(posteriors, labels, PLURALITY)


def model_and_votes(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
) -> Aggregation:
    """**CROWDLAB**: the model is one more annotator, weighted by how often it agrees.

    With the model's probabilities m_i, and the people j who voted on image i,

        p_i = (w_M m_i + sum_j w_j e_ij) / (w_M + sum_j w_j).

    e_ij is P for the answer of j and (1 - P) / 2 for the two other labels.

    1. P is the mean agreement of a vote with the other votes on the same image.
    2. s_j is the mean agreement of the votes of j with the other votes on the same images.
    3. Over the images with at least two votes, A_M is the agreement of the model's label with the
       majority, and A_0 that of the most common label. A_0 needs no look at the image.
    4. w_j = 1 - (1 - s_j) / (1 - A_0), at least 1e-4.
       w_M = (1 - (1 - A_M) / (1 - A_0)) sqrt(mean number of votes per image), at least 1e-4.

    Unsure votes are not used. Images without a proposal depend on the votes alone.

    Raises:
        ValueError: there is no prior. Use `plurality` or `skills`.

    Reference:
        H. W. Goh, U. Tkachenko, J. Mueller, *CROWDLAB: Supervised learning to infer consensus
        labels and quality scores for data with multiple annotators*, 2022, arXiv 2210.06812,
        section 3.
    """
    if prior is None:
        raise ValueError("model-and-votes needs the model's probabilities; use majority or skills")
    check_prior(prior, n_images)
    named = votes.answer < N_LABELS
    image, person, answer = votes.image[named], votes.annotator[named], votes.answer[named]
    counts = np.bincount(image * N_LABELS + answer, minlength=n_images * N_LABELS)
    counts = counts.reshape(n_images, N_LABELS)
    n_votes = counts.sum(axis=1)
    others = np.maximum(n_votes[image] - 1, 1)
    agreement = (counts[image, answer] - 1) / others
    several: Booleans = n_votes[image] > 1
    mean_agreement = float(agreement[several].mean()) if several.any() else 0.8
    person_weight, model_weight = _weights(counts, prior, person, agreement, several, n_annotators)
    evidence = np.full((len(image), N_LABELS), (1 - mean_agreement) / 2)
    evidence[np.arange(len(image)), answer] = mean_agreement
    evidence *= person_weight[person][:, None]
    known: Booleans = ~np.isnan(prior[:, 0])
    totals = np.where(known[:, None], model_weight * np.nan_to_num(prior), 0.0)
    for label in range(N_LABELS):
        totals[:, label] += np.bincount(image, evidence[:, label], minlength=n_images)
    posteriors = _normalised(totals)
    return Aggregation(posteriors, likeliest_labels(posteriors), MODEL_AND_VOTES)


def _weights(
    counts: Integers,
    prior: Floats,
    person: Integers,
    agreement: Floats,
    several: Booleans,
    n_annotators: int,
) -> tuple[Floats, float]:
    """Return w_j (A,) and w_M.

    A person who shares no image with others gets the mean agreement as s_j.
    """
    majority_labels = likeliest_labels(counts.astype(np.float64))
    decided = (counts.sum(axis=1) > 1) & (majority_labels >= 0) & ~np.isnan(prior).any(axis=1)
    truth = majority_labels[decided]
    shares = np.bincount(truth, minlength=N_LABELS) / max(len(truth), 1)
    by_chance = min(float(shares.max()), 0.99) if len(truth) else 1 / N_LABELS
    judged, agreement = person[several], agreement[several]
    n_several = np.bincount(judged, minlength=n_annotators)
    sums = np.bincount(judged, agreement, minlength=n_annotators)
    mean = sums.sum() / n_several.sum() if n_several.any() else 0.8
    agreements = np.where(n_several > 0, sums / np.maximum(n_several, 1), mean)
    person_weight = np.maximum(1 - (1 - agreements) / (1 - by_chance), _SMALLEST_WEIGHT)
    model = float((prior[decided].argmax(axis=1) == truth).mean()) if len(truth) else mean
    per_image = counts.sum() / max((counts.sum(axis=1) > 0).sum(), 1)
    model_weight = (1 - (1 - model) / (1 - by_chance)) * float(np.sqrt(per_image))
    return person_weight, max(model_weight, _SMALLEST_WEIGHT)


def skills(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
) -> Aggregation:
    """**Dawid-Skene with shrinkage**; see `dawid_skene.fit_skills`."""
    posteriors = fit_skills(votes, n_images, n_annotators, prior=prior).posteriors
    return Aggregation(posteriors, likeliest_labels(posteriors), SKILLS)


def _normalised(totals: Floats) -> Floats:
    """Scale rows to sum 1. A row of zeros becomes 1/3 each."""
    sums = totals.sum(axis=1, keepdims=True)
    third = np.full_like(totals, 1 / N_LABELS)
    return np.divide(totals, sums, out=third, where=sums > 0)


METHODS: dict[str, Method] = {
    "majority": plurality,
    "model-and-votes": model_and_votes,
    "skills": skills,
}
