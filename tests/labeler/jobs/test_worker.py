"""The worker: failures, cancelling, and processes that are killed or stopped in mid-job."""

from __future__ import annotations

import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import Conflict
from labeler.jobs import kinds, queue, worker
from labeler.jobs.kinds import KINDS, JobContext, JobKind
from labeler.jobs.worker import Worker
from labeler.models.jobs import Job
from labeler.models.proposals import ModelRun
from labeler.proposals.runs import INTERRUPTED
from tests.conftest import MakeDataset
from tests.labeler.acting import waiting, work
from tests.labeler.cli.test_server import PATIENCE_S, manage, wait_for
from tests.labeler.conftest import Visit
from tests.labeler.lit_faces import add_people, cycle_labels, register, vote, write_faces

Work = Callable[[JobContext, int], None]


@pytest.fixture
def run(db: Database, settings: Settings) -> Iterator[Callable[[Work], Job]]:
    """Run a function as a job until it ends or waits; returns the job."""

    def run(function: Work) -> Job:
        KINDS["test"] = JobKind("test", "try", "campaign", function, "labels", False)
        with db.write() as session:
            job_id = KINDS["test"].queue(session, 1)
        work(settings)
        with db.read() as session:
            return session.get_one(Job, job_id)

    yield run
    KINDS.pop("test", None)


def test_progress_and_log(run: Callable[[Work], Job], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "labeler")

    def report(context: JobContext, subject: int) -> None:
        worker.log.info("at work on %s", subject)
        context.report("counting", 1, 2)

    job = run(report)
    assert (job.state, job.attempts, job.problem, job.worker) == ("done", 1, None, None)
    assert "at work on 1" in job.log
    assert job.ended_at is not None


def test_an_expected_error_is_told_and_not_tried_again(run: Callable[[Work], Job]) -> None:
    def refuse(_context: JobContext, _subject: int) -> None:
        raise Conflict("There are not enough votes.")

    job = run(refuse)
    assert (job.state, job.attempts, job.problem) == ("failed", 1, "There are not enough votes.")


def test_a_database_that_fails_is_tried_again(run: Callable[[Work], Job]) -> None:
    calls: list[int] = []

    def fail_once(context: JobContext, _subject: int) -> None:
        calls.append(context.attempt)
        if len(calls) == 1:
            raise OperationalError("UPDATE", None, Exception("database is locked"))

    job = run(fail_once)
    assert (job.state, calls) == ("done", [1, 2])
    assert "database is locked" in job.log


def test_an_error_that_stays_ends_after_three_attempts(run: Callable[[Work], Job]) -> None:
    def fail(_context: JobContext, _subject: int) -> None:
        raise ValueError("broken for good")

    job = run(fail)
    assert (job.state, job.attempts) == ("failed", 3)
    assert job.problem == "ValueError: broken for good. This was attempt 3 of 3."
    assert job.log.count("Traceback") == 3


def test_a_job_of_another_version_says_so(db: Database, settings: Settings) -> None:
    with db.write() as session:
        queue.add(session, "paint_the_fence", 1, {}, queue="labels")
    work(settings)
    with db.read() as session:
        job = session.scalars(select(Job)).one()
    assert job.state == "failed"
    assert "does not know jobs of the kind 'paint_the_fence'" in (job.problem or "")


