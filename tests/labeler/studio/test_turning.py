"""Turning heads through the worker: results, refusals, cancelling, and killed processes."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as Picture
from sqlalchemy import select

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.jobs import kinds, queue, turning, worker
from labeler.jobs.kinds import TURNING
from labeler.jobs.worker import Worker
from labeler.models.jobs import Job
from labeler.models.studio import HeadTurn
from labeler.studio import engine_process, files
from labeler.studio.choices import TurnChoices
from labeler.studio.turning import turn_head
from tests.labeler.acting import work
from tests.labeler.cli.test_server import manage, wait_for
from tests.labeler.studio.heads import SOURCE, files_in, order, register_heads

pytestmark = pytest.mark.slow  # the engine loads torch for each turn


def state_of(db: Database) -> tuple[Job, HeadTurn]:
    with db.read() as session:
        jobs = select(Job).where(Job.kind == kinds.turn_head.name)
        job = session.scalars(jobs.order_by(Job.id.desc())).first()
        turn = session.scalars(select(HeadTurn).order_by(HeadTurn.id.desc())).first()
    assert job is not None
    assert turn is not None
    return job, turn


def children(pid: int) -> list[int]:
    """The processes that any thread of a process has started.

    Those of the process of the tests may be those of other tests, for example helpers of joblib.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(one) for thread in threads for one in thread.read_text().split()]


def test_a_head_is_turned_and_only_its_result_stays(
    db: Database,
    quick_settings: Settings,
    heads_folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "labeler")
    heads = register_heads(db, heads_folder)
    turn_id = order(db, quick_settings, heads)
    work(quick_settings)
    job, turn = state_of(db)
    assert (job.state, job.problem) == ("done", None)
    assert turn.summary is not None
    assert [frame["yaw_deg"] for frame in turn.summary["frames"]] == [-20, 20]
    assert turn.summary["source"]["light"] == "left"
    result = files.result_folder(quick_settings.home, turn)
    for frame in turn.summary["frames"]:
        assert (result / frame["file"]).is_file()
    assert {"strip", "means", "report", "gif", "webp"} <= set(turn.summary["files"])
    command = turn.summary["command"]
    assert f"--source={SOURCE}" in command
    assert "--editing line" in command
    kept = files_in(files.turn_folder(quick_settings.home, turn_id))
    assert [name for name in kept if not name.startswith("result/")] == [
        "inputs/labels.csv.gz",
        "inputs/poses.csv.gz",
    ]
    assert "engine: clusters:" in job.log
    # Another attempt at a finished turn changes nothing.
    before = turn.finished_at
    turn_head(db, quick_settings, turn_id, lambda *_: None)
    assert state_of(db)[1].finished_at == before


def test_an_upload_is_turned_and_removed(
    db: Database, quick_settings: Settings, heads_folder: Path
) -> None:
    heads = register_heads(db, heads_folder)
    data = (heads_folder / "img_align_celeba" / SOURCE).read_bytes()
    upload = files.keep_upload(quick_settings.home, data, ".jpg")
    turn_id = order(db, quick_settings, heads, source="me.jpg", upload=upload)
    folder = files.turn_folder(quick_settings.home, turn_id)
    assert files_in(folder) == ["source.jpg"]
    work(quick_settings)
    job, turn = state_of(db)
    assert (job.state, job.problem) == ("done", None)
    assert turn.summary is not None
    assert turn.summary["source"]["name"] == "me.jpg"
    assert "source.jpg" not in files_in(folder)


def test_a_picture_without_a_face_is_told(
    db: Database, quick_settings: Settings, heads_folder: Path, tmp_path: Path
) -> None:
    heads = register_heads(db, heads_folder)
    Picture.new("RGB", (200, 200), "grey").save(tmp_path / "wall.png")
    upload = files.keep_upload(quick_settings.home, (tmp_path / "wall.png").read_bytes(), ".png")
    turn_id = order(db, quick_settings, heads, source="wall.png", upload=upload)
    work(quick_settings)
    job, turn = state_of(db)
    assert job.state == "failed"
    assert "No face was found in source.png" in (job.problem or "")
    assert turn.finished_at is None
    assert files_in(files.turn_folder(quick_settings.home, turn_id)) == []


