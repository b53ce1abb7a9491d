"""Several attempts at one turn: whoever is late harms nobody. The engine does not run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.errors import BrokenData
from labeler.jobs import kinds, queue
from labeler.jobs.kinds import Cancelled, JobContext
from labeler.models.accounts import Annotator
from labeler.models.studio import HeadTurn
from labeler.studio import files, turning
from tests.labeler.studio.heads import Heads, files_in, order
from tests.labeler.studio.labelled import even_faces, register_labelled


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


def engine(monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    """Let this function of (working folder) stand for the engine."""
    monkeypatch.setattr(turning, "run_engine", lambda _words, folder, _report: work(folder))


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
