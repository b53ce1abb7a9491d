"""What came of a simulated class, against the truth."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fake_class import BAD, Face, FakePerson
from sqlalchemy import select

from labeler.db import Database
from labeler.domain.intervals import Interval, ratio, wilson
from labeler.domain.labels import LABELS
from labeler.models import Consensus, Estimate, Gold, Participation, Skill, Vote

T_975 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}


def outcome(db: Database, campaign_id: int, faces: Mapping[int, Face]) -> dict[str, float]:
    """Votes an image and errors, over the images that are not gold.

    `error`: every image gets its likeliest label (a tie is right by its chance), also the
    contested ones; `agreed_error`: of those with a label.
    """
    with db.read() as session:
        gold = set(session.scalars(select(Gold.image_id).where(Gold.campaign_id == campaign_id)))
        rows = session.scalars(select(Consensus).where(Consensus.campaign_id == campaign_id)).all()
    rated = [row for row in rows if row.image_id not in gold]
    errors = [1 - _right(row, faces[row.image_id].label) for row in rated]
    agreed = [row for row in rated if row.label is not None]
    on_gold = sum(_total(row) for row in rows if row.image_id in gold)
    votes = sum(_total(row) for row in rated)
    return {
        "images": len(rated),
        "votes_per_image": votes / len(rated),
        "votes_per_image_with_gold": (votes + on_gold) / len(rated),
        "error": float(np.mean(errors)),
        "agreed": len(agreed) / len(rated),
        "agreed_error": float(np.mean([row.label != faces[row.image_id].label for row in agreed])),
    }


def _total(row: Consensus) -> int:
    return row.votes_left + row.votes_center + row.votes_right + row.votes_unsure


def _right(row: Consensus, truth: str) -> float:
    """1 or 0, or the chance of a tie: of the votes under majority, else of the posterior."""
    majority = row.method.startswith("majority")
    weights = [getattr(row, f"{'votes' if majority else 'p'}_{label}") for label in LABELS]
    best = [label for label, weight in zip(LABELS, weights, strict=True) if weight == max(weights)]
    return (truth in best) / len(best)


def flagged(db: Database, campaign_id: int, people: Mapping[int, FakePerson]) -> dict[str, Any]:
    """By kind: how many there are, were flagged, are paused; and by which flags."""
    with db.read() as session:
        skills = session.scalars(select(Skill).where(Skill.campaign_id == campaign_id)).all()
        paused = set(
            session.scalars(
                select(Participation.annotator_id).where(
                    Participation.campaign_id == campaign_id, Participation.standing == "paused"
                )
            )
        )
    codes = {row.annotator_id: [flag[0] for flag in row.flags] for row in skills}
    table: dict[str, Any] = defaultdict(lambda: {"people": 0, "flagged": 0, "paused": 0})
    by_code: dict[str, Counter[str]] = defaultdict(Counter)
    for number, person in people.items():
        row = table[person.kind]
        row["people"] += 1
        row["flagged"] += bool(codes.get(number)) or number in paused
        row["paused"] += number in paused
        by_code[person.kind].update(codes.get(number, []))
    for kind, counts in by_code.items():
        table[kind]["codes"] = dict(counts)
    return dict(table)


def count_missed(table: Mapping[str, Any]) -> tuple[int, int]:
    """People who should have been flagged and were not, and good ones who were."""
    missed = sum(table[kind]["people"] - table[kind]["flagged"] for kind in BAD)
    return missed, table["good"]["flagged"]


def anchoring(db: Database, campaign_id: int, people: Mapping[int, FakePerson]) -> dict[str, Any]:
    """The following rate f of the class, recovered in three ways, as [estimate, low, high].

    `blind_shown`: 1 - a = (1 - f) (1 - b), where a and b are the shares of answers that agree with
    the proposal when it is seen and when it is withheld. `planted`: the same of wrong proposals
    on gold, b being half the wrong answers there without one. `model`: what the skills say.
    """
    with db.read() as session:
        votes = session.scalars(select(Vote).where(Vote.campaign_id == campaign_id)).all()
        known = select(Gold.image_id, Gold.label).where(Gold.campaign_id == campaign_id)
        gold = dict(session.execute(known).all())
        estimate = session.get(Estimate, campaign_id)
        rates = select(Skill.following).where(Skill.campaign_id == campaign_id)
        following = session.scalars(rates).all()
    shown = [v.answer != v.shown_label for v in votes if v.shown_run_id is not None]
    blind = [v.answer != v.withheld_label for v in votes if v.withheld_label is not None]
    planted = [v.answer != v.shown_label for v in votes if v.planted]
    plain = [v.answer for v in votes if v.image_id in gold and v.shown_label is None]
    truth = [gold[v.image_id] for v in votes if v.image_id in gold and v.shown_label is None]
    wrong = sum(a not in (t, "unsure") for a, t in zip(plain, truth, strict=True)) / 2
    return {
        "truth": float(np.mean([person.following for person in people.values()])),
        "blind_shown": _following(shown, wilson(sum(blind), len(blind))),
        "planted": _following(planted, wilson(len(plain) - wrong, len(plain))),
        "model": estimate.following if estimate else None,
        "model_of_persons": float(np.mean(following)) if following else None,
        "n_shown": len(shown), "n_blind": len(blind), "n_planted": len(planted),
    }  # fmt: skip


def _following(differs: Sequence[bool], unseen: Interval) -> list[float]:
    """f = 1 - (share that differs when seen) / (share that differs unseen)."""
    kept = ratio(wilson(sum(differs), len(differs)), unseen)
    return [round(1 - kept.estimate, 4), round(1 - kept.high, 4), round(1 - kept.low, 4)]


def sides(db: Database, campaign_id: int, faces: Mapping[int, Face]) -> dict[str, float]:
    """Excess of left over right among all votes, and among the labels, in shares; 0 is fair."""
    with db.read() as session:
        answers = session.execute(
            select(Vote.answer, Vote.image_id).where(Vote.campaign_id == campaign_id)
        ).all()
        rows = session.execute(
            select(Consensus.label, Consensus.image_id).where(Consensus.campaign_id == campaign_id)
        ).all()
    return {"votes": _excess(answers, faces), "labels": _excess(rows, faces)}


def _excess(rows: Sequence[Any], faces: Mapping[int, Face]) -> float:
    given = Counter(row[0] for row in rows)
    true = Counter(faces[row[1]].label for row in rows)
    side = {"left": 1, "right": -1}
    return sum(sign * (given[label] - true[label]) for label, sign in side.items()) / len(rows)


def over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """[mean, low, high] of each figure: Student's 95 % interval over the seeds."""
    return {name: _interval([run[name] for run in runs]) for name in runs[0]}


def _interval(values: Sequence[float]) -> list[float]:
    mean = float(np.mean(values))
    if len(values) < 2:
        return [round(mean, 4)]
    half = T_975.get(len(values), 1.96) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return [round(mean, 4), round(mean - half, 4), round(mean + half, 4)]
