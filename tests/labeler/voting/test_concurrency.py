"""Many people at once, on both databases: nothing is assigned twice, lost or doubled."""

from __future__ import annotations

import dataclasses
import multiprocessing
import random
import time
import uuid
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from labeler.assignment.leases import lease_images, write_leases
from labeler.assignment.presentation import as_seen
from labeler.config import Settings
from labeler.consensus.store import lock_image, rebuild
from labeler.database.engine import Database
from labeler.labels import ANSWERS
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus
from labeler.models.voting import Lease, Vote
from labeler.voting.service import SubmittedAnswer, cast_vote, undo_vote
from tests.conftest import PLAIN_RULES, MakeAnnotator, MakeDataset
from tests.labeler.acting import (
    at_once,
    current_votes,
    ids,
    lease,
    make_gold,
    queue,
    set_rules,
    vote,
)

WORKERS = 8
IMAGES = 30
REQUIRED = PLAIN_RULES.required_votes
T = TypeVar("T")


def over_leased(db: Database, required: int) -> int:
    """Images with more votes and leases than votes are needed, in one snapshot."""
    holders = (
        select(func.count())
        .where(Lease.image_id == Consensus.image_id, Lease.expires_at > utc_now())
        .scalar_subquery()
    )
    votes = sum(getattr(Consensus, f"votes_{answer}") for answer in ANSWERS)
    with db.read() as session:
        return session.scalar(select(func.count()).where(votes + holders > required)) or 0


def label_all(settings: Settings, annotator_id: int) -> tuple[list[tuple[int, str]], int]:
    """One person labels until nothing is left: acknowledged votes, and over-leased images seen.

    Some votes are sent twice, some are undone and cast again.
    """
    rng = random.Random(annotator_id)
    db = Database(settings.database_url)
    acknowledged, over = [], 0
    while leased := _lease(db, settings, annotator_id):
        over += over_leased(db, REQUIRED)
        for image_id in leased:
            answer, request = rng.choice(ANSWERS), str(uuid.uuid4())
            if rng.random() < 0.2:
                cast = _cast(db, settings, annotator_id, image_id, "left", str(uuid.uuid4()))
                with db.write() as session:
                    undo_vote(session, annotator_id, cast, settings=settings)
            for _ in range(2 if rng.random() < 0.3 else 1):
                _cast(db, settings, annotator_id, image_id, answer, request)
            acknowledged.append((image_id, answer))
    db.dispose()
    return acknowledged, over


def _lease(db: Database, settings: Settings, annotator_id: int) -> list[int]:
    with db.write() as session:
        return ids(lease_images(session, annotator_id, 3, settings=settings))


def _cast(db: Database, settings: Settings, person: int, image: int, answer: str, key: str) -> int:
    with db.write() as session:
        return cast_vote(
            session, person, SubmittedAnswer(image, answer, key), settings=settings
        ).vote_id


def label_together(
    settings: Settings, people: list[int]
) -> list[tuple[list[tuple[int, str]], int]]:
    """Several people at once in one process."""
    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(lambda person: label_all(settings, person), people))


def test_a_class_labels_everything_exactly_as_often_as_needed(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, make_dataset: MakeDataset
) -> None:
    dataset_id = make_dataset(any_db, IMAGES)
    settings = dataclasses.replace(settings, database_url=any_db.url)
    people = [make_annotator(any_db).id for _ in range(WORKERS)]
    halves = [people[::2], people[1::2]]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(label_together, settings, half) for half in halves]
        results = [result for part in parts for result in part.result()]
    by_person = dict(zip(halves[0] + halves[1], results, strict=True))

    assert sum(over for _, over in results) == 0
    acknowledged = Counter(
        (person, image_id, answer)
        for person, (votes, _) in by_person.items()
        for image_id, answer in votes
    )
    with any_db.read() as session:
        current = select(Vote.annotator_id, Vote.image_id, Vote.answer)
        stored = Counter(
            tuple(row) for row in session.execute(current.where(Vote.superseded_at.is_(None)))
        )
    assert stored == acknowledged
    assert sum(stored.values()) == IMAGES * REQUIRED
    with any_db.write() as session:
        assert rebuild(session, dataset_id) == 0
        still_open = select(func.count()).where(Consensus.status == "open")
        assert session.scalar(still_open) == 0
        assert session.scalar(select(func.count()).select_from(Lease)) == 0


def walk(settings: Settings, annotator_id: int) -> list[tuple[int, str]]:
    """One person labels as the page does: a few held, each vote brings the next."""
    rng, db = random.Random(annotator_id), Database(settings.database_url)
    acknowledged, held = [], _lease(db, settings, annotator_id)
    while held:
        image_id, answer = held.pop(0), rng.choice(ANSWERS)
        submitted = SubmittedAnswer(image_id, answer, str(uuid.uuid4()), next_count=1)
        with db.write() as session:
            cast = cast_vote(session, annotator_id, submitted, settings=settings)
        acknowledged.append((image_id, answer))
        held += ids(cast.next_images)
        # What is in hand is renewed and what was let go by others found, as by the page.
        held = held if held and rng.random() < 0.9 else _lease(db, settings, annotator_id)
    db.dispose()
    return acknowledged


def walk_together(settings: Settings, people: list[int]) -> list[list[tuple[int, str]]]:
    """Several people at once in one process."""
    with ThreadPoolExecutor(len(people)) as pool:
        return list(pool.map(lambda person: walk(settings, person), people))


