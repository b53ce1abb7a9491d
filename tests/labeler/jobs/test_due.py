"""What the worker does once a minute follows from the votes that are stored, however they came."""

from __future__ import annotations

import dataclasses
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from labeler.accounts import sessions
from labeler.app import create_app
from labeler.assignment.leases import write_leases
from labeler.campaigns.service import (
    CampaignPlan,
    activate_campaign,
    create_campaign,
    deactivate_campaign,
)
from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.jobs import kinds
from labeler.jobs import queue as jobs_queue
from labeler.jobs.worker import Worker
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Consensus, Estimate, Skill
from labeler.models.jobs import Job
from labeler.models.voting import Vote
from labeler.quality import refresh
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler import acting
from tests.labeler.conftest import Browser, Visit, lease
from tests.labeler.verification.test_page import fields, open_grid

IMAGES = 6


@pytest.fixture
def site(any_db: Database, settings: Settings) -> Settings:
    """The site and the worker use the database of the test, SQLite or PostgreSQL."""
    return dataclasses.replace(settings, database_url=any_db.url)


@pytest.fixture
def campaign_id(any_db: Database, make_dataset: MakeDataset) -> int:
    """Six images whose campaign never trains a model by itself."""
    make_dataset(any_db, IMAGES)
    acting.set_rules(any_db, retrain_votes=0)
    return 1


@pytest.fixture
def app(any_db: Database, site: Settings) -> Iterator[Flask]:
    application = create_app(site)
    yield application
    application.extensions["sidelight_db"].dispose()


