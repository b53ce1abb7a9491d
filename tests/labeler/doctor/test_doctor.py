"""Each check finds what is wrong, says what to do, and never ends in a traceback."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from labeler.config import Settings
from labeler.database.engine import Database
from labeler.database.migrate import downgrade, upgrade
from labeler.doctor import database_checks
from labeler.doctor.findings import Finding
from labeler.doctor.service import examine
from tests.conftest import MakeAnnotator, MakeDataset
from tests.labeler.acting import lease, vote
from tests.labeler.faults import manage, mount, small_disk


@pytest.fixture
def site(
    any_db: Database, settings: Settings, make_dataset: MakeDataset, make_annotator: MakeAnnotator
) -> tuple[Database, Settings]:
    """A sound site with votes, an admin and a key."""
    home = settings.home / "home"
    home.mkdir(mode=0o700)
    (home / "secret_key").touch(mode=0o600)
    own = replace(settings, home=home, database_url=any_db.url)
    make_dataset(any_db, 6)
    ada = make_annotator(any_db, "ada", role="admin").id
    for one in lease(any_db, ada, 3, own):
        vote(any_db, ada, one.image_id, "left", own)
    lease(any_db, ada, 1, own)
    return any_db, own


def wrong(settings: Settings, **options: bool) -> dict[str, list[Finding]]:
    """What is not ok, by check; a missing backup aside."""
    found: dict[str, list[Finding]] = {}
    for finding in examine(settings, **options):
        if finding.status != "ok" and finding.check != "backups":
            assert finding.action or "Run" in finding.message or "restore" in finding.message
            found.setdefault(finding.check, []).append(finding)
    return found


def test_a_sound_site_has_no_problem(site: tuple[Database, Settings]) -> None:
    assert wrong(site[1]) == {}


def change(db: Database, statement: str) -> None:
    """Change rows as no program should, past triggers and constraints."""
    with db.engine.connect() as connection:
        if db.is_sqlite:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS vote_no_update")
        else:
            connection.execute(text("SET session_replication_role = replica"))
        connection.exec_driver_sql(statement)
        if db.is_sqlite:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        else:
            connection.execute(text("SET session_replication_role = origin"))
            connection.commit()


@pytest.mark.parametrize(
    ("statement", "check", "match"),
    [
        ("UPDATE consensus SET votes_right = 7", "consensus", "counts differ from their votes"),
        ("UPDATE consensus SET priority = 12345", "consensus", "by older rules or skills"),
        ("UPDATE consensus SET leased_until = NULL", "consensus", "differs from their leases"),
        ("UPDATE vote SET image_id = image_id + 900", "rows", "image, .* that does not exist"),
        ("UPDATE image SET status = 'unchecked'", "rows", "cannot be shown but are in a queue"),
        ("DROP INDEX uq_vote_current", "tables", "uq_vote_current"),
        ("DROP TABLE estimate", "tables", "estimate"),
    ],
)
def test_rows_and_tables_that_do_not_agree(
    empty_or_fresh: Callable[[], tuple[Database, Settings]], statement: str, check: str, match: str
) -> None:
    db, settings = empty_or_fresh()
    change(db, statement)
    found = wrong(settings)
    if db.is_sqlite and "vote" in statement and check == "rows":
        check = "integrity"  # SQLite's own check of keys comes first
        match = "points to a row"
    texts = " ".join(each.message for each in found.get(check, []))
    assert re.search(match, texts), found


@pytest.fixture
def empty_or_fresh(
    request: pytest.FixtureRequest,
    db: Database,
    settings: Settings,
    make_dataset: MakeDataset,
    make_annotator: MakeAnnotator,
) -> Callable[[], tuple[Database, Settings]]:
    """An SQLite site of its own, which may be spoilt."""

    def make() -> tuple[Database, Settings]:
        make_dataset(db, 6)
        ada = make_annotator(db, "ada", role="admin").id
        for one in lease(db, ada, 3, settings):
            vote(db, ada, one.image_id, "left", settings)
        lease(db, ada, 1, settings)
        return db, settings

    return make


@pytest.mark.postgres
def test_postgres_counters_and_triggers(
    empty_postgres_db: Database, settings: Settings, make_annotator: MakeAnnotator
) -> None:
    upgrade(empty_postgres_db)
    make_annotator(empty_postgres_db, "ada", role="admin")
    own = replace(settings, database_url=empty_postgres_db.url)
    change(empty_postgres_db, "ALTER TABLE vote DISABLE TRIGGER vote_no_update")
    assert "vote_no_update" in wrong(own)["tables"][0].message
    change(empty_postgres_db, "SELECT setval('annotator_id_seq', 1, false)")
    change(empty_postgres_db, "UPDATE annotator SET id = 7")
    assert "annotator_id_seq is behind" in wrong(own)["integrity"][0].message


def test_the_triggers_are_those_of_the_migrations(any_db: Database) -> None:
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if any_db.is_sqlite
        else "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    with any_db.read() as session:
        there = set(session.scalars(text(query)))
    assert set(database_checks.TRIGGERS[any_db.is_sqlite]) <= there


def test_rights_are_told_and_mended(db: Database, settings: Settings) -> None:
    file = Path(db.engine.url.database or "")
    (settings.home / "secret_key").write_text("k" * 64)
    settings.home.chmod(0o755)
    file.chmod(0o644)
    (settings.home / "secret_key").chmod(0o640)
    assert [each.status for each in wrong(settings)["rights"]] == ["problem"] * 3
    file.chmod(0o644)
    assert "rights" not in wrong(settings, fix=True)
    modes = [each.stat().st_mode & 0o777 for each in (settings.home, file)]
    assert modes == [0o700, 0o600]


def test_damaged_side_files_may_be_deleted(db: Database, settings: Settings) -> None:
    for name in ("features.sqlite3", "jobs.sqlite3"):
        (settings.home / name).write_bytes(b"SQLite format 3\0" + b"nothing" * 999)
    (settings.home / "figures").mkdir()
    (settings.home / "figures" / "mean-faces-1-plain-0.json").write_text("{")
    found = wrong(settings)["side files"]
    assert len(found) == 3
    assert all("rm " in each.action for each in found)


def test_missing_images_and_folders(
    db: Database, settings: Settings, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(db, 3)
    (tmp_path / "faces" / "000001.jpg").unlink()
    (found,) = wrong(settings)["images"]
    assert "1 image files are missing (000001.jpg)" in found.message
    (tmp_path / "faces").rename(tmp_path / "moved")
    (found,) = wrong(settings)["images"]
    assert "is missing" in found.message
    assert "images import PATH --name faces" in found.action


@pytest.mark.parametrize("content", [b"", b"nothing" * 999, b"SQLite format 3\0" + b"x" * 9000])
def test_a_broken_database_is_no_traceback(tmp_path: Path, content: bytes) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "sidelight.sqlite3").write_bytes(content)
    code, said = manage(tmp_path, "doctor")
    assert code == 1, said
    assert "Traceback" not in said
    assert "problem  " in said


def test_a_damaged_page_is_found(db: Database, settings: Settings) -> None:
    db.dispose()
    file = Path(db.engine.url.database or "")
    content = bytearray(file.read_bytes())
    content[4096 * 5 : 4096 * 9] = os.urandom(4096 * 4)
    file.write_bytes(content)
    found = wrong(settings)
    assert "integrity" in found or "database" in found


def test_settings_and_a_missing_home(tmp_path: Path) -> None:
    code, said = manage(tmp_path, "doctor", "--json", SIDELIGHT_PORT="none")
    assert (code, json.loads(said)[0]["check"]) == (1, "settings")
    code, said = manage(tmp_path / "nothing", "doctor")
    assert code == 1
    assert "does not exist" in said
    assert not (tmp_path / "nothing").exists()


def test_a_home_that_is_read_only(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2_000) as disk:
        assert manage(disk / "home", "init")[0] == 0
        mount(disk, "-o", "remount,ro")
        code, said = manage(disk / "home", "doctor")
        assert code == 1
        assert "cannot be written" in said
        assert "Traceback" not in said


VERSIONS = ["20261122c", "20991231z"]


@pytest.mark.parametrize(
    "command",
    [
        "worker",
        pytest.param("users list", marks=pytest.mark.slow),
        pytest.param("campaigns list", marks=pytest.mark.slow),
        "export votes --out -",
    ],
)
@pytest.mark.parametrize("revision", VERSIONS)
def test_every_command_says_the_same_about_another_version(
    db: Database, settings: Settings, command: str, revision: str
) -> None:
    if revision == VERSIONS[0]:
        downgrade(db, revision)
    else:
        with db.write() as session:
            session.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    code, said = manage(settings.home, *command.split(), database=settings.database_url)
    assert code == 1, said
    is_older = revision == VERSIONS[0]
    assert ("Run `python manage.py init` first" in said) == is_older
    assert ("A newer version has used this database" in said) != is_older
    assert ("restore" in said) != is_older
    code, checked = manage(settings.home, "doctor", database=settings.database_url)
    assert code == 1
    assert revision in checked
