"""Restores that are killed at each of their last steps, as real processes."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from labeler.backup.service import create_backup
from labeler.config import Settings
from labeler.database.engine import Database
from tests.conftest import MakeDataset
from tests.labeler.faults import manage
from tests.processes import start

# Dies before or after the rename of that name, or while another one still runs.
KILLED = """
import os, pathlib, signal, sys
from labeler.cli.main import main
when, name = sys.argv[1:3]
del sys.argv[1:3]
for owner, method in ((os, "replace"), (pathlib.Path, "rename")):
    def moved(source, target, original=getattr(owner, method)):
        here = pathlib.Path(target).name == name
        if here and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if here and when == "stopped":
            print("stopped", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
        original(source, target)
        if here and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, method, moved)
main()
"""
DATABASE, KEY, ENDED = "sidelight.sqlite3", "secret_key", ".restore-ended.part"


@pytest.fixture
def archive(db: Database, settings: Settings, make_dataset: MakeDataset) -> Path:
    home = settings.home / "home"
    (home / "figures").mkdir(parents=True)
    (home / "figures" / "one.json").write_text("{}")
    (home / "secret_key").write_text("0123456789abcdef" * 4)
    make_dataset(db, 2)
    return create_backup(db, replace(settings, home=home)).path


def _files(home: Path) -> list[str]:
    return sorted(each.name for each in home.iterdir() if "lock" not in each.name)


@pytest.mark.slow
@pytest.mark.parametrize(("when", "name"), [("before", KEY), ("after", KEY), ("before", DATABASE)])
def test_a_half_restored_home_is_not_used_and_the_next_restore_mends_it(
    archive: Path, tmp_path: Path, when: str, name: str
) -> None:
    home = tmp_path / "new"
    killed = start("-c", KILLED, when, name, "restore", str(archive), SIDELIGHT_HOME=str(home))
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    before = _files(home)
    for command in (("init",), ("images", "list")):
        code, said = manage(home, *command)
        assert (code, said.count("\n")) == (1, 1), said
        assert said.startswith(f"Error: A restore into {home} is at work or was interrupted.")
        assert "python manage.py restore FILE" in said
    assert _files(home) == before
    assert "is half restored" in manage(home, "doctor")[1]
    code, said = manage(home, "restore", str(archive))
    assert code == 0, said
    assert _files(home) == ["figures", KEY, DATABASE]
    assert "2 images" in manage(home, "images", "list")[1]


@pytest.mark.slow
@pytest.mark.parametrize(("when", "name"), [("after", DATABASE), ("after", ENDED)])
def test_a_restore_killed_after_its_last_rename_is_complete(
    archive: Path, tmp_path: Path, when: str, name: str
) -> None:
    home = tmp_path / "new"
    killed = start("-c", KILLED, when, name, "restore", str(archive), SIDELIGHT_HOME=str(home))
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert "2 images" in manage(home, "images", "list")[1]
    manage(home, "doctor", "--fix")
    assert _files(home) == ["figures", KEY, DATABASE]
    code, said = manage(home, "restore", str(archive))
    assert (code, "is not empty" in said) == (1, True), said


def test_a_second_restore_is_refused_while_the_first_is_at_work(
    archive: Path, tmp_path: Path
) -> None:
    home = tmp_path / "new"
    first = start("-c", KILLED, "stopped", KEY, "restore", str(archive), SIDELIGHT_HOME=str(home))
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "stopped\n"
        code, said = manage(home, "restore", str(archive))
    finally:
        first.send_signal(signal.SIGCONT)
        first.communicate()
    assert (code, said) == (
        1,
        f"Error: Another restore into {home} is at work. Wait until it has ended.\n",
    )
    assert first.returncode == 0
    assert _files(home) == ["figures", KEY, DATABASE]
