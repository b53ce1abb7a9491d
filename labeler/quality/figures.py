"""The figures of the quality pages: agreement and anchoring in the votes of a campaign, as JSON.

`labeler.statistics` computes them. This module picks the votes for each figure and makes the
result JSON. A share with an interval is [estimate, low, high], or null without data.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from labeler.consensus.vote_table import VoteTable
from labeler.labels import ANSWERS
from labeler.statistics.agreement import confusion_matrix, krippendorff_alpha, pairwise_kappa
from labeler.statistics.anchoring import Anchoring, measure_anchoring, measure_inserted, side_bias
from labeler.statistics.annotator_flags import (
    Copying,
    Record,
    gold_accuracy,
    spammer_score,
    without_own,
)
from labeler.statistics.dawid_skene import Skills
from labeler.statistics.intervals import Interval, wilson
from labeler.statistics.vote_arrays import N_ANSWERS, N_LABELS, Floats, Integers, Votes
from rotation.data.labels import LABELS

CLEAR = 0.9  # the least probability of a label by which answers are judged
PEOPLE_COMPARED = 20  # those with the most votes; nobody can read a larger table
MIN_OVERLAP = 10  # common images that two people need for a kappa
RESAMPLES = 300  # of the images, for the interval of alpha
_NOT_A_SIDE = (1, 3)  # center and unsure


def share(interval: Interval) -> list[float] | None:
    """[estimate, low, high], for JSON; None without data."""
    if math.isnan(interval.estimate):
        return None
    return [interval.estimate, interval.low, interval.high]


def clear_labels(posteriors: Floats) -> Integers:
    """(n,) the label of each image with a probability above `CLEAR`, else -1.

    Parameters:
        posteriors: (n, 3).
    """
    return np.where(posteriors.max(axis=1, initial=0) > CLEAR, posteriors.argmax(axis=1), -1)


def alpha_figures(vote_table: VoteTable) -> dict[str, Any]:
    """Krippendorff's alpha over the labels. `unsure` counts as no answer.

    The interval is the middle 95 % of `RESAMPLES` resamples of the images with at least two votes.
    """
    named = vote_table.votes.answer < N_LABELS
    cells = vote_table.votes.image[named] * N_LABELS + vote_table.votes.answer[named]
    size = len(vote_table.images) * N_LABELS
    by_image = np.bincount(cells, minlength=size).reshape(-1, N_LABELS)
    by_image = by_image[by_image.sum(axis=1) > 1]
    if not len(by_image):
        return {"alpha": None, "alpha_images": 0}
    patterns, counts = np.unique(by_image, axis=0, return_counts=True)
    alpha = krippendorff_alpha(patterns, counts)
    drawn = np.random.default_rng(0).multinomial(len(by_image), counts / counts.sum(), RESAMPLES)
    resampled = np.array([krippendorff_alpha(patterns, each) for each in drawn])
    low, high = np.nanquantile(resampled, [0.025, 0.975]) if not math.isnan(alpha) else (0, 0)
    found = Interval(alpha, min(float(low), alpha), max(float(high), alpha))
    return {"alpha": share(found), "alpha_images": len(by_image)}


def kappa_figures(vote_table: VoteTable) -> dict[str, Any]:
    """Cohen's kappa of each two of the `PEOPLE_COMPARED` people with the most votes, by id."""
    votes = vote_table.votes
    counts = np.bincount(votes.annotator, minlength=len(vote_table.people))
    chosen = np.sort(np.argsort(-counts, kind="stable")[:PEOPLE_COMPARED])
    place = np.full(len(vote_table.people), -1)
    place[chosen] = np.arange(len(chosen))
    mine = place[votes.annotator] >= 0
    among = Votes(votes.image[mine], place[votes.annotator[mine]], votes.answer[mine])
    kappa = pairwise_kappa(among, len(chosen), MIN_OVERLAP)
    pairs = kappa[np.triu_indices(len(chosen), 1)]
    comparable = pairs[~np.isnan(pairs)]
    matrix = [[None if math.isnan(value) else value for value in row] for row in kappa.tolist()]
    return {
        "people": vote_table.people[chosen].tolist(),
        "matrix": matrix,
        "pairs": len(comparable),
        "median": float(np.median(comparable)) if len(comparable) else None,
    }


