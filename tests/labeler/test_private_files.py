"""Other users of the machine cannot read what the site stores."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from labeler.config import Settings, load_settings
from labeler.database.engine import Database
from labeler.home_files import HOME_FILES, describe, files_to_keep
from labeler.private_files import excess_rights, tighten
from labeler.proposals.feature_cache import FeatureCache
from tests.labeler.faults import ROOT, manage


@pytest.fixture(autouse=True)
def _usual_umask() -> None:
    os.umask(0o022)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def too_open(folder: Path) -> list[str]:
    """The files and folders that others can read, below a folder too."""
    return [str(path) for path in (folder, *folder.rglob("*")) if mode(path) & 0o077]


def test_a_new_database_is_private_wherever_it_is(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir(mode=0o755)
    outside.mkdir()
    url = f"sqlite:///{outside / 'votes.sqlite3'}"
    code, said = manage(home, "init", database=url)
    assert code == 0, said
    assert too_open(home) == []
    db = Database(url)
    with db.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")
        assert len(list(outside.glob("*-wal"))) == 1
        assert [path for path in too_open(outside) if path != str(outside)] == []
    db.dispose()


def test_what_an_earlier_version_made_is_tightened(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert manage(home, "init")[0] == 0
    home.chmod(0o755)
    for path in home.iterdir():
        path.chmod(0o644)
    assert manage(home, "users", "list")[0] == 0
    for name in ("", "secret_key", "sidelight.sqlite3"):
        assert mode(home / name) & 0o077 == 0, name


def test_a_home_with_folders_of_others_stays_open(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    tmp_path.chmod(0o755)
    load_settings({"SIDELIGHT_HOME": str(tmp_path)})
    assert mode(tmp_path) == 0o755
    assert mode(tmp_path / "secret_key") == 0o600


def test_a_folder_of_all_programs_and_a_shared_group_are_left(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    assert not tighten(tmp_path)
    assert mode(tmp_path) == 0o1777
    tmp_path.chmod(0o700)
    shared = tmp_path / "shared"
    shared.touch()
    shared.chmod(0o664)
    assert excess_rights(shared) == 0o064  # its group is the owner's own
    try:
        os.chown(shared, -1, 12345)
    except PermissionError:
        pytest.skip("only root can give a file to another group")
    assert excess_rights(shared) == 0o004


def test_a_cache_is_private(tmp_path: Path, settings: Settings) -> None:
    FeatureCache(tmp_path / "features.sqlite3").prepare()
    assert mode(tmp_path / "features.sqlite3") == 0o600


def test_the_page_lists_every_file_of_the_home() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE))
    assert rows == {one.pattern: one.what for one in HOME_FILES}


def test_what_a_backup_keeps_of_a_home(tmp_path: Path) -> None:
    for name in (
        "figures/a.png",
        "backups/b.tar.gz",
        "converted/c.png",
        "notes.txt",
        "poses/p.csv",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("features.sqlite3", "x.sqlite3-turnstile", "jobs.sqlite3-wal", "secret_key"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "pipe")
    kept = [str(path.relative_to(tmp_path)) for path in files_to_keep(tmp_path)]
    assert kept == ["figures/a.png", "notes.txt", "secret_key"]
    assert describe("notes.txt") is None
