"""Results of a simulated class, compared with the truth."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from _simulated_class import BAD, Face, SimulatedPerson
from sqlalchemy import select

from labeler.consensus.majority import METHOD as MAJORITY
from labeler.consensus.vote_table import load_vote_table
from labeler.database.engine import Database
from labeler.models.campaigns import Participation
from labeler.models.consensus import Consensus, Gold, Skill
from labeler.models.voting import Vote
from labeler.statistics.anchoring import measure_anchoring, measure_inserted
from labeler.statistics.intervals import Interval
from rotation.data.labels import LABELS

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
    majority = row.method == MAJORITY
    weights = [getattr(row, f"{'votes' if majority else 'p'}_{label}") for label in LABELS]
    best = [label for label, weight in zip(LABELS, weights, strict=True) if weight == max(weights)]
    return (truth in best) / len(best)


def flagged(
    db: Database, campaign_id: int, people: Mapping[int, SimulatedPerson]
) -> dict[str, Any]:
    """By kind: how many there are, were flagged, are paused; and by which flags."""
    with db.read() as session:
        skills = session.scalars(select(Skill).where(Skill.campaign_id == campaign_id)).all()
        paused = set(
            session.scalars(
                select(Participation.annotator_id).where(
                    Participation.campaign_id == campaign_id, Participation.status == "paused"
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


def anchoring(
    db: Database, campaign_id: int, people: Mapping[int, SimulatedPerson]
) -> dict[str, Any]:
    """The copy rate of the class as the site recovers it, as [estimate, low, high].

    `blind_shown`: from agreement with the proposal when it is seen and when it is withheld, gold
    left out: some of it shows a planted label instead, which would leave fewer of its few images
    among the seen than among the withheld. `planted`: from wrong proposals on gold. `skills`: the
    mean of what EM says of the persons.
    """
    with db.read() as session:
        ballots = load_vote_table(session, campaign_id)
        rates = select(Skill.copy_rate).where(Skill.campaign_id == campaign_id)
        following = session.scalars(rates).all()
    shown, answer = ballots.votes.shown_labels, ballots.votes.answer
    gold, blind = ballots.gold[ballots.votes.image], shown < 0
    plain = gold < 0
    proposal = np.where(blind, ballots.withheld, shown)
    seen = measure_anchoring(answer[plain], proposal[plain], blind[plain])
    wrong, base = ballots.inserted & (gold >= 0) & (shown != gold), blind & (gold >= 0)
    planted = measure_inserted(answer[wrong], shown[wrong], gold[wrong], answer[base], gold[base])
    return {
        "truth": float(np.mean([person.copy_rate for person in people.values()])),
        "blind_shown": _rounded(seen.copy_rate),
        "planted": _rounded(planted.copy_rate),
        "skills": round(float(np.mean(following)), 4),
        "n_shown": int((plain & ~blind).sum()),
        "n_blind": int((plain & blind).sum()),
        "n_planted": int(wrong.sum()),
    }


def _rounded(found: Interval) -> list[float]:
    return [round(value, 4) for value in (found.estimate, found.low, found.high)]


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
