"""Backups: complete, verified, private, never overwritten; and their restore."""

from __future__ import annotations

import errno
import gc
import gzip
import io
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from labeler.backup import snapshot
from labeler.backup.archive import MANIFEST, ArchiveWriter, verify_archive
from labeler.backup.restore import restore_backup
from labeler.backup.service import BackupReport, create_backup
from labeler.cli.context import upgrade_with_backup
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.database.migrate import current, downgrade, head
from labeler.errors import BrokenData, ConfigError, Conflict, InvalidInput, SidelightError
from labeler.models.images import Dataset
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import current_votes, lease, vote
from tests.labeler.faults import ROOT, manage, small_disk


@pytest.fixture
def filled(
    any_db: Database, settings: Settings, make_dataset: MakeDataset, make_annotator: MakeAnnotator
) -> tuple[Database, Settings]:
    """A site in its own home: six images outside it, three votes, a figure, a key, caches."""
    home = settings.home / "home"
    (home / "figures").mkdir(parents=True)
    (home / "figures" / "mean-faces-1-plain-0.json").write_text("{}")
    (home / "secret_key").write_text("k" * 64)
    (home / "features.sqlite3").write_bytes(b"cache")
    (home / "other-cache").mkdir()
    (home / "other-cache" / "CACHEDIR.TAG").write_text("")
    (home / "link").symlink_to("/etc/passwd")
    own = replace(settings, home=home, database_url=any_db.url)
    make_dataset(any_db, 6)
    ada = make_annotator(any_db, "ada").id
    for one in lease(any_db, ada, 3, own):
        vote(any_db, ada, one.image_id, "left", own)
    return any_db, own


def elsewhere(settings: Settings, db: Database, request: pytest.FixtureRequest) -> Settings:
    """Settings of an empty home and an empty database of the same kind."""
    home = settings.home.parent / "new"
    url = f"sqlite:///{home / 'sidelight.sqlite3'}"
    if not db.is_sqlite:
        url = request.getfixturevalue("empty_postgres_db").url
    return replace(settings, home=home, database_url=url)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_backup_is_restored_elsewhere(
    filled: tuple[Database, Settings], request: pytest.FixtureRequest
) -> None:
    db, settings = filled
    made = create_backup(db, settings)
    assert made.path.parent == settings.home / "backups"
    assert mode(made.path) == 0o600
    names = [each.name for each in made.manifest.files]
    assert names[1:] == ["home/figures/mean-faces-1-plain-0.json", "home/secret_key"]
    assert made.manifest.rows["vote"] == 3
    (noted,) = made.manifest.datasets
    assert (noted.name, noted.images, noted.place) == ("faces", 6, "outside")
    there = elsewhere(settings, db, request)
    report = restore_backup(made.path, there)
    assert (report.needs_upgrade, report.missing) == (False, [])
    restored = Database(there.database_url)
    try:
        assert current_votes(restored) == 3
        with pytest.raises(Exception, match="append-only"), restored.write() as session:
            session.execute(text("DELETE FROM vote"))
        with restored.read() as session:
            assert session.query(Dataset.path).scalar() == noted.path
    finally:
        restored.dispose()
    assert (there.home / "secret_key").read_text() == "k" * 64
    assert sorted(each.name for each in there.home.iterdir())[:2] == ["figures", "secret_key"]
    assert mode(there.home) == 0o700
    assert mode(there.home / "secret_key") == 0o600


def test_images_come_along_if_asked(
    filled: tuple[Database, Settings], request: pytest.FixtureRequest
) -> None:
    db, settings = filled
    made = create_backup(db, settings, with_images=True)
    assert made.manifest.datasets[0].place == "archive"
    shutil.rmtree(made.manifest.datasets[0].path)
    there = elsewhere(settings, db, request)
    assert restore_backup(made.path, there).missing == []
    restored = Database(there.database_url)
    with restored.read() as session:
        path = Path(session.query(Dataset.path).scalar())
    restored.dispose()
    assert path == there.home / "images" / "1"
    assert len(list(path.glob("*.jpg"))) == 6


