"""**Dawid-Skene with shrinkage**: how each person answers, estimated from all votes at once.

The plain method gives each person 9 free numbers. With few votes per person they fit noise, and
the result is worse than the majority's. Here each row of a person's confusion matrix is shrunk
towards the class average, as if `kappa` votes of the average person were added to it.

Notation: q_i(t) is the probability that image i has label t. C_a(t, k) is the probability that
person a answers k to an image of label t. f_a is the copy rate of person a: the probability that
the person repeats a suggestion without looking. D is `DEFAULT_CONFUSION`.

**Algorithm** (expectation maximisation):

1. Start with C_a = D for everybody.
2. E step: compute the label probabilities of each image from its votes v,
   q_i(t) = pi_i(t) * prod_v L_v(t) / sum over t, with
   L_v(t) = f_a [answer = shown] + (1 - f_a) C_a(t, answer).
3. M step: compute the parameters from the label probabilities,
   C(t, k)   = (sum_a n_a(t, k) + s D(t, k)) / (sum_a n_a(t) + s),
   C_a(t, k) = (n_a(t, k) + kappa C(t, k)) / (n_a(t) + kappa),
   f_a       = (m_a + kappa_f f) / (shown_a + kappa_f).
4. Repeat 2 and 3 until no confusion changes by more than `tolerance`.

In step 3, n_a(t, k) is the expected number of answers k that person a gave to images of label t
without copying. m_a is the expected number of copied suggestions among `shown_a` votes. f without
an index is the average copy rate of the class.

**Prior.** pi_i is the model's probability for image i. Without one it is the smoothed share of
the labels among all votes. EM does not fit that share, because it would drift together with C
when few images have several votes.

**Gold.** The row of a gold image is fixed at its label.

**Single votes.** A single vote on an image without prior or gold says nothing about the voter,
because only the vote itself could confirm it. Such votes are left out of n_a. Otherwise the
confusions would drift when few images have several votes.

**Suggestions.** Suggestions are usually right, so people who look for themselves agree with them
too. Where an image has no prior of its own, EM also estimates P(suggestion | label). Without it,
all agreement would count as copying. The returned label probabilities do not use it: without
`prior` they depend on the votes alone.

**Cost.** Votes enter only as (person, answer, shown). Likelihoods and expected counts are tables
with A x 4 x 4 rows, so that an iteration reads and writes each vote once.

References:
    A. P. Dawid, A. M. Skene, *Maximum likelihood estimation of observer error-rates using the EM
    algorithm*, Applied Statistics 28(1), 1979, https://doi.org/10.2307/2346806.

    V. C. Raykar et al., *Learning from crowds*, JMLR 11, 2010 (Dirichlet priors and gold). The
    mixture with copied answers is this project's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeler.statistics.posterior import DEFAULT_CONFUSION, SMALLEST
from labeler.statistics.vote_arrays import N_ANSWERS, N_LABELS, Floats, Integers, Votes, check_prior

METHOD = "skills-1"  # stored with each result; raise the number when the method changes
# Pseudo-votes of the class average in each row; chosen in docs/experiments/consensus.md.
KAPPA = 6.0
KAPPA_COPY_RATE = 10.0  # pseudo-votes of the average copy rate
PROPOSAL_SMOOTHING = 10.0  # pseudo-images in each row of P(suggestion | label)
AVERAGE_SMOOTHING = 100.0  # pseudo-votes of DEFAULT_CONFUSION in each row of the class average
PRIOR_SMOOTHING = 10.0  # pseudo-images, the same number for each label
DEFAULT_COPY_RATE = 0.1  # the average copy rate before any vote with a suggestion
COPY_RATE_SMOOTHING = 20.0  # pseudo-votes of DEFAULT_COPY_RATE in the class average
_N_SHOWN = N_LABELS + 1  # none, left, center, right
_DEFAULT: Floats = np.array(DEFAULT_CONFUSION)
_DEFAULT_PROPOSAL: Floats = 0.7 * np.eye(N_LABELS) + 0.1
# _REPEATS[answer, shown + 1]: whether the answer is the label that was shown.
_REPEATS = np.arange(N_ANSWERS)[:, None] == np.arange(-1, N_LABELS)[None, :]


@dataclass(frozen=True, slots=True)
class Skills:
    """The estimates for A people and N images.

    Parameters:
        confusions: (A, 3, 4) P(answer | label) of each person, shrunk towards the average.
        average: (3, 4) P(answer | label) of the average person.
        class_prior: (3,) shares of the labels.
        copy_rates: (A,) probability that each person repeats a suggestion without looking.
        average_copy_rate: the same for the average person.
        posteriors: (N, 3) P(label) of each image; the rows of gold are exactly 0 and 1.
    """

    confusions: Floats
    average: Floats
    class_prior: Floats
    copy_rates: Floats
    average_copy_rate: float
    posteriors: Floats


@dataclass(frozen=True, slots=True)
class _Data:
    """The votes and what stays the same in all iterations."""

    votes: Votes
    n_images: int
    codes: Integers  # (V,) row of (person, answer, shown) in the tables
    prior: Floats | None
    gold: Integers | None
    proposed: Floats | None  # (N, 3) shares of the labels shown; 0 for images with a prior
    class_prior: Floats  # (3,)
    informed: npt.NDArray[np.bool_]  # (N,) whether more than one vote bears on the image


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What the M step estimates."""

    confusions: Floats
    average: Floats
    copy_rates: Floats
    average_copy_rate: float
    proposal: Floats  # (3, 3) P(suggestion | label)


