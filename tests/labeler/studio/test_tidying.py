"""What stays on the disk of turns that were not stored, were deleted or were cancelled: nothing."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from labeler.audit.log import Actor
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.jobs import queue
from labeler.jobs.turning import order_turn, tidy_studio
from labeler.models.accounts import Annotator
from labeler.models.studio import HeadTurn
from labeler.studio import files
from labeler.studio.changes import delete_turn
from labeler.studio.turns import NewTurn
from tests.conftest import MakeAnnotator
from tests.labeler.studio.heads import files_in

NEW = NewTurn("Ada turned", "ada.jpg")


@pytest.fixture
def ada(any_db: Database, make_annotator: MakeAnnotator) -> Annotator:
    return make_annotator(any_db, "ada")


def order(
    db: Database, site: Settings, person: Annotator, data: bytes, suffix: str = ".png", **more: bool
) -> int:
    upload = files.keep_upload(site.home, data, suffix)
    return order_turn(db, site, replace(NEW, **more), person.id, Actor(person.id), upload)


def age(path: Path) -> None:
    """Let a file or folder be two hours old."""
    then = time.time() - 7200
    os.utime(path, (then, then))


def studio(site: Settings) -> Path:
    return site.home / "studio"


def test_a_turn_that_is_not_stored_leaves_no_picture(
    any_db: Database, settings: Settings, ada: Annotator
) -> None:
    def fail(_connection: object) -> None:
        raise OSError("the disk is full")

    event.listen(any_db.engine, "commit", fail)
    with pytest.raises(OSError, match="the disk is full"):
        order(any_db, settings, ada, b"the first")
    event.remove(any_db.engine, "commit", fail)
    assert files_in(studio(settings)) == []


def test_a_turn_gets_no_picture_of_another_one(
    any_db: Database, settings: Settings, ada: Annotator
) -> None:
    """A process was killed before its commit, so the number is given again."""
    folder = files.turn_folder(settings.home, 1)
    folder.mkdir(parents=True)
    (folder / "source.jpg").write_bytes(b"another")
    assert order(any_db, settings, ada, b"mine") == 1
    assert files_in(folder) == ["source.png"]
    assert (folder / "source.png").read_bytes() == b"mine"


def test_a_picture_whose_turn_is_about_to_be_stored_stays(
    any_db: Database, settings: Settings
) -> None:
    part = files.keep_upload(settings.home, b"a", ".jpg")
    source = files.adopt_upload(settings.home, 7, files.keep_upload(settings.home, b"b", ".jpg"))
    assert tidy_studio(any_db, settings.home) == 0
    assert part.exists()
    assert source.exists()
    age(part)
    age(source.parent)
    assert tidy_studio(any_db, settings.home) == 2
    assert list(studio(settings).iterdir()) == []


def test_only_the_files_of_deleted_turns_are_removed(
    any_db: Database, settings: Settings, ada: Annotator
) -> None:
    """A folder without a row may belong to another database."""
    turn_id = order(any_db, settings, ada, b"mine", keeps_upload=True)
    for number in (turn_id, 99):
        result = files.turn_folder(settings.home, number) / "result"
        result.mkdir(parents=True)
        (result / "strip.png").write_bytes(b"strip")
        age(result.parent)
    tidy_studio(any_db, settings.home)
    assert files_in(studio(settings)) == [
        f"{turn_id}/result/strip.png",
        f"{turn_id}/source.png",
        "99/result/strip.png",
    ]
    with any_db.write() as session:
        delete_turn(session, session.get_one(HeadTurn, turn_id))
    tidy_studio(any_db, settings.home)
    assert files_in(studio(settings)) == ["99/result/strip.png"]


def test_what_a_killed_attempt_has_left_is_removed(
    any_db: Database, settings: Settings, ada: Annotator
) -> None:
    turn_id = order(any_db, settings, ada, b"mine")
    works = [files.work_folder(settings.home, turn_id) for _ in range(2)]
    for work in works:
        files.begin_work(work)
    age(works[0])
    assert tidy_studio(any_db, settings.home) == 0, "its job is still queued"
    with any_db.write() as session:
        queue.cancel(session, 1, "ada")
    assert tidy_studio(any_db, settings.home) == 1
    assert [one.exists() for one in works] == [False, True]
    assert files.source_file(settings.home, turn_id) is None
