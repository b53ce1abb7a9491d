"""Deriving the consensus again."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from labeler.assignment.leases import release_leases
from labeler.config import Settings
from labeler.consensus.majority import METHOD
from labeler.consensus.store import RANDOM_KEYS, add_rows, rebuild
from labeler.database.engine import Database
from labeler.models.consensus import Consensus
from labeler.models.images import Image
from tests.conftest import CountQueries, MakeAnnotator, MakeDataset
from tests.labeler.acting import after, lease, set_rules, vote

DERIVED = (
    "status",
    "label",
    "probability",
    "votes_left",
    "votes_center",
    "votes_right",
    "votes_unsure",
    "priority",
    "p_left",
    "p_center",
    "p_right",
    "method",
)


@pytest.fixture
def dataset_id(
    any_db: Database, make_dataset: MakeDataset, make_annotator: MakeAnnotator, settings: Settings
) -> int:
    """Four images; two people have answered the first two of the queue."""
    dataset_id = make_dataset(any_db, 4)
    for answers in (("left", "right"), ("left", "unsure")):
        person = make_annotator(any_db).id
        with any_db.read() as session:
            order = session.scalars(select(Consensus.image_id).order_by(Consensus.image_id)).all()
        lease(any_db, person, 4, settings)
        lease(any_db, person, 4, settings, after(settings.lease_seconds))
        for image_id, answer in zip(order, answers, strict=False):
            vote(any_db, person, image_id, answer, settings)
        with any_db.write() as session:
            release_leases(session, person)
    return dataset_id


def snapshot(db: Database) -> dict[int, tuple[object, ...]]:
    with db.read() as session:
        rows = session.scalars(select(Consensus))
        return {row.image_id: tuple(getattr(row, name) for name in DERIVED) for row in rows}


def test_what_was_spoilt_is_mended(any_db: Database, dataset_id: int) -> None:
    before = snapshot(any_db)
    spoilt = {
        "status": "agreed",
        "label": "center",
        "probability": 1.0,
        "votes_center": 5,
        "votes_left": 0,
        "votes_right": 0,
        "votes_unsure": 0,
        "priority": 5,
    }
    with any_db.write() as session:
        session.execute(update(Consensus).values(**spoilt))
        assert rebuild(session, dataset_id) == 4
        assert rebuild(session, dataset_id) == 0
    assert snapshot(any_db) == before


def test_lost_rows_are_made_again(any_db: Database, dataset_id: int) -> None:
    before = snapshot(any_db)
    with any_db.write() as session:
        session.execute(delete(Consensus))
        add_rows(session, dataset_id, list(before))
        keys = session.scalars(select(Consensus.random_key)).all()
    assert snapshot(any_db) == before
    assert len(set(keys)) == 4
    assert all(0 <= key < RANDOM_KEYS for key in keys)


def test_images_that_became_broken_leave(any_db: Database, dataset_id: int) -> None:
    first = min(snapshot(any_db))
    broken = update(Image).where(Image.id == first).values(status="broken", problem="gone")
    with any_db.write() as session:
        session.execute(broken)
        assert rebuild(session, dataset_id) == 1
    assert first not in snapshot(any_db)


def test_another_number_of_required_votes_decides_anew(any_db: Database, dataset_id: int) -> None:
    first, second, *_ = sorted(snapshot(any_db))
    assert {row[0] for row in snapshot(any_db).values()} == {"open"}
    set_rules(any_db, required_votes=2)
    with any_db.write() as session:
        assert rebuild(session, dataset_id) == 2
    after_all = snapshot(any_db)
    assert after_all[first][:3] == ("agreed", "left", 1.0)
    assert after_all[second][:3] == ("contested", None, None)
    assert {row[-1] for row in after_all.values()} == {METHOD}


def test_another_data_set_is_left_alone(
    any_db: Database, dataset_id: int, make_dataset: MakeDataset
) -> None:
    other = make_dataset(any_db, 3, name="others")
    spoilt = update(Consensus).values(votes_left=1, priority=1)
    with any_db.write() as session:
        session.execute(spoilt.where(Consensus.campaign_id == other))
        assert rebuild(session, dataset_id) == 0
        assert rebuild(session, other) == 3


def test_the_number_of_statements_does_not_grow(
    any_db: Database, dataset_id: int, make_dataset: MakeDataset, count_queries: CountQueries
) -> None:
    big = make_dataset(any_db, 40, name="big")
    numbers = []
    for one in (dataset_id, big):
        with count_queries(any_db) as statements, any_db.write() as session:
            rebuild(session, one)
        numbers.append(len(statements))
    assert numbers[1] <= numbers[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "agreed"},
        {"label": "left", "probability": 1.0},
        {"status": "agreed", "label": "top", "probability": 1.0},
        {"p_left": 0.9},
        {"status": "done"},
    ],
)
def test_the_database_refuses_nonsense(
    any_db: Database, dataset_id: int, wrong: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError, match="ck_consensus"), any_db.write() as session:
        session.execute(update(Consensus).values(**wrong))