def fit_skills(
    votes: Votes,
    n_images: int,
    n_annotators: int,
    *,
    prior: Floats | None = None,
    gold: Integers | None = None,
    kappa: float = KAPPA,
    tolerance: float = 1e-3,
    max_iterations: int = 100,
) -> Skills:
    """Estimate confusions, copy rates and label probabilities; see the algorithm of this module.

    The result is deterministic. Mirrored votes, prior and gold give exactly the mirrored result.

    Parameters:
        votes: V votes on N images by A people.
        n_images: N.
        n_annotators: A.
        prior: (N, 3) calibrated probabilities of a model; a row of NaN is an image without one.
        gold: (N,) known labels, 0 to 2; -1 where unknown.
        kappa: pseudo-votes of the class average in each row of a confusion, > 0.
        tolerance: stop when no confusion changes by more, and the copy rates change on average by
            no more than a tenth of it. Copy rates converge slowly, so their limit is lower.
        max_iterations: stop after so many iterations in any case.

    Raises:
        ValueError: an index is N or A or more, or the prior or the gold has another shape.
    """
    _check(votes, n_images, n_annotators, prior, gold)
    data = _arrange(votes, n_images, prior, gold)
    parameters = _start(n_annotators)
    for _ in range(max_iterations):
        posteriors = _expect(data, parameters, data.proposed)
        before, parameters = parameters, _maximise(data, posteriors, parameters, kappa)
        if _moved(before, parameters) < tolerance:
            break
    return Skills(
        parameters.confusions,
        parameters.average,
        data.class_prior,
        parameters.copy_rates,
        parameters.average_copy_rate,
        _expect(data, parameters, None),
    )


def _check(
    votes: Votes, n_images: int, n_annotators: int, prior: Floats | None, gold: Integers | None
) -> None:
    if votes.image.max(initial=-1) >= n_images:
        raise ValueError(f"a vote is on image {votes.image.max()}; there are {n_images}")
    if votes.annotator.max(initial=-1) >= n_annotators:
        raise ValueError(f"a vote is by person {votes.annotator.max()}; there are {n_annotators}")
    if prior is not None:
        check_prior(prior, n_images)
    if gold is not None and (gold.shape != (n_images,) or not np.isin(gold, [-1, 0, 1, 2]).all()):
        raise ValueError(f"gold must be {n_images} numbers of -1 to 2")


def _arrange(votes: Votes, n_images: int, prior: Floats | None, gold: Integers | None) -> _Data:
    codes = (votes.annotator * N_ANSWERS + votes.answer) * _N_SHOWN + votes.shown_labels + 1
    n_votes = np.bincount(votes.image, minlength=n_images)
    informed = n_votes > 1
    if prior is not None:
        informed |= ~np.isnan(prior).any(axis=1)
    if gold is not None:
        informed |= gold >= 0
    proposed = _proposed(votes, n_images, prior)
    shares = _label_shares(votes, n_votes)
    return _Data(votes, n_images, codes, prior, gold, proposed, shares, informed)


def _label_shares(votes: Votes, n_votes: Integers) -> Floats:
    """Return the smoothed shares of the labels (3,). Each image counts once."""
    weights = 1 / n_votes[votes.image]
    counts = np.bincount(votes.answer, weights, minlength=N_ANSWERS)[:N_LABELS]
    smoothed = np.asarray(counts + PRIOR_SMOOTHING / N_LABELS, dtype=np.float64)
    shares: Floats = smoothed / _sum(smoothed)
    return shares


def _proposed(votes: Votes, n_images: int, prior: Floats | None) -> Floats | None:
    """Return the shares of the labels shown (N, 3), or None if no vote saw a suggestion.

    Rows of images with a prior are 0.
    """
    shown = votes.shown_labels
    if (shown < 0).all():
        return None
    cells = (votes.image * N_LABELS + shown)[shown >= 0]
    counts = np.bincount(cells, minlength=n_images * N_LABELS).reshape(n_images, N_LABELS)
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if prior is not None:
        shares[~np.isnan(prior).any(axis=1)] = 0
    return shares


def _start(n_annotators: int) -> _Parameters:
    return _Parameters(
        np.broadcast_to(_DEFAULT, (n_annotators, N_LABELS, N_ANSWERS)),
        _DEFAULT,
        np.full(n_annotators, DEFAULT_COPY_RATE),
        DEFAULT_COPY_RATE,
        _DEFAULT_PROPOSAL,
    )


