"""How each person answers, learnt from everybody's votes at once.

**Dawid and Skene's EM with shrinkage.** Plain Dawid-Skene gives each person 9 free numbers; with
few votes per person that fits noise and loses to the majority. Here each row of a person's
confusion is drawn to the class average as if `kappa` votes of the average person stood beside
the person's own:

    E: q_i(t)  proportional to  pi_i(t) * product over votes v on i of L_v(t)
       L_v(t) = f_a [answer = shown] + (1 - f_a) C_a(t, answer)
    M: C_a(t, k) = (n_a(t, k) + kappa C(t, k)) / (n_a(t) + kappa)
       C(t, k)   = (sum_a n_a(t, k) + s D(t, k)) / (sum_a n_a(t) + s),  D = DEFAULT_CONFUSION
       f_a       = (m_a + kappa_f f) / (shown_a + kappa_f)

where n_a(t, k) is the expected number of own (not repeated) answers k of person a to images of
label t, m_a the expected number of repeated proposals among `shown_a` votes that saw one, pi_i
the model's probabilities of the image or, where there are none, the smoothed shares of
the labels among the votes (fitted by EM they would drift together with C where few images overlap).
A row of gold is fixed at its label.

A lone vote on an image without pi_i or gold says nothing about the voter, whom only the vote itself
would judge: such votes are left out of n_a, or the confusions would drift where few images overlap.

**Proposals are right more often than not**, so people who look for themselves agree with them too.
Where an image has no pi_i of its own, EM therefore learns P(proposal | label) as a nuisance; or
all agreement would pass for following. The posteriors that are returned leave it out again:
without `prior` they say what the people say.

Votes enter only through (person, answer, shown): the likelihoods and the expected counts are
tables of A x 4 x 4 rows, and an iteration costs one gather and one scatter over the votes.

Sources: A. P. Dawid, A. M. Skene 1979, https://doi.org/10.2307/2346806 (EM); V. C. Raykar et al.,
*Learning from crowds*, JMLR 11, 2010 (Dirichlet priors, gold); the mixture for following is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labeler.statistics.posterior import DEFAULT_CONFUSION, SMALLEST
from labeler.statistics.vote_arrays import N_ANSWERS, N_LABELS, Floats, Integers, Votes, check_prior

METHOD = "skills-1"  # stamped on each result; raise the number when the rule changes
# Pseudo-votes of the class average in each row; chosen in docs/experiments/consensus.md.
KAPPA = 6.0
KAPPA_FOLLOWING = 10.0  # pseudo-votes of the class average of the following rate
PROPOSAL_SMOOTHING = 10.0  # pseudo-images in each row of P(proposal | label)
AVERAGE_SMOOTHING = 100.0  # pseudo-votes of DEFAULT_CONFUSION in each row of the class average
PRIOR_SMOOTHING = 10.0  # pseudo-images, shared evenly by the labels
DEFAULT_FOLLOWING = 0.1  # the class average before any vote beside a proposal
FOLLOWING_SMOOTHING = 20.0  # pseudo-votes of DEFAULT_FOLLOWING in the class average
_N_SHOWN = N_LABELS + 1  # none, left, center, right
_DEFAULT: Floats = np.array(DEFAULT_CONFUSION)
_DEFAULT_PROPOSAL: Floats = 0.7 * np.eye(N_LABELS) + 0.1
# _REPEATS[answer, shown + 1]: the answer is the label that was shown.
_REPEATS = np.arange(N_ANSWERS)[:, None] == np.arange(-1, N_LABELS)[None, :]


@dataclass(frozen=True, slots=True)
class Skills:
    """What the votes say about people and images.

    Parameters:
        confusions: (A, 3, 4) P(answer | label) of each person, shrunk to the average.
        average: (3, 4) that of the class.
        class_prior: (3,) shares of the labels.
        following: (A,) how probably each person just repeats a proposal that is shown.
        average_following: that of the class.
        posteriors: (N, 3) P(label) of each image; gold rows are exactly 0 and 1.
    """

    confusions: Floats
    average: Floats
    class_prior: Floats
    following: Floats
    average_following: float
    posteriors: Floats


@dataclass(frozen=True, slots=True)
class _Data:
    votes: Votes
    n_images: int
    codes: Integers  # (V,) row of (person, answer, shown) in the tables
    prior: Floats | None
    gold: Integers | None
    proposed: Floats | None  # (N, 3) shares of the labels shown, 0 where there is a prior
    class_prior: Floats  # (3,)
    informed: npt.NDArray[np.bool_]  # (N,) there is more than one vote to judge the voter by


@dataclass(frozen=True, slots=True)
class _Parameters:
    confusions: Floats
    average: Floats
    following: Floats
    average_following: float
    proposal: Floats  # (3, 3) P(proposal | label)


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
    """Confusions, following rates and posteriors by EM from the votes; see the module.

    Starts from everybody being DEFAULT_CONFUSION. Deterministic; mirrored votes, prior and gold
    give the mirrored result.

    Parameters:
        prior: (N, 3) a model's calibrated probabilities; a row of NaN has none.
        gold: (N,) known labels, -1 where unknown.
        kappa: pseudo-votes of the class average in each row, > 0.
        tolerance: stop when no entry of the confusions moves further than this, and the following
            rates on average a tenth of it (they creep: EM sees only indirectly who follows).

    Raises:
        ValueError: an index beyond n_images or n_annotators, or a prior or gold that does not fit.
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
        parameters.following,
        parameters.average_following,
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
    """(3,) smoothed shares of the labels among the votes, each image counting once."""
    weights = 1 / n_votes[votes.image]
    counts = np.bincount(votes.answer, weights, minlength=N_ANSWERS)[:N_LABELS]
    smoothed = np.asarray(counts + PRIOR_SMOOTHING / N_LABELS, dtype=np.float64)
    shares: Floats = smoothed / _sum(smoothed)
    return shares


