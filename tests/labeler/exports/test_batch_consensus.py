"""Batch consensus by any method, and as a file."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from labeler.config import Settings
from labeler.consensus import majority, stopping_rule
from labeler.consensus.derivation import DECISION_METHOD, GOLD_METHOD
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput
from labeler.exports.batch_consensus import (
    DAWID_SKENE,
    METHODS,
    ONE_COIN,
    aggregate,
    stream_aggregation,
)
from labeler.statistics import batch_aggregation, dawid_skene
from labeler.statistics.vote_arrays import Votes
from rotation.data.labels import LABELS
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import ids, lease, vote

IMAGES, PEOPLE, EACH = 300, 12, 5
STAMPS = {"majority": "plurality-1"}  # the others have the name of the method


def simulate(seed: int) -> tuple[Votes, np.ndarray]:
    """Nine people who are right on 85 % and three who press keys at random."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, IMAGES)
    image = np.repeat(np.arange(IMAGES), EACH)
    person = np.concatenate([rng.permutation(PEOPLE)[:EACH] for _ in range(IMAGES)])
    right = rng.random(len(image)) < np.where(person < 9, 0.85, 1 / 3)
    answer = np.where(right, truth[image], (truth[image] + rng.integers(1, 3, len(image))) % 3)
    return Votes(image, person, answer), truth


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_the_labels(name: str) -> None:
    votes, truth = simulate(seed=1)
    prior = np.eye(3)[truth] * 0.4 + 0.2
    found = METHODS[name](votes, IMAGES, PEOPLE, prior)
    assert found.posteriors.shape == (IMAGES, 3)
    assert np.allclose(found.posteriors.sum(axis=1), 1)
    assert np.mean(found.labels == truth) > 0.85
    assert found.method == STAMPS.get(name, f"{name}-1")


@pytest.mark.parametrize("name", ["dawid-skene", "one-coin"])
def test_people_who_press_keys_at_random_count_for_less_than_by_majority(name: str) -> None:
    errors = {"majority": 0.0, name: 0.0}
    for seed in range(5):
        votes, truth = simulate(seed)
        for method in errors:
            labels = METHODS[method](votes, IMAGES, PEOPLE, None).labels
            errors[method] += float(np.mean(labels != truth))
    assert errors[name] < 0.8 * errors["majority"]


@pytest.mark.parametrize("name", ["dawid-skene", "one-coin"])
def test_a_tie_is_contested_and_a_label_that_nobody_gave_is_impossible(name: str) -> None:
    tie = Votes(np.array([0, 0, 1]), np.array([0, 1, 2]), np.array([0, 2, 3]))
    found = METHODS[name](tie, 2, 3, None)
    assert found.labels.tolist() == [-1, -1]
    assert found.posteriors[0].tolist() == [0.5, 0.0, 0.5]
    assert np.allclose(found.posteriors[1], 1 / 3)


def test_the_file_has_the_columns_of_the_export(
    any_db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator, settings: Settings
) -> None:
    campaign_id = make_dataset(any_db, count=3)
    people = [make_annotator(any_db).id for _ in range(2)]
    for person, answers in zip(people, [("left", "right"), ("left", "left")], strict=True):
        held = sorted(ids(lease(any_db, person, 3, settings)))
        for image_id, answer in zip(held, answers, strict=False):
            vote(any_db, person, image_id, answer, settings)
    text = "".join(stream_aggregation(any_db, *aggregate(any_db, campaign_id, "majority")))
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["label"], first["status"], first["method"]) == ("left", "agreed", "plurality-1")
    assert (second["label"], second["status"]) == ("", "contested")
    assert [second[f"votes_{label}"] for label in LABELS] == ["1", "0", "1"]


def test_what_cannot_be_done_is_said(any_db: Database, make_dataset: MakeDataset) -> None:
    campaign_id = make_dataset(any_db)
    with pytest.raises(InvalidInput, match=r"'voodoo' is not a known method\. Choose one of"):
        aggregate(any_db, campaign_id, "voodoo")
    with pytest.raises(Conflict, match="needs proposals"):
        aggregate(any_db, campaign_id, "model-and-votes")


def test_every_stamp_names_one_rule_and_is_explained() -> None:
    by_site = [stopping_rule.METHOD, majority.METHOD, GOLD_METHOD, DECISION_METHOD]
    by_command = [
        batch_aggregation.PLURALITY,
        batch_aggregation.MODEL_AND_VOTES,
        dawid_skene.METHOD,
    ]
    stamps = [*by_site, *by_command, DAWID_SKENE, ONE_COIN]
    page = (Path(__file__).resolve().parents[3] / "docs/export.md").read_text(encoding="utf-8")
    table = page.split("### Stamps")[1].split("###")[0]
    assert re.findall(r"^\| `([\w-]+)` ", table, re.MULTILINE) == stamps
    assert len(set(stamps)) == len(stamps)
