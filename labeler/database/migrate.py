"""Migrations with Alembic, which is configured here instead of in a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from labeler.database.engine import AdvisoryLock, Database
from labeler.database.failures import explain_failure
from labeler.errors import ConfigError
from labeler.models.base import Base
from labeler.site_files import site_files

SCRIPTS = site_files() / "migrations"


def upgrade(
    database: Database,
    revision: str = "head",
    before_change: Callable[[str], None] | None = None,
) -> tuple[str | None, str | None]:
    """Migrate up to `revision`; returns the revisions before and after it, None for an empty one.

    Parameters:
        before_change: called with the present revision before tables with rows are changed. No
            other process migrates meanwhile. If it raises, nothing is changed.

    Raises:
        ConfigError: the database cannot be reached, or it is newer than this program.
    """
    with _connect(database) as connection:
        before = _revision(connection)
        if before is not None and not is_known(before):
            raise ConfigError(newer_message(before))
        if before_change is not None and before not in (None, head()):
            before_change(str(before))
        command.upgrade(_config(connection), revision)
        return before, _revision(connection)


def require_head(database: Database) -> None:
    """Check that the tables are those of this program.

    Raises:
        ConfigError: they are newer, older or missing, or the database cannot be reached.
    """
    found = current(database)
    if found == head():
        return
    if found is None:
        raise ConfigError(
            f"{_place(database)} has no tables yet. Run `python manage.py init` first."
        )
    if not is_known(found):
        raise ConfigError(newer_message(found))
    raise ConfigError(
        f"The database is at revision {found}, and this program needs {head()}. Run "
        "`python manage.py init` first. It upgrades the tables and keeps your data."
    )


def is_known(revision: str) -> bool:
    """Whether this program knows a revision: it can upgrade tables from there."""
    return revision in _program_revisions()


def newer_message(revision: str) -> str:
    """What to do about tables that a newer version of the program has made."""
    return (
        f"The database is at revision {revision}, which this version of the program does not "
        "know. A newer version has used this database. Use that version. Or restore the backup "
        "from before the upgrade into an empty home: python manage.py restore "
        "HOME/backups/before-REVISION-TIME.tar.gz"
    )


def downgrade(database: Database, revision: str = "base") -> None:
    """Migrate down to `revision`; `base` removes all tables.

    Raises:
        ConfigError: the database cannot be reached.
    """
    with _connect(database) as connection:
        command.downgrade(_config(connection), revision)


def current(database: Database) -> str | None:
    """The revision of the database, None if it is empty.

    Raises:
        ConfigError: the database cannot be reached.
    """
    with _connect(database, to_write=False) as connection:
        return _revision(connection)


@cache
def head() -> str | None:
    """The newest revision that this program knows. The migrations are loaded once a process."""
    return ScriptDirectory(str(SCRIPTS)).get_current_head()


def differences(database: Database) -> list[Any]:
    """The differences between the database and the models; none if the migrations are complete."""
    with _connect(database, to_write=False) as connection:
        options = {"compare_type": True, "include_object": include_object}
        context = MigrationContext.configure(connection, opts=options)
        found: list[Any] = compare_metadata(context, Base.metadata)
        return found


def include_object(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Whether Alembic compares an item with the models: all but its own version table."""
    return name != "alembic_version"


@contextmanager
def _connect(database: Database, to_write: bool = True) -> Iterator[Connection]:
    """A connection in a transaction. With `to_write`, no other process migrates meanwhile."""
    engine = database.engine.execution_options(sidelight_write=to_write)
    try:
        connection = engine.connect()
    except (DBAPIError, sqlite3.Error) as error:
        raise ConfigError(
            f"{_place(database)} cannot be reached: {explain_failure(error)}"
        ) from None
    with connection, connection.begin():
        if to_write and not database.is_sqlite:
            # If two servers start at once, one migrates and the other waits.
            connection.execute(text(f"SELECT pg_advisory_xact_lock({int(AdvisoryLock.MIGRATION)})"))
        yield connection


def _place(database: Database) -> str:
    return database.address


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@cache
def _program_revisions() -> frozenset[str]:
    return frozenset(one.revision for one in ScriptDirectory(str(SCRIPTS)).walk_revisions())