@pytest.mark.slow
def test_a_data_set_in_the_home_moves_with_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert manage(old, "demo", "--images", "12")[0] == 0
    code, said = manage(old, "backup", str(tmp_path))
    assert code == 0, said
    (archive,) = tmp_path.glob("sidelight-*.tar.gz")
    shutil.rmtree(old)
    code, said = manage(new, "restore", str(archive))
    assert code == 0, said
    assert "0 votes, 0 accounts and 12 image rows" in said
    assert f"12 images, 0 broken, 0 unchecked; {new}/demo" in manage(new, "images", "list")[1]
    assert manage(new, "doctor")[0] == 0


def test_nothing_is_overwritten_and_old_ones_are_removed(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"ends in \.tar\.gz"):
        create_backup(db, settings, tmp_path / "backup.zip")
    made = create_backup(db, settings, tmp_path / "mine.tar.gz")
    with pytest.raises(Conflict, match="never overwritten"):
        create_backup(db, settings, made.path)
    folder = tmp_path / "kept"
    folder.mkdir()
    for day in range(1, 6):
        (folder / f"sidelight-2026010{day}-000000.tar.gz").write_text("")
    (folder / "before-upgrade-of-x-20260101-000000.tar.gz").write_text("")
    (folder / "thesis.tar.gz").write_text("")
    made = create_backup(db, settings, folder, keep=2)
    assert sorted(each.name for each in folder.iterdir()) == [
        "before-upgrade-of-x-20260101-000000.tar.gz",
        "sidelight-20260105-000000.tar.gz",
        made.path.name,
        "thesis.tar.gz",
    ]
    assert len(made.removed) == 4


def test_a_disk_without_space_is_told_before(db: Database, settings: Settings) -> None:
    with small_disk(settings.home / "small", 600) as disk:
        with pytest.raises(SidelightError, match=r"MB free, and the backup may need .* MB"):
            create_backup(db, settings, disk)
        assert list(disk.iterdir()) == []


def test_an_empty_or_damaged_database_is_not_backed_up(settings: Settings, db: Database) -> None:
    empty = Database(f"sqlite:///{settings.home / 'empty.sqlite3'}")
    with pytest.raises(ConfigError, match="no tables yet"):
        create_backup(empty, settings)
    empty.dispose()
    db.dispose()
    file = Path(db.engine.url.database or "")
    content = bytearray(file.read_bytes())
    content[4096 * 3 : 4096 * 6] = os.urandom(4096 * 3)
    file.write_bytes(content)
    with pytest.raises((SidelightError, sqlite3.DatabaseError), match=r"damaged|malformed"):
        create_backup(db, settings)
    assert list(settings.home.glob("backups/*")) == []


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]