def proposal_figures(vote_table: VoteTable, skills: Skills) -> dict[str, Any]:
    """The current run's proposals against the clear labels, as counts[label][proposal]."""
    proposed = ~np.isnan(vote_table.model).any(axis=1)
    labels = clear_labels(skills.posteriors)[proposed]
    named = vote_table.model[proposed].argmax(axis=1)
    counts = confusion_matrix(labels, named)[:, :N_LABELS]
    n = int(counts.sum())
    return {"counts": counts.tolist(), "n": n, "right": share(wilson(int(np.trace(counts)), n))}


def anchoring_figures(vote_table: VoteTable, rows: Integers) -> dict[str, Any]:
    """Agreement with shown proposals against agreement with withheld ones.

    Parameters:
        rows: indices of the votes to look at.
    """
    found, shown_n, blind_n = _measure_shown(vote_table, rows)
    return {
        "shown": share(found.shown),
        "shown_n": shown_n,
        "blind": share(found.blind),
        "blind_n": blind_n,
        "difference": share(found.difference),
        "following": share(found.copy_rate),
    }


def _measure_shown(vote_table: VoteTable, rows: Integers) -> tuple[Anchoring, int, int]:
    """The anchoring, and the numbers of answers with a shown and with a withheld proposal.

    Votes on the verify grid are left out: no random draw hides proposals there. Votes on gold are
    left out too: wrong proposals are inserted among those that are shown there.
    """
    on_gold = vote_table.gold[vote_table.votes.image[rows]] >= 0
    rows = rows[~vote_table.inserted[rows] & ~vote_table.grid[rows] & ~on_gold]
    shown = vote_table.votes.shown_labels[rows]
    blind = shown < 0
    proposal = np.where(blind, vote_table.withheld[rows], shown)
    found = measure_anchoring(vote_table.votes.answer[rows], proposal, blind)
    return found, int((~blind).sum()), int((blind & (proposal >= 0)).sum())


def inserted_figures(vote_table: VoteTable, rows: Integers) -> dict[str, Any]:
    """Inserted wrong proposals on gold: how many were repeated, and how many blind people err so.

    Parameters:
        rows: indices of the votes to look at.
    """
    found, inserted_n, _ = _measure_inserted(vote_table, rows)
    return {
        "n": inserted_n,
        "followed": share(found.shown),
        "base": share(found.blind),
        "following": share(found.copy_rate),
    }


def _measure_inserted(vote_table: VoteTable, rows: Integers) -> tuple[Anchoring, int, int]:
    """The anchoring by inserted wrong proposals, and the numbers of answers with and without one.

    The answers without one are those of the whole class.
    """
    gold = vote_table.gold[vote_table.votes.image]
    shown = vote_table.votes.shown_labels
    wrong = rows[vote_table.inserted[rows] & (gold[rows] >= 0) & (shown[rows] != gold[rows])]
    base = np.flatnonzero((shown < 0) & (gold >= 0))
    answer = vote_table.votes.answer
    found = measure_inserted(answer[wrong], shown[wrong], gold[wrong], answer[base], gold[base])
    return found, len(wrong), len(base)


def side_figures(vote_table: VoteTable, rows: Integers) -> dict[str, Any]:
    """How much more often people answer the left side of the screen than the right, -1 to 1."""
    answer, mirrored = vote_table.votes.answer[rows], vote_table.mirrored[rows]
    sided = ~np.isin(answer, _NOT_A_SIDE)
    return {
        "bias": share(side_bias(answer, mirrored)),
        "plain_n": int((sided & ~mirrored).sum()),
        "mirrored_n": int((sided & mirrored).sum()),
    }


def count_answers(answers: Integers) -> list[int]:
    """The number of times that each of `ANSWERS` was given, in that order."""
    return np.bincount(answers, minlength=N_ANSWERS).tolist()


def confusion_counts(posteriors: Floats, answers: Integers) -> list[list[int]]:
    """Answers by clear label: 3 rows of 4 counts.

    Parameters:
        posteriors: (n, 3) of the images, without the votes that are judged.
        answers: (n,) the answers that are judged.
    """
    if not len(answers):
        return [[0] * N_ANSWERS for _ in LABELS]
    return confusion_matrix(clear_labels(posteriors), answers).tolist()