def test_a_job_that_is_cancelled_ends_at_its_next_report(
    run: Callable[[Work], Job], db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_S", 0.05)
    ended: list[str] = []

    def go_on(context: JobContext, _subject: int) -> None:
        with db.write() as session:
            queue.cancel(session, context.job_id, "ada")
        try:
            for _ in range(1000):
                context.report("going on")
                threading.Event().wait(0.01)
        except kinds.Cancelled:
            ended.append("cancelled")
            raise

    job = run(go_on)
    assert (job.state, job.problem, ended) == ("cancelled", "cancelled by ada", ["cancelled"])


def test_the_database_is_away_at_the_end_of_a_job(
    run: Callable[[Work], Job], settings: Settings
) -> None:
    """Another process has the write lock: the end of the job waits for it."""
    locked = threading.Event()

    def hold() -> None:
        path = settings.database_url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            locked.set()
            time.sleep(1.0)
            other.execute("ROLLBACK")

    def lock(_context: JobContext, _subject: int) -> None:
        threading.Thread(target=hold, daemon=True).start()
        locked.wait()

    assert run(lock).state == "done"


@pytest.fixture
def taught(db: Database, tmp_path: Path) -> int:
    """A data set with enough votes for a training; returns its id."""
    labels = cycle_labels(600)  # so many that the training takes seconds
    write_faces(tmp_path / "faces", labels)
    with db.write() as session:
        dataset = register(session, tmp_path / "faces", labels)
        answers = {name: [label] for name, label in labels.items()}
        vote(session, dataset, answers, add_people(session, 3))
        return dataset.id


def job_of(db: Database) -> Job:
    with db.read() as session:
        return session.scalars(select(Job).where(Job.kind == "propose_labels")).one()


def runs_of(db: Database) -> list[tuple[str, str | None]]:
    with db.read() as session:
        found = session.scalars(select(ModelRun).order_by(ModelRun.id))
        return [(one.status, one.problem) for one in found]


def running(db: Database) -> bool:
    return job_of(db).state == "running" and bool(runs_of(db))


@pytest.mark.slow
def test_sigterm_hands_the_job_back_and_the_next_worker_does_it(
    db: Database, settings: Settings, tmp_path: Path, taught: int
) -> None:
    with db.write() as session:
        kinds.propose_labels.queue(session, 1)
    with manage(tmp_path, "worker", database=settings.database_url) as process:
        wait_for(lambda: running(db), tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    job = job_of(db)
    assert (job.state, job.attempts, job.problem) == (
        "queued",
        0,
        "The worker was stopped. It is taken up again.",
    )
    with manage(tmp_path, "worker", database=settings.database_url) as process:
        wait_for(lambda: job_of(db).state == "done", tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert runs_of(db) == [("failed", INTERRUPTED), ("published", None)]


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_training(
    db: Database,
    settings: Settings,
    tmp_path: Path,
    taught: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with db.write() as session:
        kinds.propose_labels.queue(session, 1)
    with manage(tmp_path, "worker", database=settings.database_url) as process:
        wait_for(lambda: running(db), tmp_path)
        process.kill()
    assert job_of(db).state == "running", "nobody knows yet"
    monkeypatch.setattr(worker, "LOOK_EVERY_S", 0.2)
    with closing(Worker(settings, abandoned_after_s=0.5)) as other:
        thread = threading.Thread(target=other.run)
        thread.start()
        try:
            wait_for(lambda: job_of(db).state == "done", tmp_path)
        finally:
            other.stop()
            thread.join()
    assert runs_of(db) == [("failed", INTERRUPTED), ("published", None)]
    assert job_of(db).attempts == 2


@pytest.mark.slow
def test_two_workers_run_each_of_a_thousand_jobs_once(
    any_db: Database, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    make_dataset(any_db, 1)
    with any_db.write() as session:
        for _ in range(1_000):
            queue.add(session, "fill_campaign", 1, {}, queue="labels")
    count = select(func.count()).select_from(Job).where(Job.state != "done")

    homes = [tmp_path / name for name in ("one", "other")]
    for home in homes:
        home.mkdir()
    with ExitStack() as workers:
        for home in homes:
            workers.enter_context(manage(home, "worker", database=any_db.url))
        ends_by = time.monotonic() + 300
        while time.monotonic() < ends_by:
            with any_db.read() as session:
                if session.scalars(count).one() == 0:
                    break
            time.sleep(0.5)
    begun = [(home / "output.txt").read_text().count("fill_campaign 1 begins") for home in homes]
    assert sum(begun) == 1_000
    assert min(begun) > 100, "both have worked"
    with any_db.read() as session:  # those that have not been pruned yet
        jobs = session.scalars(select(Job).where(Job.kind == "fill_campaign")).all()
    assert {(job.state, job.attempts) for job in jobs} == {("done", 1)}


@pytest.mark.slow
def test_a_second_attempt_after_the_publication_does_not_train_again(
    db: Database, settings: Settings, taught: int
) -> None:
    with db.write() as session:
        kinds.propose_labels.queue(session, 1)
    work(settings)
    assert runs_of(db) == [("published", None)]
    kinds.propose_labels.work(JobContext(db, settings, job_of(db).id, attempt=2), 1)
    assert runs_of(db) == [("published", None)]


@pytest.mark.slow
def test_a_run_that_is_current_already_is_not_restored_again(
    db: Database, settings: Settings, taught: int
) -> None:
    """The worker was stopped between the publication and the labels."""
    with db.write() as session:
        kinds.propose_labels.queue(session, 1)
    work(settings)
    with db.write() as session:
        job_id = kinds.restore_run.queue(session, 1)
    work(settings)
    with db.read() as session:
        assert session.get_one(Job, job_id).state == "done"


def test_people_see_why_a_job_failed_and_start_it_again(
    visit: Visit, db: Database, settings: Settings, dataset_id: int
) -> None:
    with db.write() as session:
        kinds.propose_labels.queue(session, 1)  # no votes
    work(settings)
    boss = visit("supervisor")
    for address in ("/admin/", "/admin/runs", "/admin/mean-faces", "/admin/jobs"):
        assert "There are not enough votes" in boss.get(address).text, address
    page = boss.get("/admin/jobs/1").text
    assert "propose_labels 1: There are not enough votes" in page
    assert "Try it again" in page
    boss.submit("/language", {"language": "de"})
    page = boss.get("/admin/jobs/1").text
    assert "gibt es nicht genug Stimmen" in page
    assert '<p class="flag">' in page
    assert '<pre class="log" lang="en"' in page
    with db.write() as session:
        job = session.get_one(Job, 1)
        kept, job.problem, job.result = (job.problem, job.result), "KeyError: 7", None
    assert '<p class="flag" lang="en">KeyError: 7</p>' in boss.get("/admin/jobs/1").text
    with db.write() as session:
        job = session.get_one(Job, 1)
        job.problem, job.result = kept
    boss.submit("/language", {"language": "en"})
    assert boss.submit("/admin/jobs/1/retry").status_code == 303
    assert waiting(db) == 1
    assert "Cancel the job" in boss.get("/admin/jobs/1").text
    assert boss.submit("/admin/jobs/1/cancel").status_code == 303
    assert waiting(db) == 0
    assert boss.submit("/admin/jobs/1/cancel").status_code == 409
    assert boss.get("/admin/jobs/99").status_code == 404
