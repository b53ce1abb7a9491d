"""Runs that begin by themselves: when, one at a time, watched, stopped, seen without a restart."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from labeler.assignment.leases import lease_images, release_leases
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.jobs import kinds
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus
from labeler.models.images import Dataset
from labeler.models.proposals import ModelRun
from labeler.models.voting import Lease
from labeler.proposals import runs
from labeler.proposals.runs import (
    ABANDONED_AFTER,
    current_run,
    publish_run,
    running_run,
    start_run,
    stop_run,
    working,
)
from labeler.proposals.schedule import FIRST_VOTES, find_due, load_schedule
from tests.labeler import acting
from tests.labeler.acting import at_once, set_rules, waiting
from tests.labeler.lit_faces import add_people, cycle_labels, register, vote, write_faces

COUNT = 60
LABELS = cycle_labels(COUNT)


@pytest.fixture
def dataset_id(any_db: Database, tmp_path: Path) -> int:
    with any_db.write() as session:
        dataset = register(session, tmp_path / "faces", LABELS)
        add_people(session, 3)
        return dataset.id


def cast(db: Database, dataset_id: int, names: list[str], answer: str | None = None) -> None:
    """One vote each, true or as given, by a person who has not answered there."""
    with db.write() as session:
        people = list(session.scalars(select(Annotator).order_by(Annotator.id)))
        dataset = session.get_one(Dataset, dataset_id)
        vote(session, dataset, {name: [answer or LABELS[name]] for name in names}, people)


def due_at(db: Database) -> int | None:
    with db.read() as session:
        return load_schedule(session, session.get_one(Campaign, 1)).due_at


def due(db: Database) -> int | None:
    """The one campaign whose run is due; None if none is."""
    with db.read() as session:
        found = find_due(session)
    assert len(found) <= 1
    return found[0] if found else None


def run_with(db: Database, dataset_id: int, votes: int) -> int:
    run_id = start_run(db, dataset_id, "test", {"campaign_id": 1, "votes": votes})
    publish_run(db, run_id, {})
    return run_id


def test_the_first_run_is_due_after_a_few_votes(any_db: Database, dataset_id: int) -> None:
    names = list(LABELS)
    cast(any_db, dataset_id, names[: FIRST_VOTES - 1])
    assert due(any_db) is None
    cast(any_db, dataset_id, names[FIRST_VOTES - 1 : FIRST_VOTES])
    assert due(any_db) == 1


def test_the_next_one_by_number_and_by_share(any_db: Database, dataset_id: int) -> None:
    set_rules(any_db, retrain_votes=20, retrain_share=0.5)
    assert due_at(any_db) == FIRST_VOTES
    run_with(any_db, dataset_id, 15)
    assert due_at(any_db) == 35
    run_with(any_db, dataset_id, 101)
    assert due_at(any_db) == 152
    failed = start_run(any_db, dataset_id, "test", {"campaign_id": 1, "votes": 200})
    with any_db.write() as session:
        stop_run(session, failed, "ada")
    assert due_at(any_db) == 300, "one that failed is not tried again at once"


def test_an_interrupted_run_is_tried_again_but_not_for_ever(
    any_db: Database, dataset_id: int
) -> None:
    """As when the site is stopped while the first model is trained."""
    cast(any_db, dataset_id, list(LABELS)[:30])
    for then_due in (1, None):
        start_run(any_db, dataset_id, "test", {"campaign_id": 1, "votes": 30})
        assert due(any_db) is None, "it may still be alive"
        with any_db.write() as session:
            session.execute(update(ModelRun).values(beat_at=utc_now() - 2 * ABANDONED_AFTER))
        assert due(any_db) == then_due
    assert due_at(any_db) == 130


def test_runs_of_another_campaign_do_not_count(any_db: Database, dataset_id: int) -> None:
    run_with(any_db, dataset_id, 15)
    other = start_run(any_db, dataset_id, "test", {"campaign_id": 2, "votes": 900})
    publish_run(any_db, other, {})
    assert due_at(any_db) == 115


def test_it_can_be_switched_off(any_db: Database, dataset_id: int) -> None:
    cast(any_db, dataset_id, list(LABELS)[:30])
    assert due(any_db) == 1
    set_rules(any_db, retrain_votes=0)
    assert (due_at(any_db), due(any_db)) == (None, None)


def test_nothing_is_due_where_nothing_can_be_learnt(any_db: Database, dataset_id: int) -> None:
    cast(any_db, dataset_id, list(LABELS)[:30], "left")
    assert due(any_db) is None


def test_nothing_is_due_while_a_run_is_in_training(any_db: Database, dataset_id: int) -> None:
    cast(any_db, dataset_id, list(LABELS)[:30])
    start_run(any_db, dataset_id, "test", {})
    assert due(any_db) is None


def test_one_run_of_a_data_set_at_a_time(any_db: Database, dataset_id: int) -> None:
    found = at_once(lambda _: start_run(any_db, dataset_id, "test", {}), 4)
    refused = [one for one in found if isinstance(one, Conflict)]
    assert len(refused) == 3, found
    with any_db.read() as session:
        assert running_run(session, dataset_id) is not None


def test_a_run_without_a_sign_of_life_makes_room(any_db: Database, dataset_id: int) -> None:
    old = start_run(any_db, dataset_id, "test", {})
    silent = utc_now() - 2 * ABANDONED_AFTER
    with any_db.write() as session:
        session.execute(update(ModelRun).values(beat_at=silent))
    with any_db.read() as session:
        assert running_run(session, dataset_id) is None
    start_run(any_db, dataset_id, "test", {})
    with any_db.read() as session:
        assert session.get_one(ModelRun, old).status == "failed"


def test_a_run_tells_how_far_it_is(
    any_db: Database, dataset_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BEAT_S", 0.01)
    run_id = start_run(any_db, dataset_id, "test", {})
    with working(any_db, run_id) as watch:
        first = wait_for(any_db, run_id, None)
        watch.tell("proposing", 256, 1_000)
        wait_for(any_db, run_id, "proposing")
        with any_db.read() as session:
            run = session.get_one(ModelRun, run_id)
        assert (run.progress["done"], run.progress["total"]) == (256, 1_000)
        assert run.beat_at > first
        publish_run(any_db, run_id, {})


def wait_for(db: Database, run_id: int, step: str | None) -> datetime:
    for _ in range(500):
        with db.read() as session:
            run = session.get_one(ModelRun, run_id)
        if run.progress is not None and run.progress.get("step") == step:
            assert run.beat_at is not None
            return run.beat_at
        threading.Event().wait(0.01)
    raise AssertionError(f"nothing was heard of {step}")


def test_a_stopped_run_ends_and_says_who_did_it(
    any_db: Database, dataset_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BEAT_S", 0.01)
    run_id = start_run(any_db, dataset_id, "test", {})
    with pytest.raises(Conflict, match="was stopped"), working(any_db, run_id) as watch:  # noqa: PT012
        with any_db.write() as session:
            stop_run(session, run_id, "ada")
        for _ in range(500):
            watch.tell("proposing")
            threading.Event().wait(0.01)
    with any_db.read() as session:
        assert session.get_one(ModelRun, run_id).problem == "stopped by ada"


def test_the_worker_trains_by_itself_and_people_see_it(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    """The same application and database objects throughout: nothing is started anew."""
    write_faces(tmp_path / "faces", LABELS)
    with db.write() as session:
        dataset_id = register(session, tmp_path / "faces", LABELS).id
        people = [person.id for person in add_people(session, 3)]
    set_rules(db, proposals="shown", order="uncertain")
    assert acting.due(settings) == ["refresh_all_images 1"]
    assert shown(db, people[1], settings) is None
    cast(db, dataset_id, list(LABELS)[:FIRST_VOTES])
    assert acting.due(settings) == ["propose_labels 1"]
    with db.read() as session:
        run = current_run(session, dataset_id)
        assert run is not None
        first_asked = session.scalars(
            select(Consensus.image_id).order_by(Consensus.priority, Consensus.random_key).limit(1)
        ).one()
    assert run.settings["automatic"] is True
    assert run.metrics["n_measured"] > 0
    assert shown(db, people[2], settings) == (first_asked, run.id)
    assert acting.due(settings) == [], "not again before there are new votes"


def shown(db: Database, annotator_id: int, settings: Settings) -> tuple[int, int] | None:
    """The next image of a person and the run whose proposal stands beside it."""
    with db.write() as session:
        (leased,) = lease_images(session, annotator_id, 1, settings=settings)
        lease = session.scalars(select(Lease).where(Lease.annotator_id == annotator_id)).one()
        run_id = lease.shown_run_id
        release_leases(session, annotator_id)  # or the next person might be given another image
        return (leased.image_id, run_id) if run_id else None


def test_a_training_that_waits_is_not_queued_twice(any_db: Database, dataset_id: int) -> None:
    with any_db.write() as session:
        for campaign_id in (1, 1, 2):
            kinds.propose_labels.queue(session, campaign_id)
    assert waiting(any_db) == 2
