"""The status of people: set by a supervisor or by the rules, and what each status means."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from labeler.audit.log import Actor
from labeler.campaigns.participation import (
    ParticipantStatus,
    RoundResult,
    list_statuses,
    pause_person,
    resume_person,
    send_to_qualification,
    set_status,
)
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound
from labeler.gold.service import NewGold, add_gold
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Skill
from labeler.models.images import Image
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import lease, set_rules, vote


@pytest.fixture
def campaign_id(any_db: Database, make_dataset: MakeDataset) -> int:
    make_dataset(any_db, 6)
    with any_db.read() as session:
        return session.scalars(select(Campaign.id)).one()


@pytest.fixture
def ada(any_db: Database, make_annotator: MakeAnnotator) -> int:
    return make_annotator(any_db).id


@pytest.fixture
def boss(any_db: Database, make_annotator: MakeAnnotator) -> int:
    return make_annotator(any_db, role="supervisor").id


def status(db: Database, campaign_id: int, person: int) -> ParticipantStatus:
    with db.read() as session:
        return list_statuses(session, campaign_id)[person]


def make_gold(db: Database, campaign_id: int) -> None:
    with db.write() as session:
        first = session.scalars(select(Image.id).order_by(Image.id)).first()
        assert first is not None
        add_gold(session, campaign_id, [NewGold(first, "left")], "csv")


def test_a_pause_stops_new_images_and_keeps_held_ones(
    any_db: Database, campaign_id: int, ada: int, boss: int, settings: Settings
) -> None:
    [held] = lease(any_db, ada, 1, settings)
    with any_db.write() as session:
        pause_person(session, campaign_id, ada, "  Too fast, please look longer. ", Actor(boss))
    found = status(any_db, campaign_id, ada)
    assert (found.status, found.reason, found.by_rules) == (
        "paused",
        "Too fast, please look longer.",
        False,
    )
    assert lease(any_db, ada, 1, settings) == []
    assert vote(any_db, ada, held.image_id, "left", settings).created
    with any_db.write() as session:
        resume_person(session, campaign_id, ada, Actor(boss))
    assert status(any_db, campaign_id, ada).reason == ""
    assert len(lease(any_db, ada, 1, settings)) == 1


def test_a_pause_needs_a_reason(any_db: Database, campaign_id: int, ada: int, boss: int) -> None:
    for reason in ("", "   ", "x" * 301):
        with any_db.write() as session, pytest.raises(InvalidInput, match="reason"):
            pause_person(session, campaign_id, ada, reason, Actor(boss))
    assert status(any_db, campaign_id, ada).status == "working"


def test_the_qualification_needs_rules_and_gold(
    any_db: Database, campaign_id: int, ada: int, boss: int, settings: Settings
) -> None:
    with any_db.write() as session, pytest.raises(Conflict, match="no qualification"):
        send_to_qualification(session, campaign_id, ada, Actor(boss))
    set_rules(any_db, training=5)
    assert status(any_db, campaign_id, ada).status == "working", "nothing to train on yet"
    with any_db.write() as session, pytest.raises(Conflict, match="this campaign has none"):
        send_to_qualification(session, campaign_id, ada, Actor(boss))
    make_gold(any_db, campaign_id)
    assert status(any_db, campaign_id, ada).status == "training"
    with any_db.write() as session:
        resume_person(session, campaign_id, ada, Actor(boss))  # excused
    assert len(lease(any_db, ada, 1, settings)) == 1
    with any_db.write() as session:
        send_to_qualification(session, campaign_id, ada, Actor(boss))
    assert status(any_db, campaign_id, ada).status == "training"
    assert lease(any_db, ada, 1, settings) == []


def test_who_said_so_is_told(any_db: Database, campaign_id: int, ada: int, boss: int) -> None:
    with any_db.write() as session:
        set_status(session, campaign_id, ada, "paused", reason="Right on 2 of 12 gold questions.")
    assert status(any_db, campaign_id, ada).by_rules
    with any_db.write() as session:
        pause_person(session, campaign_id, ada, "See me.", Actor(boss))
    assert not status(any_db, campaign_id, ada).by_rules
    assert status(any_db, campaign_id, boss).by_rules
    assert status(any_db, campaign_id, boss).changed_at is None


def test_a_rule_writes_over_no_decision(
    any_db: Database, campaign_id: int, ada: int, boss: int
) -> None:
    def by_rule(status: str, result: RoundResult | None = None) -> bool:
        with any_db.write() as session:
            return set_status(session, campaign_id, ada, status, result=result)

    assert by_rule("paused")
    assert not by_rule("paused"), "already"
    assert not by_rule("working", RoundResult(1)), "the qualification ends no pause"
    with any_db.write() as session:
        set_status(session, campaign_id, ada, "training", by=Actor(boss))
    assert not by_rule("paused")
    assert not by_rule("working", RoundResult(1)), "of a round that is over"
    assert by_rule("training", RoundResult(2))
    assert by_rule("working", RoundResult(3))
    assert not by_rule("paused"), "whom a supervisor has sent to the qualification"
    assert status(any_db, campaign_id, ada).status == "working"


def test_flags_are_listed_as_sentences(any_db: Database, campaign_id: int, ada: int) -> None:
    with any_db.write() as session:
        session.add(
            Skill(
                campaign_id=campaign_id,
                annotator_id=ada,
                confusion=[],
                copy_rate=0.0,
                figures={},
                flags=[["too_fast", "Half took under 0.4 s."]],
            )
        )
    assert list(status(any_db, campaign_id, ada).flags) == ["Half took under 0.4 s."]


def test_what_there_is_not(any_db: Database, campaign_id: int, ada: int, boss: int) -> None:
    for campaign, person in ((99, ada), (campaign_id, 99)):
        with any_db.write() as session, pytest.raises(NotFound):
            resume_person(session, campaign, person, Actor(boss))
    with any_db.write() as session, pytest.raises(InvalidInput, match="working"):
        set_status(session, campaign_id, ada, "asleep", by=Actor(boss))
    with any_db.read() as session, pytest.raises(NotFound):
        list_statuses(session, 99)