def test_clusters_that_are_too_small_are_told(
    db: Database, quick_settings: Settings, heads_folder: Path
) -> None:
    heads = register_heads(db, heads_folder)
    order(db, quick_settings, heads, TurnChoices(light="left", with_proposals=False))
    work(quick_settings)
    job, _ = state_of(db)
    assert job.state == "failed"
    assert "Too few images with light 'left', at yaw" in (job.problem or "")


def test_a_cancelled_turn_ends_the_engine_and_leaves_nothing(
    db: Database,
    quick_settings: Settings,
    heads_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "BEAT_S", 0.1)
    heads = register_heads(db, heads_folder)
    turn_id = order(db, quick_settings, heads)
    told: list[str] = []
    run = engine_process.run_engine

    def cancel_then_run(words: list[str], folder: Path, report: engine_process.Report) -> None:
        def watched(step: str, done: int, total: int) -> None:
            if not told:
                with db.write() as session:
                    queue.cancel(session, 1, "ada")
            told.append(step)
            report(step, done, total)

        run(words, folder, watched)

    monkeypatch.setattr("labeler.studio.turning.run_engine", cancel_then_run)
    before = set(children(os.getpid()))
    work(quick_settings)
    job, turn = state_of(db)
    assert (job.state, job.problem) == ("cancelled", "cancelled by ada")
    assert turn.finished_at is None
    assert files_in(files.turn_folder(quick_settings.home, turn_id)) == []
    assert told
    assert set(children(os.getpid())) <= before


def test_a_full_disk_is_told(
    db: Database, quick_settings: Settings, heads_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = register_heads(db, heads_folder)
    turn_id = order(db, quick_settings, heads)
    limited = 'ulimit -f 20; exec "$0" "$@"'
    popen = engine_process.subprocess.Popen

    def small_files(command: list[str], **options: object) -> object:
        return popen(["bash", "-c", limited, *command], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(engine_process.subprocess, "Popen", small_files)
    work(quick_settings)
    job, _ = state_of(db)
    assert job.state == "failed"
    assert (job.problem or "").startswith("The disk of the site is full.")
    assert files_in(files.turn_folder(quick_settings.home, turn_id)) == []


def test_a_worker_is_killed_in_the_middle(
    any_db: Database,
    quick_settings: Settings,
    heads_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = quick_settings
    if not any_db.is_sqlite:
        address = any_db.engine.url.render_as_string(hide_password=False)
        settings = replace(settings, database_url=address)
    heads = register_heads(any_db, heads_folder)
    turn_id = order(any_db, settings, heads)
    engines: list[int] = []

    def engine_is_at_work() -> bool:
        engines[:] = children(process.pid)
        works = files.list_works(settings.home, turn_id)
        return bool(engines) and any((one / files.INPUTS / "poses.csv").is_file() for one in works)

    with manage(
        settings.home,
        "worker",
        "--queues",
        TURNING,
        database=settings.database_url,
        model=settings.studio_model,
    ) as process:
        wait_for(engine_is_at_work, settings.home)
        os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}/fd/0").exists() for pid in engines), settings.home)
    with any_db.read() as session:
        assert session.get_one(Job, 1).state == "running", "nobody knows yet"
    monkeypatch.setattr(worker, "LOOK_EVERY_S", 0.2)
    with closing(Worker(settings, (TURNING,), abandoned_after_s=0.5)) as other:
        thread = threading.Thread(target=other.run)
        thread.start()
        try:
            wait_for(lambda: state_of(any_db)[0].state == "done", settings.home)
        finally:
            other.stop()
            thread.join()
    job, turn = state_of(any_db)
    assert (job.attempts, turn.finished_at is not None) == (2, True)
    with any_db.read() as session:
        assert len(session.scalars(select(HeadTurn)).all()) == 1
    kept = files_in(files.turn_folder(settings.home, turn_id))
    assert not [name for name in kept if name.startswith("work")]


def test_uploads_of_cancelled_turns_are_forgotten(
    db: Database, quick_settings: Settings, heads_folder: Path
) -> None:
    heads = register_heads(db, heads_folder)
    numbers = []
    for keeps in (False, True, False):
        upload = files.keep_upload(quick_settings.home, b"a picture", ".jpg")
        numbers.append(
            order(db, quick_settings, heads, source="a.jpg", upload=upload, keeps_upload=keeps)
        )
    with db.write() as session:
        for job_id in (1, 2):
            queue.cancel(session, job_id, "ada")
    assert turning.tidy_studio(db, quick_settings.home) == 1
    home = quick_settings.home
    assert [files.source_file(home, one) is not None for one in numbers] == [False, True, True]
