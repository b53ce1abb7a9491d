"""What the worker does once a minute follows from the votes that are stored, however they came."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator

import pytest
from flask import Flask
from huey import SqliteHuey
from sqlalchemy import select

from labeler import jobs
from labeler.accounts import sessions
from labeler.app import create_app
from labeler.assignment.leases import write_leases
from labeler.campaigns.service import CampaignPlan, activate_campaign, create_campaign
from labeler.config import Settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign, Participation
from labeler.models.consensus import Consensus, Estimate, Skill
from labeler.models.voting import Vote
from labeler.proposals import schedule
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
    assert jobs.tick(site) == jobs.TickReport([])
    ann = visit("annotator")
    answer_all(ann)
    assert jobs.tick(site) == jobs.TickReport([campaign_id])
    assert skilled(any_db) == [(campaign_id, ann.annotator_id)]
    assert jobs.tick(site) == jobs.TickReport([]), "not again before there are new votes"


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
    assert jobs.tick(site) == jobs.TickReport([campaign_id])
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
            assert jobs.tick(site).refreshed == []
        answer = "right" if person == zoe else "left"
        acting.vote(any_db, person, image_id, answer, site)
    assert jobs.tick(site).refreshed == [1]
    with any_db.read() as session:
        paused = session.scalars(select(Participation)).all()
    assert [(row.annotator_id, row.status) for row in paused] == [(zoe, "paused")]


@pytest.mark.usefixtures("few")
def test_changed_answers_though_the_number_of_current_votes_stays(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    ann = visit("annotator")
    answer_all(ann)
    assert jobs.tick(site).refreshed == [campaign_id]
    with any_db.read() as session:
        images = session.scalars(select(Vote.image_id)).all()
    for image_id in images:
        acting.vote(any_db, ann.annotator_id, image_id, "right", site, now=utc_now())
    assert acting.current_votes(any_db) == IMAGES
    assert jobs.tick(site).refreshed == [campaign_id]
    assert jobs.tick(site).refreshed == []


@pytest.mark.usefixtures("few")
def test_votes_that_were_undone(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    ann = visit("annotator")
    answer_all(ann)
    assert jobs.tick(site).refreshed == [campaign_id]
    with any_db.read() as session:
        votes = session.scalars(select(Vote.id)).all()
    for vote_id in votes:
        assert ann.send(f"/label/votes/{vote_id}/undo", {}).status_code == 200
    assert acting.current_votes(any_db) == 0
    assert jobs.tick(site).refreshed == [campaign_id]
    assert jobs.tick(site).refreshed == []


@pytest.mark.usefixtures("few")
def test_an_estimate_of_an_earlier_version_is_refreshed_once(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    """Earlier versions did not store the newest vote."""
    answer_all(visit("annotator"))
    assert jobs.tick(site).refreshed == [campaign_id]
    with any_db.write() as session:
        estimate = session.get_one(Estimate, campaign_id)
        estimate.figures = {k: v for k, v in estimate.figures.items() if k != "newest_vote"}
    assert jobs.tick(site).refreshed == [campaign_id]
    assert jobs.tick(site).refreshed == []


@pytest.mark.usefixtures("few")
def test_a_campaign_that_is_no_longer_active_is_refreshed_too(
    any_db: Database, site: Settings, campaign_id: int, visit: Visit
) -> None:
    answer_all(visit("annotator"))
    other = create_campaign(any_db, 1, CampaignPlan("other"))
    with any_db.write() as session:
        activate_campaign(session, other)
        session.get_one(Campaign, other).rules = session.get_one(Campaign, campaign_id).rules
    answer_all(visit("annotator"))
    assert jobs.tick(site).refreshed == [other, campaign_id]


@pytest.mark.usefixtures("few")
def test_a_refresh_that_fails_stops_neither_the_others_nor_the_training(
    any_db: Database,
    site: Settings,
    campaign_id: int,
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = create_campaign(any_db, 1, CampaignPlan("other"))
    answer_all(visit("annotator"))
    with any_db.write() as session:
        activate_campaign(session, other)
        session.get_one(Campaign, other).rules = {"of": "a newer version"}
    trained: list[int] = []
    monkeypatch.setattr(schedule, "find_due", lambda _session: other)
    monkeypatch.setattr(jobs, "_propose", lambda _db, _settings, n, *_, **__: trained.append(n))
    monkeypatch.setattr(refresh, "find_due", lambda _session: [other, campaign_id])
    assert jobs.tick(site) == jobs.TickReport([campaign_id], other)
    assert trained == [other]


@pytest.mark.usefixtures("few")
def test_a_training_that_fails_stops_no_refresh(
    any_db: Database,
    site: Settings,
    campaign_id: int,
    visit: Visit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_session: object) -> int:
        raise RuntimeError("no memory")

    monkeypatch.setattr(schedule, "find_due", fail)
    answer_all(visit("annotator"))
    assert jobs.tick(site) == jobs.TickReport([campaign_id])
    with any_db.read() as session:
        assert session.get_one(Estimate, campaign_id).figures["votes"] == IMAGES


def test_jobs_of_another_version_are_passed_over(settings: Settings) -> None:
    other = SqliteHuey("sidelight", filename=str(settings.jobs_path), results=False)
    other.task(name="retrain_if_due")(lambda: None)()
    jobs.propose_labels.queue(settings, 1)
    assert jobs.count_waiting(settings) == 1