@pytest.fixture
def visit(app: Flask, any_db: Database, site: Settings, make_annotator: MakeAnnotator) -> Visit:
    def signed_in(role: str) -> Browser:
        client, person = app.test_client(), make_annotator(any_db, role=role)
        with any_db.write() as session:
            token = sessions.open_session(session, person, "tests", site)
        with client.session_transaction() as cookie:
            cookie["token"] = token
        return Browser(client, person.id)

    return signed_in


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six votes are enough for a refresh."""
    monkeypatch.setattr(refresh, "REFRESH_EVERY", IMAGES)


def answer_all(browser: Browser) -> None:
    """Six votes through the label page."""
    for image in lease(browser, IMAGES):
        body = {"image_id": image["image_id"], "answer": "left", "request_id": str(uuid.uuid4())}
        assert browser.send("/label/votes", body).status_code == 201


def skilled(db: Database) -> list[tuple[int, int]]:
    """Campaign and person of each row of annotator skills."""
    with db.read() as session:
        return [(one.campaign_id, one.annotator_id) for one in session.scalars(select(Skill))]


@pytest.mark.usefixtures("few")
def test_votes_through_the_label_page(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    assert acting.due(site) == []
    ann = visit("annotator")
    answer_all(ann)
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]
    assert skilled(any_db) == [(campaign_id, ann.annotator_id)]
    assert acting.due(site) == [], "not again before there are new votes"


@pytest.mark.usefixtures("few")
def test_votes_through_the_grid(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    with any_db.read() as session:
        images = session.scalars(select(Consensus.image_id)).all()
    acting.publish_run(any_db, 1, dict.fromkeys(images, (0.8, 0.1, 0.1)), utc_now())
    with any_db.write() as session:
        rebuild(session, campaign_id)
    ann = visit("annotator")
    assert ann.submit("/grid", fields(open_grid(ann))).status_code == 303
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]
    assert skilled(any_db) == [(campaign_id, ann.annotator_id)]


def test_a_hundred_votes_are_enough_and_people_are_paused(
    any_db: Database, site: Settings, make_annotator: MakeAnnotator, make_dataset: MakeDataset
) -> None:
    """By the service that all entry points call; zoe is wrong on all gold."""
    make_dataset(any_db, 25)
    acting.set_rules(any_db, retrain_votes=0)
    images = acting.queue(any_db)
    acting.make_gold(any_db, dict.fromkeys(images, "left"))
    people = [make_annotator(any_db).id for _ in range(4)]
    zoe = people[-1]
    for person in people:
        with any_db.write() as session:
            rows = [{"image_id": image_id, "blind": True} for image_id in images]
            write_leases(session, 1, person, rows, site, acting.NOON)
    todo = [(person, image_id) for person in people for image_id in images]
    for n, (person, image_id) in enumerate(todo):
        if n == 99:
            assert acting.due(site) == []
        answer = "right" if person == zoe else "left"
        acting.vote(any_db, person, image_id, answer, site)
    assert acting.due(site) == ["refresh_campaign 1"]
    with any_db.read() as session:
        paused = session.scalars(select(Participation)).all()
    assert [(row.annotator_id, row.status) for row in paused] == [(zoe, "paused")]


@pytest.mark.usefixtures("few")
def test_changed_answers_though_the_number_of_current_votes_stays(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    ann = visit("annotator")
    answer_all(ann)
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]
    with any_db.read() as session:
        images = session.scalars(select(Vote.image_id)).all()
    for image_id in images:
        acting.vote(any_db, ann.annotator_id, image_id, "right", site, now=utc_now())
    assert acting.current_votes(any_db) == IMAGES
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]
    assert acting.due(site) == []


@pytest.mark.usefixtures("few")
def test_votes_that_were_undone(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    ann = visit("annotator")
    answer_all(ann)
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]
    with any_db.read() as session:
        votes = session.scalars(select(Vote.id)).all()
    for vote_id in votes:
        assert ann.send(f"/label/votes/{vote_id}/undo", {}).status_code == 200
    assert acting.current_votes(any_db) == 0
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]
    assert acting.due(site) == []


@pytest.mark.usefixtures("few")
def test_an_estimate_of_an_earlier_version_is_refreshed_once(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    """Earlier versions did not store the newest vote."""
    answer_all(visit("annotator"))
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]
    with any_db.write() as session:
        estimate = session.get_one(Estimate, campaign_id)
        estimate.figures = {k: v for k, v in estimate.figures.items() if k != "newest_vote"}
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]
    assert acting.due(site) == []


@pytest.mark.usefixtures("few")
def test_a_campaign_that_is_no_longer_active_is_refreshed_too(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    answer_all(visit("annotator"))
    other = create_campaign(any_db, 1, CampaignPlan("other"))
    with any_db.write() as session:
        activate_campaign(session, other)
        deactivate_campaign(session, campaign_id)
        session.get_one(Campaign, other).rules = session.get_one(Campaign, campaign_id).rules
    answer_all(visit("annotator"))
    assert acting.due(site) == [f"refresh_campaign {other}", f"refresh_campaign {campaign_id}"]


@pytest.mark.usefixtures("few")
def test_a_campaign_of_a_newer_version_stops_no_other(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    create_campaign(any_db, 1, CampaignPlan("other"))
    answer_all(visit("annotator"))
    with any_db.write() as session:
        session.get_one(Campaign, 2).rules = {"of": "a newer version"}
    assert acting.due(site) == [f"refresh_campaign {campaign_id}"]


def test_new_rules_are_found_from_the_rows(
    any_db: Database, site: Settings, campaign_id: int
) -> None:
    """However they came: here nothing has queued a job."""
    assert acting.due(site) == []
    acting.set_rules(any_db, required_votes=2)
    assert acting.due(site) == [f"refresh_all_images {campaign_id}"]
    assert acting.due(site) == []
    acting.set_rules(any_db, required_votes=1)
    assert acting.due(site) == [f"refresh_all_images {campaign_id}"]


def test_rows_of_an_earlier_version_are_derived_once(
    any_db: Database, site: Settings, campaign_id: int
) -> None:
    with any_db.write() as session:
        session.execute(update(Consensus).values(rules_version=None))
    assert acting.due(site) == [f"refresh_all_images {campaign_id}"]
    assert acting.due(site) == []


def test_what_fails_is_not_queued_every_minute(
    any_db: Database, site: Settings, campaign_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Conflict("not today")

    acting.set_rules(any_db, required_votes=2)
    with monkeypatch.context() as broken:
        broken.setattr(refresh, "refresh_campaign", fail)
        assert acting.due(site) == [f"refresh_all_images {campaign_id}"]
    assert acting.due(site) == []
    with any_db.write() as session:
        session.execute(update(Job).values(created_at=utc_now() - kinds.RETRY_DUE_AFTER))
    assert acting.due(site) == [f"refresh_all_images {campaign_id}"]


@pytest.mark.usefixtures("few")
def test_workers_that_look_at_once_queue_a_job_once(
    any_db: Database,
    site: Settings,
    campaign_id: int,
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others have taken the job already, so that none is queued any more."""
    answer_all(visit("annotator"))
    both = threading.Barrier(2)
    find_due = refresh.find_due

    def find_together(session: Session) -> object:
        found = find_due(session)
        both.wait(10)
        return found

    monkeypatch.setattr(refresh, "find_due", find_together)

    def look_and_take() -> None:
        kinds.queue_due(any_db)
        jobs_queue.take(any_db, ("labels",), uuid.uuid4().hex)

    threads = [threading.Thread(target=look_and_take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with any_db.read() as session:
        assert len(session.scalars(select(Job)).all()) == 1


@pytest.mark.parametrize("queues", [("turning",), ("training", "figures"), ("labels", "training")])
def test_only_a_worker_of_labels_looks_for_due_jobs(
    db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch, queues: tuple[str, ...]
) -> None:
    looked = threading.Event()
    monkeypatch.setattr(kinds, "queue_due", lambda _db: [looked.set()][1:])
    with closing(Worker(settings, queues)) as worker:
        thread = threading.Thread(target=worker.run)
        thread.start()
        looked.wait(0.5 if "labels" not in queues else 10)
        worker.stop()
        thread.join()
    assert looked.is_set() == ("labels" in queues)