def record_of(vote_table: VoteTable, skills: Skills, person: int) -> Record:
    """One person's votes as `statistics.annotator_flags` needs them.

    Parameters:
        person: the index in `vote_table.people`.
    """
    mine = np.flatnonzero(vote_table.votes.annotator == person)
    image, answers = vote_table.votes.image[mine], vote_table.votes.answer[mine]
    on_gold = _asked(vote_table, mine)
    others = without_own(
        skills.posteriors[image],
        answers,
        skills.confusions[person],
        vote_table.votes.shown_labels[mine],
        float(skills.copy_rates[person]),
    )
    return Record(
        answers=answers,
        posteriors=others,
        elapsed_ms=vote_table.elapsed_ms[mine],
        gold_right=int((answers[on_gold] == vote_table.gold[image][on_gold]).sum()),
        gold_asked=int(on_gold.sum()),
        shown=_copying(*_measure_shown(vote_table, mine)),
        inserted=_copying(*_measure_inserted(vote_table, mine)),
    )


def _copying(found: Anchoring, beside: int, without: int) -> Copying:
    return Copying(found.copy_rate, beside, without)


def person_figures(
    vote_table: VoteTable, skills: Skills, person: int, record: Record
) -> dict[str, Any]:
    """The figures of one person: counts, and shares with intervals.

    `gold`: the share of right answers on gold. `agreement`: the share of answers that agree with
    the clear label of the other people. `planted`: the share of inserted wrong proposals that the
    person repeated. `information`: 0 for answers that do not depend on the image, 1 for perfect
    answers. `confusion`: answers by the clear label of the other people.

    Parameters:
        person: the index in `vote_table.people`.
        record: from `record_of`.
    """
    mine = np.flatnonzero(vote_table.votes.annotator == person)
    confusion = confusion_counts(record.posteriors, record.answers)
    right, named = _right_and_named(confusion)
    known_ms = record.elapsed_ms[~np.isnan(record.elapsed_ms)]
    inserted = inserted_figures(vote_table, mine)
    return {
        "votes": len(mine),
        "answers": dict(zip(ANSWERS, count_answers(record.answers), strict=True)),
        "gold_asked": record.gold_asked,
        "gold_right": record.gold_right,
        "gold": share(gold_accuracy(record)),
        "agreement_n": named,
        "agreement": share(wilson(right, named)),
        "confusion": confusion,
        "planted_n": inserted["n"],
        "planted": inserted["followed"],
        "planted_following": inserted["following"],
        "anchoring": anchoring_figures(vote_table, mine),
        "side": side_figures(vote_table, mine),
        "following": float(skills.copy_rates[person]),
        "information": spammer_score(skills.confusions[person]),
        "median_ms": float(np.median(known_ms)) if len(known_ms) else None,
        "first_at": float(vote_table.cast_at[mine[0]]),
        "last_at": float(vote_table.cast_at[mine[-1]]),
    }


def campaign_figures(vote_table: VoteTable, skills: Skills) -> dict[str, Any]:
    """The figures of the campaign as a whole.

    `votes` and `newest_vote` tell when the next refresh is due.
    """
    everybody = np.arange(len(vote_table))
    return {
        "votes": len(vote_table),
        "newest_vote": vote_table.newest_vote,
        "people": len(vote_table.people),
        "images": len(vote_table.images),
        "answers": dict(zip(ANSWERS, count_answers(vote_table.votes.answer), strict=True)),
        **alpha_figures(vote_table),
        "kappa": kappa_figures(vote_table),
        "proposal": proposal_figures(vote_table, skills),
        "anchoring": anchoring_figures(vote_table, everybody),
        "planted": inserted_figures(vote_table, everybody),
        "side": side_figures(vote_table, everybody),
        "following": float(skills.average_copy_rate),
    }


def _right_and_named(confusion: list[list[int]]) -> tuple[int, int]:
    """The number of answers on the diagonal, and of all answers that name a label."""
    right = sum(confusion[label][label] for label in range(len(LABELS)))
    return right, sum(sum(row[: len(LABELS)]) for row in confusion)


def _asked(vote_table: VoteTable, mine: Integers) -> Any:
    """Which of these votes are answers to gold questions without an inserted wrong proposal.

    Votes from before the image became gold are left out: they may have made it gold.
    """
    since = vote_table.gold_since[vote_table.votes.image[mine]]
    return (vote_table.cast_at[mine] > since) & ~vote_table.inserted[mine]
