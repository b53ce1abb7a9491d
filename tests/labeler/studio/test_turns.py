"""Turns as rows: who sees them, how many a person may have, and what becomes of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict, InvalidInput, NotFound, TooManyTurns
from labeler.images import deletion
from labeler.jobs import queue
from labeler.jobs.turning import order_turn, retry_job
from labeler.models.accounts import Annotator
from labeler.models.audit import AuditEvent
from labeler.models.campaigns import Campaign
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio import files
from labeler.studio.turns import NewTurn, get_turn, list_turns, may_use_studio
from tests.conftest import MakeAnnotator
from tests.labeler.studio.labelled import even_faces, register_labelled

NEW = NewTurn("Ada turned", "ada.jpg")


def order(db: Database, settings: Settings, person: Annotator, name: str = "Ada turned") -> int:
    return order_turn(db, settings, replace(NEW, name=name), person.id, Actor(person.id))


def test_annotators_see_their_own_turns_only(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    boss = make_annotator(any_db, "boss", role="supervisor")
    ada, ben = (make_annotator(any_db, name) for name in ("ada", "ben"))
    numbers = [order(any_db, settings, person) for person in (ada, ben, boss, ada)]
    with any_db.read() as session:
        assert [one.id for one in list_turns(session, ada)] == [numbers[3], numbers[0]]
        assert [one.id for one in list_turns(session, boss)] == numbers[::-1]
        assert [one.id for one in list_turns(session, boss, own=True)] == [numbers[2]]
        assert list_turns(session, boss, finished=True) == []
        assert len(list_turns(session, boss, finished=False, limit=2)) == 2
        assert [one.id for one in list_turns(session, boss, before_id=numbers[1])] == [numbers[0]]
        assert get_turn(session, numbers[0], ada).name == "Ada turned"
        for number in (numbers[1], 999, 0, 2**40):
            with pytest.raises(NotFound):
                get_turn(session, number, ada)
        assert get_turn(session, numbers[1], boss).owner_id == ben.id


def test_annotators_use_the_studio_if_the_site_allows_it(
    db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    people = [make_annotator(db, role=role) for role in ("annotator", "supervisor", "admin")]
    assert [may_use_studio(one, settings) for one in people] == [False, True, True]
    assert may_use_studio(people[0], replace(settings, studio_for_annotators=True))


def test_a_person_has_three_turns_at_once(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada, ben = (make_annotator(any_db, name) for name in ("ada", "ben"))
    for _ in range(3):
        order(any_db, settings, ada)
    with pytest.raises(TooManyTurns, match="You have 3 heads waiting or being turned; 3 at once"):
        order(any_db, settings, ada)
    order(any_db, settings, ben)
    with any_db.write() as session:
        queue.cancel(session, 1, "ada")
    order(any_db, settings, ada)
    with any_db.read() as session:
        assert session.scalar(select(func.count()).select_from(HeadTurn)) == 5


def test_a_turn_that_is_tried_again_counts_among_those_of_its_owner(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada, ben = (make_annotator(any_db, name) for name in ("ada", "ben"))
    order(any_db, settings, ada)
    with any_db.write() as session:
        queue.cancel(session, 1, "ada")
    for _ in range(3):
        order(any_db, settings, ada)
    for by, words in ((ada, "You have 3 heads waiting"), (ben, "This person has 3 heads waiting")):
        with any_db.write() as session, pytest.raises(TooManyTurns, match=words):
            retry_job(session, settings, 1, Actor(by.id))
    with any_db.write() as session:
        queue.cancel(session, 2, "ada")
        assert retry_job(session, settings, 1, Actor(ben.id)).state == "queued"
    with any_db.write() as session, pytest.raises(Conflict, match="Only a failed or cancelled"):
        retry_job(session, settings, 1, Actor(ada.id))


def test_forms_that_are_sent_at_once_are_counted(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada = make_annotator(any_db, "ada")
    refused = []

    def send() -> None:
        try:
            order(any_db, settings, ada)
        except TooManyTurns:
            refused.append(1)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with any_db.read() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 3
    assert len(refused) == 5


def test_a_refused_turn_leaves_no_upload(
    db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada = make_annotator(db, "ada")
    upload = files.keep_upload(settings.home, b"picture", ".png")
    with pytest.raises(InvalidInput, match="Enter a name of 1 to 120 characters"):
        order_turn(db, settings, replace(NEW, name=" "), ada.id, Actor(ada.id), upload)
    assert list((settings.home / "studio").iterdir()) == []
    with db.read() as session:
        assert session.scalars(select(AuditEvent)).all() == []


def test_numbers_are_never_used_again(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    ada = make_annotator(any_db, "ada")
    first = order(any_db, settings, ada)
    with any_db.write() as session:
        session.delete(session.get_one(HeadTurn, first))
    assert order(any_db, settings, ada) == first + 1


def test_a_turn_outlives_its_data_set(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, tmp_path: Path
) -> None:
    ada = make_annotator(any_db, "ada")
    found = register_labelled(any_db, tmp_path, even_faces(1))
    wanted = replace(
        NEW,
        dataset_id=found.dataset_id,
        campaign_id=found.campaign_id,
        image_id=found.image_ids[0],
    )
    turn_id = order_turn(any_db, settings, wanted, ada.id, Actor(ada.id))
    with any_db.write() as session:
        session.get_one(Campaign, found.campaign_id).active = False
        session.flush()
        deletion.mark_deleted(session, found.dataset_id)
    deletion.remove_rows(any_db, found.dataset_id)
    with any_db.read() as session:
        turn = session.get_one(HeadTurn, turn_id)
    assert (turn.dataset_id, turn.campaign_id, turn.image_id) == (None, None, None)
    assert turn.source_name == "ada.jpg"