@pytest.mark.parametrize("method", ["majority", "posterior"])
def test_votes_that_bring_the_next_image_beside_rebuilds(
    any_db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    make_dataset: MakeDataset,
    method: str,
) -> None:
    """Two processes of three people each, with gold, while everything is counted anew."""
    campaign_id = make_dataset(any_db, 18)
    set_rules(
        any_db,
        method=method,
        vote_cap=4,
        audit_share=0.3,
        gold_rate=0.3,
        gold_first=6,
        mirror_views=True,
    )
    gold = queue(any_db)[:6]
    make_gold(any_db, dict.fromkeys(gold, "left"))
    settings = dataclasses.replace(settings, database_url=any_db.url)
    people = [make_annotator(any_db).id for _ in range(6)]
    halves = [people[::2], people[1::2]]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(walk_together, settings, half) for half in halves]
        while not all(part.done() for part in parts):
            with any_db.write() as session:
                rebuild(session, campaign_id)
            time.sleep(0.03)  # SQLite has one writer at a time
        results = [result for part in parts for result in part.result()]
    said = {
        (person, image_id, answer)
        for person, votes in zip(halves[0] + halves[1], results, strict=True)
        for image_id, answer in votes
    }
    with any_db.read() as session:
        stored = list(session.scalars(select(Vote)))
        rows = {row.image_id: row for row in session.scalars(select(Consensus))}
    seen = [(one.annotator_id, one.image_id, as_seen(one.answer, one.mirrored)) for one in stored]
    assert len(seen) == sum(map(len, results))
    assert set(seen) == said
    needed = REQUIRED if method == "majority" else 4
    for image_id, row in rows.items():
        if image_id not in gold:
            assert sum(getattr(row, f"votes_{answer}") for answer in ANSWERS) <= needed
            assert row.status != "open"
    with any_db.write() as session:
        assert rebuild(session, campaign_id) == 0


@pytest.mark.postgres
def test_votes_pass_by_an_image_that_somebody_holds_up(
    postgres_db: Database,
    settings: Settings,
    make_annotator: MakeAnnotator,
    make_dataset: MakeDataset,
) -> None:
    """Two people vote on a gold image each and are due the other's: neither waits."""
    make_dataset(postgres_db, 4)
    people = [make_annotator(postgres_db).id for _ in range(2)]
    set_rules(postgres_db, gold_rate=1.0, gold_first=20)
    gold = queue(postgres_db)[:2]
    make_gold(postgres_db, dict.fromkeys(gold, "left"))
    with postgres_db.write() as session:
        for person, image_id in zip(people, gold, strict=True):
            write_leases(session, 1, person, [{"image_id": image_id}], settings, utc_now())
    barrier = Barrier(2, timeout=30)

    def work(number: int) -> list[int]:
        submitted = SubmittedAnswer(gold[number], "left", str(uuid.uuid4()), next_count=1)
        with postgres_db.write() as session:
            lock_image(session, 1, submitted.image_id)
            barrier.wait()
            cast = cast_vote(session, people[number], submitted, settings=settings)
            barrier.wait()  # neither has committed
            return ids(cast.next_images)

    first, second = at_once(work, 2)
    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    assert not set(first + second) & set(gold)


def test_the_same_request_at_once_is_stored_once(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, make_dataset: MakeDataset
) -> None:
    make_dataset(any_db, 2)
    ada = make_annotator(any_db).id
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    request = str(uuid.uuid4())
    results = at_once(lambda _: vote(any_db, ada, image_id, "left", settings, request_id=request))
    errors = [result for result in results if isinstance(result, Exception)]
    assert errors == []
    cast = [result for result in results if not isinstance(result, Exception)]
    assert sorted(one.created for one in cast) == [False] * (WORKERS - 1) + [True]
    assert len({one.vote_id for one in cast}) == 1
    assert current_votes(any_db) == 1


def test_one_person_in_many_windows_has_one_current_vote(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, make_dataset: MakeDataset
) -> None:
    dataset_id = make_dataset(any_db, 1)
    ada = make_annotator(any_db).id
    image_id = ids(lease(any_db, ada, 1, settings))[0]
    results = at_once(lambda number: vote(any_db, ada, image_id, ANSWERS[number % 4], settings))
    assert [result for result in results if isinstance(result, Exception)] == []
    assert current_votes(any_db) == 1
    with any_db.write() as session:
        assert rebuild(session, dataset_id) == 0


def test_rebuilding_beside_votes_loses_none(
    any_db: Database, settings: Settings, make_annotator: MakeAnnotator, make_dataset: MakeDataset
) -> None:
    dataset_id = make_dataset(any_db, 8)
    people = [make_annotator(any_db).id for _ in range(3)]
    for person in people:
        lease(any_db, person, 8, settings)

    def work(number: int) -> None:
        if number == len(people):
            for _ in range(5):
                with any_db.write() as session:
                    rebuild(session, dataset_id)
            return
        for image_id in ids(lease(any_db, people[number], 8, settings)):
            vote(any_db, people[number], image_id, "left", settings)

    assert at_once(work, len(people) + 1) == [None] * 4
    with any_db.write() as session:
        assert rebuild(session, dataset_id) == 0
        assert session.scalar(select(func.sum(Consensus.votes_left))) == 24