def _proposed(votes: Votes, n_images: int, prior: Floats | None) -> Floats | None:
    """(N, 3) shares of the labels that were shown, 0 where there is a prior; None if none was."""
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
        np.full(n_annotators, DEFAULT_FOLLOWING),
        DEFAULT_FOLLOWING,
        _DEFAULT_PROPOSAL,
    )


def _moved(before: _Parameters, after: _Parameters) -> float:
    """How far the confusions moved at most, or ten times how far the following rates on average."""
    confusions = np.abs(after.confusions - before.confusions).max(initial=0)
    following = np.abs(after.following - before.following).sum() / max(len(after.following), 1)
    return float(max(confusions, 10 * following))


def _sum(columns: Floats) -> Floats:
    """Sum over the last axis (labels), the same to the last digit for a mirrored row."""
    return (columns[..., 0] + columns[..., 2]) + columns[..., 1]


def _likelihoods(parameters: _Parameters) -> tuple[Floats, Floats]:
    """Of (person, answer, shown, label): P(answer | label, shown), and the repeated part of it."""
    own = parameters.confusions.transpose(0, 2, 1)[:, :, None, :]
    following = parameters.following[:, None, None, None] * (np.arange(_N_SHOWN) > 0)[:, None]
    repeated = following * _REPEATS[:, :, None]
    return np.maximum(repeated + (1 - following) * own, SMALLEST), repeated


def _expect(data: _Data, parameters: _Parameters, proposed: Floats | None) -> Floats:
    """(N, 3) posteriors of the images."""
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
    if data.prior is None:
        return np.broadcast_to(data.class_prior, (data.n_images, N_LABELS))
    return np.where(np.isnan(data.prior), data.class_prior, data.prior)


def _maximise(data: _Data, posteriors: Floats, old: _Parameters, kappa: float) -> _Parameters:
    image = data.votes.image
    flat = np.empty((len(old.confusions) * N_ANSWERS * _N_SHOWN, N_LABELS))
    for label in range(N_LABELS):
        weights = (posteriors[:, label] * data.informed)[image]
        flat[:, label] = np.bincount(data.codes, weights, minlength=len(flat))
    expected = flat.reshape(-1, N_ANSWERS, _N_SHOWN, N_LABELS)
    likelihoods, repeated = _likelihoods(old)
    parroted = expected * repeated / likelihoods
    return _Parameters(
        *_confusions((expected - parroted).sum(axis=2), kappa),
        *_following(parroted, expected),
        old.proposal if data.proposed is None else _proposal(posteriors, data.proposed),
    )


def _proposal(posteriors: Floats, proposed: Floats) -> Floats:
    """(3, 3) P(proposal | label), smoothed."""
    counts = posteriors.T @ proposed + PROPOSAL_SMOOTHING * _DEFAULT_PROPOSAL
    return counts / _sum(counts)[:, None]


def _confusions(own: Floats, kappa: float) -> tuple[Floats, Floats]:
    """(A, 3, 4) shrunk confusions and their (3, 4) average from (A, answers, labels) counts."""
    counts = own.transpose(0, 2, 1)
    average = counts.sum(axis=0) + AVERAGE_SMOOTHING * _DEFAULT
    average /= _row_sums(average)
    confusions = counts + kappa * average
    return confusions / _row_sums(confusions), average


def _row_sums(rows: Floats) -> Floats:
    return (_sum(rows) + rows[..., 3])[..., None]


def _following(parroted: Floats, expected: Floats) -> tuple[Floats, float]:
    """(A,) shrunk following rates and their average."""
    repeats = _sum(parroted).sum(axis=(1, 2))
    shown = _sum(expected[:, :, 1:]).sum(axis=(1, 2))
    average = repeats.sum() + FOLLOWING_SMOOTHING * DEFAULT_FOLLOWING
    average /= shown.sum() + FOLLOWING_SMOOTHING
    rates = (repeats + KAPPA_FOLLOWING * average) / (shown + KAPPA_FOLLOWING)
    return rates, float(average)
