"""Fills a database with a campaign that has images, model runs, gold and many votes.

Rows are written straight into the tables. Images have no files.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import _site  # noqa: F401  finds the project
import numpy as np
from sqlalchemy import insert

from labeler.consensus import majority as consensus_majority
from labeler.consensus.derivation import GOLD_METHOD
from labeler.consensus.majority import VoteCounts, majority_outcome
from labeler.database.engine import Database
from labeler.labels import ANSWERS
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Gold
from labeler.models.images import Dataset, Image
from labeler.models.proposals import ModelRun, Proposal
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import Rules
from rotation.data.labels import LABELS

ROWS = 5_000  # of a statement
RULES = Rules(method="majority", required_votes=3, mirror_views=True)
FOLLOWING, BLIND, PLANTED, GOLD = 0.2, 0.25, 0.3, 0.05
SHARES = (0.38, 0.24, 0.38)
UNSURE = len(LABELS)
ATTRIBUTES = tuple(f"Attribute_{number}" for number in range(40))  # as many as CelebA has
PEOPLE_IN_IMAGES = 10_177  # as in CelebA
ACCURACIES = (0.71, 0.83, 0.88, 0.91, 0.925, 0.934)  # of six model runs, each with more labels


@dataclass(frozen=True)
class CampaignHistory:
    """What is made: so many images, votes and people; the last vote is at `end`."""

    images: int
    votes: int
    people: int
    days: float = 10.0
    seed: int = 0
    end: datetime = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def make_history(db: Database, history: CampaignHistory, rules: Rules = RULES) -> int:
    """Fill an empty database; returns the number of the campaign, which is active."""
    rng = np.random.default_rng(history.seed)
    truth = rng.choice(3, history.images, p=SHARES)
    with db.write() as session:
        dataset = Dataset(name="faces", path="nowhere", attribute_names=list(ATTRIBUTES))
        session.add(dataset)
        session.flush()
        campaign = Campaign(
            dataset_id=dataset.id,
            name="Light on faces",
            rules=rules.as_dict(),
            selection={},
            active=True,
        )
        session.add(campaign)
        people = [
            Annotator(username=f"student{n:02d}", pseudonym=f"p-{n:04d}", password_hash="!")
            for n in range(history.people)
        ]
        session.add_all(people)
        session.flush()
        ids = campaign.id, dataset.id
        annotators = np.array([person.id for person in people])
        run_id = _make_runs(session, dataset.id, history)
    _insert(db, Image, _images(ids[1], history))
    sure = rng.beta(9, 1, history.images)  # calibrated: right so often as it says
    other = (truth + rng.integers(1, 3, history.images)) % 3
    proposed = np.where(rng.random(history.images) < sure, truth, other)
    _insert(db, Proposal, _proposals(run_id, proposed, np.maximum(sure, 0.34)))
    gold = np.flatnonzero(rng.random(history.images) < GOLD)[:2_000]
    _insert(db, Gold, _gold(ids[0], gold, truth))
    columns = _votes(history, truth, proposed, gold, rng)
    _insert(db, Vote, _vote_rows(ids[0], run_id, annotators, columns))
    _insert(db, Consensus, _consensus(ids[0], history.images, columns, gold, truth, rng))
    return ids[0]


def _insert(db: Database, table: Any, rows: Iterator[dict[str, Any]]) -> None:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS:
            _write(db, table, batch)
            batch = []
    if batch:
        _write(db, table, batch)


def _write(db: Database, table: Any, batch: list[dict[str, Any]]) -> None:
    with db.write() as session:
        session.execute(insert(table.__table__), batch)


def _make_runs(session: Any, dataset_id: int, history: CampaignHistory) -> int:
    for number, accuracy in enumerate(ACCURACIES):
        at = history.end - timedelta(days=history.days * (1 - number / len(ACCURACIES)))
        session.add(
            ModelRun(
                dataset_id=dataset_id,
                method="mirror-logistic-4",
                status="published",
                settings={},
                created_at=at,
                published_at=at + timedelta(minutes=2),
                metrics={
                    "n_training": 60 * 2**number,
                    "n_proposed": history.images,
                    "mean_probabilities": dict(zip(LABELS, SHARES, strict=True)),
                    "cross_validation": {
                        "accuracy": accuracy,
                        "accuracy_of_commonest_label": 0.38,
                        "macro_f1": accuracy - 0.01,
                        "ece": 0.06 - 0.007 * number,
                        "log_loss": 0.9 - 0.11 * number,
                    },
                },
            )
        )
        session.flush()
    session.add(
        ModelRun(
            dataset_id=dataset_id,
            method="mirror-logistic-4",
            status="failed",
            metrics={},
            settings={},
            problem="BrokenData: the folder has moved",
            created_at=history.end,
        )
    )
    return len(ACCURACIES)


def _images(dataset_id: int, history: CampaignHistory) -> Iterator[dict[str, Any]]:
    """With what CelebA knows of them; drawn apart, so that the other draws stay as they are."""
    rng = np.random.default_rng([history.seed, 1])
    count = history.images
    people = rng.integers(1, PEOPLE_IN_IMAGES + 1, count).tolist()
    parts = rng.choice(3, count, p=(0.8, 0.1, 0.1)).tolist()
    yaws = rng.normal(0, 15, count).tolist()
    bits = rng.integers(0, 2 ** len(ATTRIBUTES), count).tolist()
    for number in range(count):
        yield {
            "identity": people[number],
            "partition": parts[number],
            "yaw_deg": yaws[number],
            "attribute_bits": bits[number],
            "landmarks": [69, 109, 106, 113, 77, 142, 73, 152, 108, 154],
            "dataset_id": dataset_id,
            "filename": f"{number + 1:06d}.jpg",
            "status": "ok",
            "sha256": f"{number:064x}",
            "width": 178,
            "height": 218,
            "byte_size": 8_000,
        }


def _proposals(run_id: int, proposed: Any, sure: Any) -> Iterator[dict[str, Any]]:
    for image, (label, top) in enumerate(zip(proposed.tolist(), sure.tolist(), strict=True)):
        chances = [(1 - top) / 2] * 3
        chances[label] = top
        yield {
            "model_run_id": run_id,
            "image_id": image + 1,
            "p_left": chances[0],
            "p_center": chances[1],
            "p_right": chances[2],
        }


def _gold(campaign_id: int, gold: Any, truth: Any) -> Iterator[dict[str, Any]]:
    for image in gold.tolist():
        yield {
            "campaign_id": campaign_id,
            "image_id": image + 1,
            "label": LABELS[truth[image]],
            "source": "csv",
        }


def _votes(
    history: CampaignHistory, truth: Any, proposed: Any, gold: Any, rng: Any
) -> dict[str, Any]:
    """Columns of the votes in the order of time: round after round over all images."""
    n = history.votes
    lap, place = np.divmod(np.arange(n), history.images)
    image = rng.permutation(history.images)[place]
    person = (rng.integers(0, history.people, history.images)[image] + 7 * lap) % history.people
    skill = rng.uniform(0.84, 0.96, history.people)
    skill[:: max(history.people // 3, 8)] = 1 / 3  # some do not look
    seen = truth[image]
    wrong = (seen + rng.integers(1, 3, n)) % 3
    answer = np.where(rng.random(n) < skill[person], seen, wrong)
    answer = np.where(rng.random(n) < 0.04, UNSURE, answer)
    blind = rng.random(n) < BLIND
    planted = np.isin(image, gold) & ~blind & (rng.random(n) < PLANTED)
    shown = np.where(blind, -1, np.where(planted, wrong, proposed[image]))
    repeats = (rng.random(n) < FOLLOWING) & ~blind
    return {
        "image": image,
        "person": person,
        "answer": np.where(repeats, shown, answer),
        "blind": blind,
        "planted": planted,
        "shown": shown,
        "withheld": np.where(blind, proposed[image], -1),
        "mirrored": rng.random(n) < 0.5,
        "elapsed_ms": rng.lognormal(7.3, 0.5, n).astype(int),
        "at": history.end.timestamp() - np.sort(_ages(history, rng))[::-1],
    }


def _ages(history: CampaignHistory, rng: Any) -> Any:
    """Seconds before the end: three hours of work on each day, the last until now."""
    day = rng.integers(0, max(1, round(history.days)), history.votes)
    return day * 86_400 + 10_800 * rng.beta(1.3, 1.6, history.votes)


def _vote_rows(
    campaign_id: int, run_id: int, annotators: Any, columns: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    labels: list[str | None] = [*ANSWERS, None]
    people = annotators[columns["person"]].tolist()
    rows = zip(*(columns[name].tolist() for name in columns), strict=True)
    for who, row in zip(people, rows, strict=True):
        one = dict(zip(columns, row, strict=True))
        yield {
            "campaign_id": campaign_id,
            "image_id": one["image"] + 1,
            "annotator_id": who,
            "answer": ANSWERS[one["answer"]],
            "mode": "single",
            "request_id": str(uuid.uuid4()),
            "blind": one["blind"],
            "planted": one["planted"],
            "mirrored": one["mirrored"],
            "shown_run_id": None if one["blind"] or one["planted"] else run_id,
            "shown_label": labels[one["shown"]],
            "withheld_label": labels[one["withheld"]],
            "elapsed_ms": one["elapsed_ms"],
            "created_at": datetime.fromtimestamp(one["at"], UTC),
            "superseded_at": None,
        }


def _consensus(
    campaign_id: int, images: int, columns: dict[str, Any], gold: Any, truth: Any, rng: Any
) -> Iterator[dict[str, Any]]:
    """By the majority rule; gold is what it is."""
    cells = columns["image"] * len(ANSWERS) + columns["answer"]
    counts = np.bincount(cells, minlength=images * len(ANSWERS)).reshape(images, -1)
    known = set(gold.tolist())
    keys = rng.integers(0, 2**30, images).tolist()
    now = datetime.fromtimestamp(columns["at"][-1], UTC)
    for image, row in enumerate(counts.tolist()):
        outcome = majority_outcome(VoteCounts(*row), RULES.required_votes)
        label, probability = outcome.label, outcome.probability
        status, method = outcome.status, consensus_majority.METHOD
        if image in known:
            label, probability, status, method = LABELS[truth[image]], 1.0, "agreed", GOLD_METHOD
        yield {
            "campaign_id": campaign_id,
            "image_id": image + 1,
            "status": status,
            "label": label,
            "probability": probability,
            "method": method,
            "random_key": keys[image],
            "priority": 1000 * sum(row),
            "updated_at": now,
            "p_left": 1 / 3,
            "p_center": 1 / 3,
            "p_right": 1 / 3,
            **{f"votes_{answer}": row[place] for place, answer in enumerate(ANSWERS)},
        }