def _moved(before: _Parameters, after: _Parameters) -> float:
    """Return the larger of: the largest change of a confusion, ten times the mean change of f."""
    confusions = np.abs(after.confusions - before.confusions).max(initial=0)
    copy_rates = np.abs(after.copy_rates - before.copy_rates).sum() / max(len(after.copy_rates), 1)
    return float(max(confusions, 10 * copy_rates))


def _sum(columns: Floats) -> Floats:
    """Sum over the labels, the last axis. A mirrored row gives exactly the same sum."""
    return (columns[..., 0] + columns[..., 2]) + columns[..., 1]


def _likelihoods(parameters: _Parameters) -> tuple[Floats, Floats]:
    """Return tables over (person, answer, shown, label).

    Returns:
        P(answer | label, shown), and the part of it that comes from copying.
    """
    own = parameters.confusions.transpose(0, 2, 1)[:, :, None, :]
    copy_rates = parameters.copy_rates[:, None, None, None] * (np.arange(_N_SHOWN) > 0)[:, None]
    repeated = copy_rates * _REPEATS[:, :, None]
    return np.maximum(repeated + (1 - copy_rates) * own, SMALLEST), repeated


def _expect(data: _Data, parameters: _Parameters, proposed: Floats | None) -> Floats:
    """E step: return the label probabilities of the images (N, 3)."""
    table = np.log(_likelihoods(parameters)[0]).reshape(-1, N_LABELS)
    logs = np.log(np.maximum(_priors(data), SMALLEST))
    for label in range(N_LABELS):
        votes = np.ascontiguousarray(table[:, label])[data.codes]
        logs[:, label] += np.bincount(data.votes.image, votes, minlength=data.n_images)
    if proposed is not None:
        log_proposal = np.log(parameters.proposal)
        logs += _sum(proposed[:, None, :] * log_proposal[None])
    highest = np.maximum(np.maximum(logs[:, 0], logs[:, 2]), logs[:, 1])
    posteriors: Floats = np.exp(logs - highest[:, None])
    posteriors /= _sum(posteriors)[:, None]
    if data.gold is not None:
        known = data.gold >= 0
        posteriors[known] = np.eye(N_LABELS)[data.gold[known]]
    return posteriors


def _priors(data: _Data) -> Floats:
    """Return pi (N, 3)."""
    if data.prior is None:
        return np.broadcast_to(data.class_prior, (data.n_images, N_LABELS))
    return np.where(np.isnan(data.prior), data.class_prior, data.prior)


def _maximise(data: _Data, posteriors: Floats, old: _Parameters, kappa: float) -> _Parameters:
    """M step: return the new parameters."""
    image = data.votes.image
    flat = np.empty((len(old.confusions) * N_ANSWERS * _N_SHOWN, N_LABELS))
    for label in range(N_LABELS):
        weights = (posteriors[:, label] * data.informed)[image]
        flat[:, label] = np.bincount(data.codes, weights, minlength=len(flat))
    expected = flat.reshape(-1, N_ANSWERS, _N_SHOWN, N_LABELS)
    likelihoods, repeated = _likelihoods(old)
    copied = expected * repeated / likelihoods
    return _Parameters(
        *_confusions((expected - copied).sum(axis=2), kappa),
        *_copy_rates(copied, expected),
        old.proposal if data.proposed is None else _proposal(posteriors, data.proposed),
    )


def _proposal(posteriors: Floats, proposed: Floats) -> Floats:
    """Return P(suggestion | label) (3, 3), smoothed."""
    counts = posteriors.T @ proposed + PROPOSAL_SMOOTHING * _DEFAULT_PROPOSAL
    return counts / _sum(counts)[:, None]


def _confusions(own: Floats, kappa: float) -> tuple[Floats, Floats]:
    """Return the shrunk confusions (A, 3, 4) and their average (3, 4).

    Parameters:
        own: (A, 4, 3) expected counts of answers that were not copied, by person, answer, label.
    """
    counts = own.transpose(0, 2, 1)
    average = counts.sum(axis=0) + AVERAGE_SMOOTHING * _DEFAULT
    average /= _row_sums(average)
    confusions = counts + kappa * average
    return confusions / _row_sums(confusions), average


def _row_sums(rows: Floats) -> Floats:
    """Sum over the four answers, the last axis, as `_sum` does for three labels."""
    return (_sum(rows) + rows[..., 3])[..., None]


def _copy_rates(copied: Floats, expected: Floats) -> tuple[Floats, float]:
    """Return the shrunk copy rates (A,) and their average."""
    repeats = _sum(copied).sum(axis=(1, 2))
    shown = _sum(expected[:, :, 1:]).sum(axis=(1, 2))
    average = repeats.sum() + COPY_RATE_SMOOTHING * DEFAULT_COPY_RATE
    average /= shown.sum() + COPY_RATE_SMOOTHING
    rates = (repeats + KAPPA_COPY_RATE * average) / (shown + KAPPA_COPY_RATE)
    return rates, float(average)
