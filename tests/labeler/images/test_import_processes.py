"""Imports as real processes: one at a time on a database, and none leaves a process behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sqlalchemy import func, select

from labeler.database.engine import Database
from labeler.models.images import Image
from tests.conftest import write_images
from tests.processes import ROOT, children_of, is_running, start, wait_for

HOLD = """
import sys, time
from labeler.database.engine import AdvisoryLock, Database
from labeler.database.work_lock import work_lock
with work_lock(Database(sys.argv[1]), AdvisoryLock.IMPORT):
    print("held", flush=True)
    time.sleep(600)
"""


def _import(db: Database, home: Path, folder: Path) -> subprocess.Popen[str]:
    return start(
        str(ROOT / "manage.py"),
        *("images", "import", str(folder)),
        SIDELIGHT_HOME=str(home),
        SIDELIGHT_DATABASE_URL=db.engine.url.render_as_string(hide_password=False),
    )


def test_two_imports_of_a_folder_wait_for_one_that_is_killed(
    any_db: Database, tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "faces", 30)
    holder = start("-c", HOLD, any_db.engine.url.render_as_string(hide_password=False))
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    imports = [_import(any_db, tmp_path / "home", folder) for _ in range(2)]
    for each in imports:
        assert each.stderr is not None
        line = each.stderr.readline()
        assert line.startswith("Another import is at work on this database (process "), line
        assert each.poll() is None
    holder.kill()
    said = [each.communicate(timeout=120) for each in imports]
    holder.communicate()
    assert [each.returncode for each in imports] == [0, 0], said
    assert sorted("(30 new," in out for out, _ in said) == [False, True]
    assert sorted("30 as before)" in out for out, _ in said) == [False, True]
    with any_db.read() as session:
        assert session.scalar(select(func.count()).select_from(Image)) == 30


def test_a_killed_import_leaves_no_process(db: Database, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "faces", 600, (4, 4))
    big = write_images(tmp_path / "big", 1, (3000, 3000)) / "000001.jpg"
    for number in range(601, 661):  # so that the check takes long enough to be killed in it
        (folder / f"{number:06}.jpg").hardlink_to(big)
    parent = _import(db, tmp_path / "home", folder)
    wait_for(lambda: len(children_of(parent.pid)) == 3, "two processes and Python's own tracker")
    children = children_of(parent.pid)
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(is_running(each) for each in children), "the end of the processes")
    parent.communicate()
