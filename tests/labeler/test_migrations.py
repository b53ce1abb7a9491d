"""From an empty database to the models and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from labeler.db import Database
from labeler.errors import ConfigError
from labeler.migrate import SCRIPTS, current, differences, downgrade, head, upgrade


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "postgres":
        yield request.getfixturevalue("empty_postgres_db")
        return
    database = Database(f"sqlite:///{tmp_path / 'new' / 'empty.sqlite3'}")
    yield database
    database.dispose()


def test_up_down_and_up_again(empty_db: Database) -> None:
    assert current(empty_db) is None
    assert upgrade(empty_db) == (None, head())
    assert differences(empty_db) == []
    downgrade(empty_db)
    assert inspect(empty_db.engine).get_table_names() == ["alembic_version"]
    assert upgrade(empty_db) == (None, head())
    assert differences(empty_db) == []


def test_upgrading_again_changes_nothing(empty_db: Database) -> None:
    upgrade(empty_db)
    assert upgrade(empty_db) == (head(), head())


def test_a_difference_would_be_seen(empty_db: Database) -> None:
    upgrade(empty_db)
    with empty_db.write() as session:
        session.execute(text("ALTER TABLE dataset ADD COLUMN colour TEXT"))
        session.execute(text("DROP INDEX ix_consensus_queue"))
    assert {change[0] for change in differences(empty_db)} == {"remove_column", "add_index"}


def test_a_database_of_a_newer_version_is_refused(empty_db: Database) -> None:
    upgrade(empty_db)
    with empty_db.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '20991231z'"))
    with pytest.raises(ConfigError, match="20991231z, which this program does not know"):
        upgrade(empty_db)


def test_a_server_out_of_reach_is_named_without_the_password() -> None:
    database = Database("postgresql+psycopg://ada:hidden@127.0.0.1:1/light")
    with pytest.raises(ConfigError, match=r"ada:\*\*\*@127\.0\.0\.1:1/light cannot be reached"):
        upgrade(database)


def test_migration_files_are_named_by_date() -> None:
    names = [path.name for path in (SCRIPTS / "versions").glob("*.py")]
    assert names
    assert all(name[:8].isdigit() and name[8] == "_" for name in names)
