"""What the quality table and the dashboard show of a campaign's people, as JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np

from labeler.domain.intervals import Interval, wilson
from labeler.domain.labels import ANSWERS, LABELS
from labeler.domain.quality import Record, gold_accuracy, information, without_own
from labeler.domain.skills import Skills
from labeler.domain.votes import Integers
from labeler.services.ballots import Ballots

UNSURE = len(LABELS)


def record_of(ballots: Ballots, skills: Skills, person: int) -> Record:
    """One person's votes as `domain.quality` looks at them."""
    mine = np.flatnonzero(ballots.votes.annotator == person)
    image, answers = ballots.votes.image[mine], ballots.votes.answer[mine]
    on_gold = _asked(ballots, mine)
    return Record(
        answers=answers,
        posteriors=without_own(skills.posteriors[image], answers, skills.confusions[person]),
        elapsed_ms=ballots.elapsed_ms[mine],
        gold_right=int((answers[on_gold] == ballots.gold[image][on_gold]).sum()),
        gold_asked=int(on_gold.sum()),
    )


def person_figures(ballots: Ballots, skills: Skills, person: int, record: Record) -> dict[str, Any]:
    """Counts, and shares with intervals as [estimate, low, high] or null where n is 0.

    `gold` and `agreement`: right on gold, and on the consensus of the others. `planted`: repeated
    a wrong proposal. `information`: 0 for answers that do not depend on the image, 1 for perfect.
    """
    mine = np.flatnonzero(ballots.votes.annotator == person)
    clear = (record.posteriors.max(axis=1) > 0.9) & (record.answers != UNSURE)
    agreed = (record.answers == record.posteriors.argmax(axis=1)) & clear
    planted = mine[ballots.planted[mine]]
    followed = ballots.votes.answer[planted] == ballots.votes.shown_labels[planted]
    known_ms = record.elapsed_ms[~np.isnan(record.elapsed_ms)]
    return {
        "votes": len(mine),
        "answers": dict(zip(ANSWERS, _counts(record.answers), strict=True)),
        "gold_asked": record.gold_asked,
        "gold_right": record.gold_right,
        "gold": share(gold_accuracy(record)) if record.gold_asked else None,
        "agreement_n": int(clear.sum()),
        "agreement": share(wilson(int(agreed.sum()), int(clear.sum()))) if clear.any() else None,
        "planted_n": len(planted),
        "planted": share(wilson(int(followed.sum()), len(planted))) if len(planted) else None,
        "following": float(skills.following[person]),
        "information": information(skills.confusions[person]),
        "median_ms": float(np.median(known_ms)) if len(known_ms) else None,
        "first_at": float(ballots.cast_at[mine[0]]),
        "last_at": float(ballots.cast_at[mine[-1]]),
    }


def campaign_figures(ballots: Ballots, skills: Skills) -> dict[str, Any]:
    """What holds for the campaign as a whole; `votes` tells when the next refresh is due."""
    return {
        "votes": len(ballots),
        "people": len(ballots.people),
        "images": len(ballots.images),
        "answers": dict(zip(ANSWERS, _counts(ballots.votes.answer), strict=True)),
    }


def share(interval: Interval) -> list[float]:
    """[estimate, low, high], for JSON."""
    return [interval.estimate, interval.low, interval.high]


def _asked(ballots: Ballots, mine: Integers) -> Any:
    """Which of these votes are honest questions with a known answer: gold, nothing planted."""
    return (ballots.gold[ballots.votes.image[mine]] >= 0) & ~ballots.planted[mine]


def _counts(answers: Integers) -> list[int]:
    return np.bincount(answers, minlength=len(ANSWERS)).tolist()
