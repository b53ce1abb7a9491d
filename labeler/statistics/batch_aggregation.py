"""Batch consensus: from all votes at once to P(label) of each image, by a named method.

`METHODS` maps a name to a function of (votes, n_images, n_annotators, prior); further methods
are added to it where their libraries may be imported. **A tie is contested, never a label**, and
never the alphabetically first one.
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
# Stamped on each result; raise the number when the rule changes. That of `skills` is
# `statistics.dawid_skene.METHOD`. A stamp names one rule: `consensus.majority` has a quorum,
# `plurality` none.
PLURALITY = "plurality-1"
MODEL_AND_VOTES = "model-and-votes-1"
_SMALLEST_WEIGHT = 1e-4  # nobody counts for nothing, or for less


@dataclass(frozen=True, slots=True)
class Aggregation:
    """The result of one method.

    Parameters:
        posteriors: (N, 3) P(left), P(center), P(right); a third each where nothing is known.
        labels: (N,) the label of each image, -1 (`CONTESTED`) where two share the top or
            nobody named one.
        method: the name and version that go with each result.
    """

    posteriors: Floats
    labels: Integers
    method: str


class Method(Protocol):
    """A way to add up votes; prior is (N, 3) model probabilities, rows of NaN without, or None."""

    def __call__(
        self, votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
    ) -> Aggregation: ...


def count_answers(votes: Votes, n_images: int) -> Integers:
    """(N, 4) how many votes each answer has."""
    cells = votes.image * N_ANSWERS + votes.answer
    return np.bincount(cells, minlength=n_images * N_ANSWERS).reshape(n_images, N_ANSWERS)


def likeliest_labels(scores: Floats, tolerance: float = 1e-9) -> Integers:
    """(N,) column of the highest score, `CONTESTED` where the runner-up is within the tolerance."""
    ranked = np.sort(scores, axis=1)
    labels: Integers = np.where(
        ranked[:, -1] - ranked[:, -2] > tolerance, scores.argmax(axis=1), CONTESTED
    )
    return labels


def plurality(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None = None
) -> Aggregation:
    """**The answer with most votes**, each person alike; the prior is not used.

    The posterior is the share of the label among the votes; an unsure vote gives a third to each.
    Unlike `labeler.consensus.majority.majority` it needs no number of votes. As there, unsure votes
    can outvote a label.
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
    """**The model as one more annotator**, weighted by how often it agrees: CROWDLAB's estimate.

    p_i = (w_M m_i + sum_j w_j e_ij) / (w_M + sum_j w_j) over the people j who voted on i, with
    e_ij = P on the answer of j and (1 - P) / 2 on the others, P the mean agreement of a vote with
    the other votes on the image,

    1. s_j = agreement of j with the other votes on the same images, A_M = agreement of the
       model's label with the majority, where at least two voted;
    2. A_0 = agreement of the commonest label with that majority: what is had without looking;
    3. w_j = 1 - (1 - s_j) / (1 - A_0), w_M = (1 - (1 - A_M) / (1 - A_0)) sqrt(mean votes an image),
       both at least 1e-4.

    Unsure votes are no evidence. Rows of NaN in the prior go by the votes alone.

    Raises:
        ValueError: without a prior: use `plurality` or `skills`.

    Source: H. W. Goh, U. Tkachenko, J. Mueller, *CROWDLAB: Supervised learning to infer consensus
    labels and quality scores for data with multiple annotators*, 2022, arXiv 2210.06812, section 3.
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
    """(A,) w_j and w_M; a person without overlap gets the mean agreement."""
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
    """**Dawid-Skene's EM with confusions shrunk to the class average**: `fit_skills`."""
    posteriors = fit_skills(votes, n_images, n_annotators, prior=prior).posteriors
    return Aggregation(posteriors, likeliest_labels(posteriors), SKILLS)


def _normalised(totals: Floats) -> Floats:
    sums = totals.sum(axis=1, keepdims=True)
    third = np.full_like(totals, 1 / N_LABELS)
    return np.divide(totals, sums, out=third, where=sums > 0)


METHODS: dict[str, Method] = {
    "majority": plurality,
    "model-and-votes": model_and_votes,
    "skills": skills,
}