def rewrite(path: Path, change: Change) -> Path:
    """An archive with other members, but a manifest of the same text unless that is changed."""
    with tarfile.open(path) as tar:
        members = [(one, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]
    change(members)
    out = path.with_name("changed.tar.gz")
    with tarfile.open(out, "w:gz") as tar:
        for header, content in members:
            tar.addfile(header, io.BytesIO(content))
    return out


def rename_to(name: str) -> Change:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        header, content = members[1]
        manifest = json.loads(members[-1][1])
        manifest["files"][1]["name"] = name
        header.name = name
        edited = json.dumps(manifest).encode()
        members[-1][0].size = len(edited)
        members[1], members[-1] = (header, content), (members[-1][0], edited)

    return change


def make_link(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[1][0].type, members[1][0].linkname, members[1][0].size = tarfile.SYMTYPE, "/etc", 0
    members[1] = members[1][0], b""


def flip(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[0] = members[0][0], b"X" + members[0][1][1:]


def drop(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    del members[1]


def add_file(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.insert(1, (tarfile.TarInfo("home/extra"), b""))


def cut_manifest(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    del members[-1]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (rename_to("../outside"), "is no plain file inside"),
        (rename_to("/etc/cron.d/x"), "is no plain file inside"),
        (rename_to("home/../../outside"), "is no plain file inside"),
        (make_link, "is no plain file inside"),
        (flip, "does not agree with its manifest about database"),
        (drop, "does not agree with its manifest"),
        (add_file, "does not agree with its manifest about home/extra"),
        (cut_manifest, "no manifest.json"),
    ],
)
def test_a_changed_archive_is_refused_and_nothing_is_written(
    db: Database, settings: Settings, tmp_path: Path, change: Change, match: str
) -> None:
    (settings.home / "secret_key").write_text("k" * 64)
    made = create_backup(db, settings, tmp_path / "b.tar.gz")
    changed = rewrite(made.path, change)
    new = tmp_path / "new"
    there = replace(settings, home=new, database_url=f"sqlite:///{new / 's.sqlite3'}")
    with pytest.raises(BrokenData, match=match):
        verify_archive(changed)
    with pytest.raises(BrokenData, match=match):
        restore_backup(changed, there)
    assert not new.exists() or list(new.iterdir()) == []


def test_a_cut_or_foreign_file_is_refused(db: Database, settings: Settings, tmp_path: Path) -> None:
    made = create_backup(db, settings, tmp_path / "b.tar.gz")
    whole = made.path.read_bytes()
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "short": whole[:-9],
        "bytes": b"nothing" * 99,
        "empty": b"",
        "gz": gzip.compress(b"nothing" * 999),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BrokenData):
            verify_archive(tmp_path / name)


def test_a_restore_needs_an_empty_home_and_database(
    filled: tuple[Database, Settings], request: pytest.FixtureRequest
) -> None:
    db, settings = filled
    made = create_backup(db, settings)
    with pytest.raises(Conflict, match="is not empty"):
        restore_backup(made.path, settings)
    there = elsewhere(settings, db, request)
    full = replace(there, database_url=settings.database_url)
    with pytest.raises(Conflict, match=r"is not empty|exists"):
        restore_backup(made.path, full)
    (there.home / "backups").mkdir(parents=True, exist_ok=True)
    restore_backup(made.path, there)  # a folder of backups does no harm


def relabel(made: BackupReport, **changes: str) -> Path:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        edited = json.dumps(json.loads(members[-1][1]) | changes).encode()
        members[-1][0].size = len(edited)
        members[-1] = members[-1][0], edited

    return rewrite(made.path, change)


def test_foreign_kinds_and_newer_schemas_are_refused(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    made = create_backup(db, settings, tmp_path / "b.tar.gz")
    new = tmp_path / "new"
    there = replace(settings, home=new, database_url=f"sqlite:///{new / 's.sqlite3'}")
    with pytest.raises(InvalidInput, match="a backup of a PostgreSQL database"):
        restore_backup(relabel(made, database="postgresql"), there)
    with pytest.raises(InvalidInput, match=r"20991231z, which this version .* does not know"):
        restore_backup(relabel(made, revision="20991231z"), there)
    with pytest.raises(BrokenData, match="its manifest says"):
        restore_backup(relabel(made, revision="20261122c"), there)
    assert not new.exists() or list(new.iterdir()) == []


BEFORE = "20261122c"


def test_an_upgrade_is_preceded_by_a_backup(
    filled: tuple[Database, Settings], request: pytest.FixtureRequest
) -> None:
    db, settings = filled
    assert upgrade_with_backup(db, settings) == (head(), head())
    assert not settings.backups.exists()
    try:
        downgrade(db, BEFORE)
        upgrade_with_backup(db, settings)
        (made,) = settings.backups.iterdir()
        assert made.name.startswith(f"before-upgrade-of-{BEFORE}-")
        manifest = verify_archive(made)
        assert (manifest.revision, manifest.rows["vote"]) == (BEFORE, 3)
        there = elsewhere(settings, db, request)
        assert restore_backup(made, there).needs_upgrade
        restored = Database(there.database_url)
        assert current(restored) == BEFORE
        upgrade_with_backup(restored, there)
        assert current_votes(restored) == 3
        restored.dispose()
    finally:
        upgrade_with_backup(db, settings)


def test_an_upgrade_without_room_for_its_backup_changes_nothing(
    db: Database, settings: Settings
) -> None:
    downgrade(db, BEFORE)
    with small_disk(settings.home / "backups", 200):
        with pytest.raises(SidelightError, match=r"the backup before it failed.*--no-backup"):
            upgrade_with_backup(db, settings)
        assert current(db) == BEFORE


@pytest.mark.postgres
def test_postgres_needs_its_programs(
    postgres_db: Database,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = settings.home / "bin"
    old.mkdir()
    (old / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n")
    (old / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", str(old) + ":/nowhere:/bin")
    with pytest.raises(ConfigError, match=r"version 9, older than the server"):
        create_backup(postgres_db, settings)
    (old / "pg_dump").unlink()
    monkeypatch.setenv("PATH", str(old))
    with pytest.raises(ConfigError, match=r"pg_dump is not on PATH.*postgresql-client-"):
        create_backup(postgres_db, settings)
    downgrade(postgres_db, BEFORE)
    upgrade_with_backup(postgres_db, settings)
    assert current(postgres_db) == head()
    assert "upgraded without a backup" in caplog.text


@pytest.mark.postgres
def test_a_password_is_never_on_the_command_line(
    postgres_db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_db.engine.url.set(password="hush-hush")
    db = Database(url.render_as_string(hide_password=False))
    seen = settings.home / "seen"
    tool = settings.home / "pg_dump"
    tool.write_text(
        f"#!/bin/sh\nif [ $1 = --version ]; then echo '(PostgreSQL) 99'; exit; fi\n"
        f'echo "$@" > {seen}; echo "$PGPASSWORD" >> {seen}; echo no luck >&2; exit 3\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{settings.home}:{os.environ['PATH']}")
    with pytest.raises(SidelightError, match="pg_dump failed: no luck"):
        snapshot.take_snapshot(db, settings.home)
    db.dispose()
    arguments, password = seen.read_text().splitlines()
    assert password == "hush-hush"
    assert "hush" not in arguments


def test_a_killed_backup_leaves_nothing_that_looks_like_one(
    db: Database, settings: Settings, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "big").write_bytes(os.urandom(60_000_000))
    environ = {name: value for name, value in os.environ.items() if "SIDELIGHT" not in name}
    environ |= {"SIDELIGHT_HOME": str(home), "SIDELIGHT_DATABASE_URL": db.url}
    process = subprocess.Popen([sys.executable, str(ROOT / "manage.py"), "backup"], env=environ)
    backups = home / "backups"

    def is_halfway() -> bool:
        return any(each.stat().st_size > 2_000_000 for each in backups.glob(".*.part/archive"))

    end = time.monotonic() + 60
    while not is_halfway() and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = backups.iterdir()
    assert left.name.startswith(".")
    assert left.name.endswith(".part")
    made = create_backup(db, replace(settings, home=home))
    assert list(backups.iterdir()) == [made.path]  # the next one tidies up


def test_the_manifest_comes_last(db: Database, settings: Settings) -> None:
    made = create_backup(db, settings)
    with tarfile.open(made.path) as tar:
        assert tar.getnames()[-1] == MANIFEST


def test_a_table_of_any_name_is_counted(filled: tuple[Database, Settings]) -> None:
    db, settings = filled
    with db.engine.begin() as connection:
        connection.exec_driver_sql('CREATE TABLE "a""b:c" (id integer)')
    try:
        assert create_backup(db, settings).manifest.rows['a"b:c'] == 0
    finally:
        with db.engine.begin() as connection:
            connection.exec_driver_sql('DROP TABLE "a""b:c"')


class SmallDisk(io.BytesIO):
    """A file on a disk with room for 1,000 bytes."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


def test_an_archive_that_finds_no_space_leaves_no_error_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of `tarfile` would be written to once more when it is forgotten."""
    source = tmp_path / "source"
    source.write_bytes(os.urandom(200_000))
    unraised: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)
    with SmallDisk() as full:
        writer = ArchiveWriter(full, lambda _: None)
        circle: list[object] = [writer]
        circle.append(circle)  # so that the collector has to free it
        with pytest.raises(OSError, match="No space left"):
            writer.add("source", source)
        del writer, circle
        gc.collect()
    assert unraised == []
