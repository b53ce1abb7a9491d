"""Several attempts at one turn: whoever is late harms nobody. The engine does not run here."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import BrokenData, SidelightError
from labeler.jobs import kinds, queue
from labeler.jobs.kinds import Cancelled, JobContext
from labeler.models.accounts import Annotator
from labeler.models.studio import HeadTurn
from labeler.studio import files, turning
from tests.labeler.studio.heads import Heads, files_in, order
from tests.labeler.studio.labelled import even_faces, register_labelled
from tests.labeler.studio.turned import write_result


@pytest.fixture
def heads(db: Database, tmp_path: Path) -> Heads:
    """A data set with labels and yaws."""
    found = register_labelled(db, tmp_path / "faces", even_faces(1))
    with db.read() as session:
        owner_id = session.scalars(select(Annotator.id)).first()
    return Heads(found.dataset_id, found.campaign_id, owner_id or 0, {})


def order_upload(db: Database, settings: Settings, heads: Heads) -> int:
    upload = files.keep_upload(settings.home, b"a picture", ".jpg")
    return order(db, settings, heads, source="me.jpg", upload=upload)


def begin(db: Database, settings: Settings, worker: str) -> JobContext:
    """Take the job under this name, as a worker does."""
    taken = queue.take(db, ("turning",), worker)
    assert taken is not None
    return JobContext(db, settings, taken.id, taken.attempt, taken.owner_id, worker=worker)


def engine(monkeypatch: pytest.MonkeyPatch, work: Callable[[Path], None]) -> None:
    """Let this function of (working folder) stand for the engine."""
    monkeypatch.setattr(turning, "run_engine", lambda _words, folder, _report: work(folder))


def turn(folder: Path) -> None:
    """Write a result, as the engine does."""
    write_result(folder / files.RESULT)
    report = folder / files.RESULT / "report.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "seconds": {"all": 1.0}}))


def refuse(_folder: Path) -> None:
    raise BrokenData("No face was found.")


def hand_back(db: Database, turn_id: int) -> None:
    """Take the job away from its worker, as if that gave no sign of life."""
    with db.write() as session:
        turn = session.get_one(HeadTurn, turn_id)
        job = queue.get(session, turn.job_id or 0)
        job.state, job.worker = "queued", None


def test_a_cancelled_attempt_leaves_the_upload_to_the_next_one(
    db: Database, settings: Settings, heads: Heads
) -> None:
    turn_id = order_upload(db, settings, heads)
    context = begin(db, settings, "slow")
    hand_back(db, turn_id)
    context.stop = Cancelled("The job was cancelled.")
    with pytest.raises(Cancelled):
        kinds.turn_head.work(context, turn_id)
    assert files_in(files.turn_folder(settings.home, turn_id)) == ["source.jpg"]


def test_a_refusal_that_comes_too_late_leaves_the_upload(
    db: Database, settings: Settings, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_id = order_upload(db, settings, heads)
    late = begin(db, settings, "slow")
    hand_back(db, turn_id)
    second = begin(db, settings, "quick")
    engine(monkeypatch, refuse)
    with pytest.raises(BrokenData):
        kinds.turn_head.work(late, turn_id)
    assert files.source_file(settings.home, turn_id) is not None
    with pytest.raises(BrokenData):
        kinds.turn_head.work(second, turn_id)
    assert files_in(files.turn_folder(settings.home, turn_id)) == []


def in_turn(*works: Callable[[Path], None]) -> Callable[[Path], None]:
    """The engine of the first attempt, of the second one, and so on."""
    left = list(works)

    def work(folder: Path) -> None:
        left.pop(0)(folder)

    return work


def assert_whole(db: Database, settings: Settings, turn_id: int) -> None:
    with db.read() as session:
        assert session.get_one(HeadTurn, turn_id).finished_at is not None
    kept = files_in(files.turn_folder(settings.home, turn_id))
    assert [name for name in kept if not name.startswith("result/")] == [
        "inputs/labels.csv.gz",
        "inputs/poses.csv.gz",
    ]
    assert {"result/report.html", "result/shown/0.png"} <= set(kept)


def test_a_late_attempt_takes_nothing_from_the_one_at_work(
    db: Database, settings: Settings, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_id = order_upload(db, settings, heads)
    late = begin(db, settings, "slow")
    hand_back(db, turn_id)
    second = begin(db, settings, "quick")

    def late_fails_meanwhile(folder: Path) -> None:
        with pytest.raises(BrokenData):
            kinds.turn_head.work(late, turn_id)
        assert (folder / files.INPUTS / turning.LABELS).is_file()
        turn(folder)

    engine(monkeypatch, in_turn(late_fails_meanwhile, refuse))
    assert kinds.turn_head.work(second, turn_id) == {"turn": turn_id}
    assert_whole(db, settings, turn_id)


@pytest.mark.parametrize("ends", [turn, refuse])
def test_an_attempt_that_ends_after_another_one_changes_nothing(
    db: Database,
    settings: Settings,
    heads: Heads,
    monkeypatch: pytest.MonkeyPatch,
    ends: Callable[[Path], None],
) -> None:
    turn_id = order_upload(db, settings, heads)
    late = begin(db, settings, "slow")

    def second_is_done_meanwhile(folder: Path) -> None:
        hand_back(db, turn_id)
        kinds.turn_head.work(begin(db, settings, "quick"), turn_id)
        ends(folder)

    engine(monkeypatch, in_turn(second_is_done_meanwhile, turn))
    assert kinds.turn_head.work(late, turn_id) == {"turn": turn_id}
    assert_whole(db, settings, turn_id)


def test_a_disk_that_is_full_at_either_end_is_told(
    db: Database, settings: Settings, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn_id = order_upload(db, settings, heads)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    engine(monkeypatch, turn)
    for module, name in ((Path, "write_text"), (gzip, "open")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(SidelightError, match="disk"):
                turning.turn_head(db, settings, turn_id, lambda *_: None)
        assert files_in(files.turn_folder(settings.home, turn_id)) == ["source.jpg"]
    turning.turn_head(db, settings, turn_id, lambda *_: None)
    assert_whole(db, settings, turn_id)


def test_the_command_that_repeats_a_turn_quotes_its_paths(
    db: Database, settings: Settings, heads: Heads, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = replace(settings, home=settings.home / "our site")
    turn_id = order_upload(db, site, heads)
    engine(monkeypatch, turn)
    turning.turn_head(db, site, turn_id, lambda *_: None)
    with db.read() as session:
        summary = session.get_one(HeadTurn, turn_id).summary
    assert summary is not None
    first = shlex.split(summary["command"].splitlines()[0])
    inputs = files.turn_folder(site.home, turn_id) / files.INPUTS
    assert first == ["gunzip", "--keep", "--force", f"{inputs}/*.csv.gz"]
