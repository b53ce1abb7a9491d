"""What the quality table and the dashboard show of a campaign's people, as JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np

from labeler.domain.intervals import wilson
from labeler.domain.labels import ANSWERS, LABELS
from labeler.domain.quality import Record, gold_accuracy, information, without_own
from labeler.domain.skills import Skills
from labeler.domain.votes import Integers
from labeler.services.ballots import Ballots
from labeler.services.measuring import (
    alpha_figures,
    anchoring_figures,
    confusion_counts,
    count_answers,
    kappa_figures,
    planted_figures,
    proposal_figures,
    share,
    side_figures,
)


def record_of(ballots: Ballots, skills: Skills, person: int) -> Record:
    """One person's votes as `domain.quality` looks at them."""
    mine = np.flatnonzero(ballots.votes.annotator == person)
    image, answers = ballots.votes.image[mine], ballots.votes.answer[mine]
    on_gold = _asked(ballots, mine)
    others = without_own(
        skills.posteriors[image],
        answers,
        skills.confusions[person],
        ballots.votes.shown_labels[mine],
        float(skills.following[person]),
    )
    return Record(
        answers=answers,
        posteriors=others,
        elapsed_ms=ballots.elapsed_ms[mine],
        gold_right=int((answers[on_gold] == ballots.gold[image][on_gold]).sum()),
        gold_asked=int(on_gold.sum()),
    )


def person_figures(ballots: Ballots, skills: Skills, person: int, record: Record) -> dict[str, Any]:
    """Counts, and shares with intervals as in `services.measuring`.

    `gold` and `agreement`: right on gold, and on what the others say where that is clear.
    `planted`: repeated a wrong proposal. `information`: 0 for answers that do not depend on the
    image, 1 for perfect. `confusion`: answers by the label of the others.
    """
    mine = np.flatnonzero(ballots.votes.annotator == person)
    confusion = confusion_counts(record.posteriors, record.answers)
    right, named = _right_and_named(confusion)
    known_ms = record.elapsed_ms[~np.isnan(record.elapsed_ms)]
    planted = planted_figures(ballots, mine)
    return {
        "votes": len(mine),
        "answers": dict(zip(ANSWERS, count_answers(record.answers), strict=True)),
        "gold_asked": record.gold_asked,
        "gold_right": record.gold_right,
        "gold": share(gold_accuracy(record)),
        "agreement_n": named,
        "agreement": share(wilson(right, named)),
        "confusion": confusion,
        "planted_n": planted["n"],
        "planted": planted["followed"],
        "planted_following": planted["following"],
        "anchoring": anchoring_figures(ballots, mine),
        "side": side_figures(ballots, mine),
        "following": float(skills.following[person]),
        "information": information(skills.confusions[person]),
        "median_ms": float(np.median(known_ms)) if len(known_ms) else None,
        "first_at": float(ballots.cast_at[mine[0]]),
        "last_at": float(ballots.cast_at[mine[-1]]),
    }


def campaign_figures(ballots: Ballots, skills: Skills) -> dict[str, Any]:
    """What holds for the campaign as a whole; `votes` tells when the next refresh is due."""
    everybody = np.arange(len(ballots))
    return {
        "votes": len(ballots),
        "people": len(ballots.people),
        "images": len(ballots.images),
        "answers": dict(zip(ANSWERS, count_answers(ballots.votes.answer), strict=True)),
        **alpha_figures(ballots),
        "kappa": kappa_figures(ballots),
        "proposal": proposal_figures(ballots, skills),
        "anchoring": anchoring_figures(ballots, everybody),
        "planted": planted_figures(ballots, everybody),
        "side": side_figures(ballots, everybody),
        "following": float(skills.average_following),
    }


def _right_and_named(confusion: list[list[int]]) -> tuple[int, int]:
    """Answers on the diagonal, and all that name a label."""
    right = sum(confusion[label][label] for label in range(len(LABELS)))
    return right, sum(sum(row[: len(LABELS)]) for row in confusion)


def _asked(ballots: Ballots, mine: Integers) -> Any:
    """Which of these votes are honest questions with a known answer: gold, nothing planted.

    Not those that came before the image was gold: they may be what made it gold.
    """
    since = ballots.gold_since[ballots.votes.image[mine]]
    return (ballots.cast_at[mine] > since) & ~ballots.planted[mine]
