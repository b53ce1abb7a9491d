"""The cost of a campaign before it begins: votes, hours of work, and contested images.

A sample of images is labelled by simulated classes (`statistics.simulated_class`), by the rules of
the campaign. Nothing is known about the real class, so the forecast has a range. Its ends are two
states of the class:

- **settled**: the site knows how each person answers, and useless people are paused;
- **new**: the site knows only how the average person answers, and nobody is paused.

If the model's accuracy is known, the settled class has its upper limit and the new class its lower
one. If there is no model yet, the settled class has a good one from the start and the new class has
none. A campaign begins with a new class and ends with a settled one.

Answers to gold questions are not included. Images are taken for independent. Where some are harder
than others for everybody, more become contested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from labeler.rules.campaign_rules import Rules
from labeler.statistics.intervals import LEVEL, Interval
from labeler.statistics.posterior import SMALLEST
from labeler.statistics.simulated_class import (
    KINDS,
    LABEL_SHARES,
    LOWEST_ACCURACY,
    MODEL_ACCURACY,
    USELESS,
    draw_answers,
    draw_confusion,
    draw_proposals,
)
from labeler.statistics.vote_arrays import N_ANSWERS, N_LABELS, Floats, Integers

SECONDS_PER_VOTE = 3.0  # of a person at work, with the pauses between images
CLASSES, IMAGES = 12, 250  # simulated classes, and images that each of them labels
DRAWS = 400
HIGHEST_ACCURACY = 0.995  # of a model; more has not been simulated
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Span:
    """The lowest and the highest number that is expected."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a campaign is expected to take.

    `hours`: of work of all people together. `contested`: images for a supervisor.
    """

    votes: Span
    hours: tuple[float, float]
    contested: Span


@dataclass(frozen=True, slots=True)
class _Labelled:
    """What the classes made of their images: (CLASSES, IMAGES) each."""

    votes: Integers
    contested: Booleans


@dataclass(frozen=True, slots=True)
class _DecidingRules:
    """The rules on which the cost depends, so that the presets are simulated once."""

    method: str
    required_votes: int
    votes_needed: int
    threshold: float
    named: bool
    audit_share: float


def forecast_cost(rules: Rules, images: int, model: Interval | None = None) -> Cost:
    """Forecast what rules cost.

    Parameters:
        images: of the campaign.
        model: the accuracy of the model whose proposals exist, with its limits; None without one.
    """
    uses_model = rules.use_model and rules.method == "posterior"
    settled, new = _accuracies(model) if uses_model else (None, None)
    deciding = _DecidingRules(
        rules.method,
        rules.required_votes,
        rules.votes_needed,
        rules.threshold,
        rules.named,
        rules.audit_share if rules.method == "posterior" else 0.0,
    )
    labelled = [_simulate(deciding, True, settled), _simulate(deciding, False, new)]
    votes = _total([one.votes for one in labelled], images)
    contested = _total([one.contested for one in labelled], images)
    hours = votes.low * SECONDS_PER_VOTE / 3600, votes.high * SECONDS_PER_VOTE / 3600
    return Cost(votes, hours, contested)


def _accuracies(model: Interval | None) -> tuple[float | None, float | None]:
    """The accuracy of the model beside the settled class, and beside the new one."""
    if model is None:
        return MODEL_ACCURACY, None
    low, high = (round(each, 2) for each in (model.low, model.high))
    return min(max(high, LOWEST_ACCURACY), HIGHEST_ACCURACY), max(low, LOWEST_ACCURACY)


def _total(per_image: Sequence[npt.NDArray[np.generic]], images: int) -> Span:
    """The total over so many images, with the differences between classes and between images.

    Parameters:
        per_image: (CLASSES, IMAGES) of each state of the class.
    """
    rng = np.random.default_rng(0)
    limits = []
    for counted in per_image:
        numbers = counted.astype(float)
        mean, spread = numbers.mean(axis=1), numbers.std(axis=1)
        drawn = rng.integers(len(mean), size=DRAWS)
        noise = rng.standard_normal(DRAWS) * np.sqrt(images)
        totals = images * mean[drawn] + spread[drawn] * noise
        limits += list(np.quantile(totals, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    most = images * max(float(counted.max()) for counted in per_image)
    fewest = images * min(float(counted.min()) for counted in per_image)
    return Span(round(max(min(limits), fewest)), round(min(max(limits), most)))


@lru_cache(maxsize=64)
def _simulate(rules: _DecidingRules, is_settled: bool, accuracy: float | None) -> _Labelled:
    """Let simulated classes label images, each vote by a random person of the class.

    Parameters:
        accuracy: of the model; None: there is none.
    """
    rng = np.random.default_rng(0)
    kinds = [
        kind for kind, n in KINDS.items() for _ in range(n) if not (is_settled and kind in USELESS)
    ]
    people = np.stack([[draw_confusion(kind, rng) for kind in kinds] for _ in range(CLASSES)])
    truth = rng.choice(N_LABELS, CLASSES * IMAGES, p=LABEL_SHARES)
    if rules.method == "majority":
        votes, is_contested = _by_majority(rules, people, truth, rng)
    else:
        prior = np.full((len(truth), N_LABELS), 1 / N_LABELS)
        if accuracy is not None:
            prior = draw_proposals(truth, accuracy, rng)
        average = people.mean(axis=1, keepdims=True)
        known = people if is_settled else np.broadcast_to(average, people.shape)
        votes, is_contested = _by_posterior(rules, people, known, truth, prior, rng)
    return _Labelled(votes.reshape(CLASSES, IMAGES), is_contested.reshape(CLASSES, IMAGES))


def _by_majority(
    rules: _DecidingRules, people: Floats, truth: Integers, rng: np.random.Generator
) -> tuple[Integers, Booleans]:
    """All votes of an image at once: each is an answer of the average person of the class."""
    average = people.mean(axis=1)[np.repeat(np.arange(CLASSES), IMAGES), truth]
    counts = rng.multinomial(rules.required_votes, average)
    is_contested = ~agreed(rules, np.zeros((len(truth), N_LABELS)), counts)
    return np.full(len(truth), rules.required_votes), is_contested


def _by_posterior(
    rules: _DecidingRules,
    people: Floats,
    known: Floats,
    truth: Integers,
    prior: Floats,
    rng: np.random.Generator,
) -> tuple[Integers, Booleans]:
    """Vote by vote, as long as images wait.

    Parameters:
        people: (CLASSES, P, 3, 4) how everybody answers.
        known: the same, as the site estimates it.
    """
    n = len(truth)
    logs, counts = np.log(prior), np.zeros((n, N_ANSWERS), dtype=int)
    is_audited = rng.random(n) < rules.audit_share
    votes, waiting = np.zeros(n, dtype=int), np.arange(n)
    for number in range(1, rules.votes_needed + 1):
        who = waiting // IMAGES, rng.integers(people.shape[1], size=len(waiting))
        answers = draw_answers(people[(*who, truth[waiting])], rng)
        columns = np.take_along_axis(known[who], answers[:, None, None], axis=2)[:, :, 0]
        logs[waiting] += np.log(np.maximum(columns, SMALLEST))
        counts[waiting, answers] += 1
        votes[waiting] = number
        is_agreed = agreed(rules, logs[waiting], counts[waiting])
        if number < rules.votes_needed:
            is_agreed &= ~is_audited[waiting]
        waiting = waiting[~is_agreed]
    return votes, np.isin(np.arange(n), waiting)


def agreed(rules: Rules | _DecidingRules, logs: Floats, counts: Integers) -> Booleans:
    """Whether images have a label: `majority_outcome` and `apply_stopping_rule` for N at once.

    Parameters:
        logs: (N, 3) logarithms that are proportional to P(label | votes).
        counts: (N, 4) votes by answer.
    """
    if rules.method == "majority":
        ranked = np.sort(counts, axis=1)
        is_label = counts.argmax(axis=1) < N_LABELS
        is_over = counts.sum(axis=1) >= rules.required_votes
        return is_over & is_label & (ranked[:, -1] > ranked[:, -2])
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    likeliest = weights.argmax(axis=1)
    probability = 1 / weights.sum(axis=1)
    named = counts[np.arange(len(counts)), likeliest]
    backing = named if rules.named else counts[:, :N_LABELS].sum(axis=1)
    return (probability >= rules.threshold) & (backing >= rules.required_votes)
