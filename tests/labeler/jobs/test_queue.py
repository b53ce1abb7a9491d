"""The queue: each job is taken once, and what a worker leaves behind is taken up again."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from labeler.database.engine import Database
from labeler.errors import Conflict, NotFound
from labeler.jobs import queue
from labeler.jobs.kinds import QUEUES
from labeler.jobs.queue import MAX_ATTEMPTS, AbandonedJobs, TakenJob
from labeler.models.base import utc_now
from labeler.models.jobs import Job
from tests.labeler.acting import at_once


def add(db: Database, count: int = 1, name: str = "labels") -> list[int | None]:
    with db.write() as session:
        return [queue.add(session, "fill_campaign", n, {}, queue=name) for n in range(count)]


def take(db: Database, *queues: str) -> TakenJob:
    taken = queue.take(db, queues or QUEUES, uuid.uuid4().hex)
    assert taken is not None
    return taken


def state(db: Database, job_id: int) -> tuple[str, int, str]:
    with db.read() as session:
        job = session.get_one(Job, job_id)
        return job.state, job.attempts, job.problem or ""


def test_each_job_is_taken_once_however_many_workers_there_are(any_db: Database) -> None:
    added = add(any_db, 24)

    def work(_: int) -> list[int]:
        mine = []
        while (taken := queue.take(any_db, QUEUES, uuid.uuid4().hex)) is not None:
            mine.append(taken.id)
            assert queue.end(any_db, taken, log="")
        return mine

    taken = [job_id for mine in at_once(work) if isinstance(mine, list) for job_id in mine]
    assert sorted(taken) == added


def test_the_oldest_comes_first_and_only_from_the_queues_of_the_worker(any_db: Database) -> None:
    (training,), (labels,) = add(any_db, name="training"), add(any_db, name="labels")
    assert queue.take(any_db, ["figures"], "w") is None
    assert take(any_db, "labels", "figures").id == labels
    assert take(any_db).id == training


def test_a_job_that_is_queued_once(any_db: Database) -> None:
    with any_db.write() as session:
        for subject in (1, 1, 2):
            queue.add(session, "k", subject, {}, queue="labels", once=True)
    assert [take(any_db).subject for _ in range(2)] == [1, 2]
    with any_db.write() as session:  # the one that runs may have read what is old by now
        assert queue.add(session, "k", 1, {}, queue="labels", once=True) is not None


def test_a_change_that_is_rolled_back_takes_its_job_with_it(any_db: Database) -> None:
    with pytest.raises(RuntimeError), any_db.write() as session:  # noqa: PT012
        queue.add(session, "k", 1, {}, queue="labels")
        raise RuntimeError
    assert queue.take(any_db, QUEUES, "w") is None


def test_a_silent_worker_loses_its_job_at_most_three_times(any_db: Database) -> None:
    (job_id,) = add(any_db)
    assert job_id is not None
    for attempt in range(1, MAX_ATTEMPTS + 1):
        taken = take(any_db)
        assert taken.attempt == attempt
        others = AbandonedJobs(after_s=0)
        assert others.hand_back(any_db) == [job_id]
        assert not queue.report(any_db, taken, None, ""), "it is no longer its own"
        assert not queue.end(any_db, taken, log="")
    assert state(any_db, job_id)[:2] == ("failed", MAX_ATTEMPTS)
    assert "attempt 3 of 3" in state(any_db, job_id)[2]
    assert queue.take(any_db, QUEUES, "w") is None


def test_a_worker_that_reports_keeps_its_job_whatever_the_clock_says(any_db: Database) -> None:
    (job_id,) = add(any_db)
    taken = take(any_db)
    others = AbandonedJobs(after_s=0.001)
    for hours in (-1, 1, -1):
        with any_db.write() as session:
            session.execute(update(Job).values(beat_at=utc_now() + timedelta(hours=hours)))
        assert queue.report(any_db, taken, {"step": "a", "done": 1, "total": 2}, "x")
        assert others.hand_back(any_db) == []
    assert state(any_db, job_id or 0)[0] == "running"


def test_two_observers_hand_a_job_back_once(any_db: Database) -> None:
    add(any_db, 4)
    for _ in range(4):
        take(any_db)
    handed = at_once(lambda _: AbandonedJobs(after_s=0).hand_back(any_db))
    ids = [job_id for one in handed if isinstance(one, list) for job_id in one]
    assert len(ids) == len(set(ids)) == 4


def test_a_worker_that_is_stopped_costs_no_attempt(any_db: Database) -> None:
    (job_id,) = add(any_db)
    for _ in range(MAX_ATTEMPTS + 1):
        assert queue.hand_back(any_db, take(any_db), "stopped", counted=False, log="")
    assert state(any_db, job_id or 0)[:2] == ("queued", 0)


def test_cancel_and_retry(any_db: Database) -> None:
    (job_id,) = add(any_db)
    assert job_id is not None
    taken = take(any_db)
    with any_db.write() as session:
        queue.cancel(session, job_id, "ada")
    assert not queue.end(any_db, taken, log="")
    assert state(any_db, job_id) == ("cancelled", 1, "cancelled by ada")
    with any_db.write() as session, pytest.raises(Conflict, match="has ended"):
        queue.cancel(session, job_id, "ada")
    with any_db.write() as session:
        queue.retry(session, job_id)
    with any_db.write() as session, pytest.raises(Conflict, match="is queued"):
        queue.retry(session, job_id)
    assert take(any_db).attempt == 1
    with any_db.write() as session, pytest.raises(NotFound):
        queue.retry(session, 99)


def test_open_jobs_are_those_that_matter(any_db: Database) -> None:
    add(any_db, 3)
    for problem in ("broken", "broken", None):
        queue.end(any_db, take(any_db), problem=problem, log="")
    with any_db.write() as session:
        queue.add(session, "fill_campaign", 0, {}, queue="labels")
        shown = [(job.subject, job.state) for job in queue.list_open(session)]
    assert shown == [(0, "queued"), (1, "failed")], "a later one has followed the first failure"


def test_only_the_newest_ended_jobs_are_kept(
    any_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "KEPT", 2)
    added = add(any_db, 4)
    for _ in range(3):
        queue.end(any_db, take(any_db), log="")
    with any_db.write() as session:
        assert queue.prune(session) == 1
        assert list(session.scalars(select(Job.id).order_by(Job.id))) == added[1:]
