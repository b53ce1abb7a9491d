"""A copy of the database at one moment, made while people vote."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alembic.migration import MigrationContext
from psycopg.pq import Conninfo
from sqlalchemy import Connection, create_engine, func, inspect, quoted_name, select, table, text
from sqlalchemy.pool import NullPool

from labeler.backup.archive import ArchivedDataset
from labeler.database.engine import Database, sqlite_url
from labeler.errors import ConfigError, SidelightError
from labeler.private_files import make_private_file, sqlite_files

SQLITE_NAME = "database.sqlite3"
POSTGRES_NAME = "database.pgdump"
PAGES = 4_000  # that are copied between two reports of progress
WAIT_S = 30.0


class ClientProgramError(ConfigError):
    """`pg_dump` or `pg_restore` is missing or too old."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of the database. `name`: its name in the archive."""

    path: Path
    name: str
    revision: str
    rows: Mapping[str, int]
    datasets: Sequence[ArchivedDataset]


def take_snapshot(
    db: Database, folder: Path, progress: Callable[[int], None] | None = None
) -> Snapshot:
    """Copy the database into a folder, as it is at one moment. People can vote meanwhile.

    Raises:
        ConfigError: PostgreSQL's programs are missing or too old.
        SidelightError: it is damaged, or `pg_dump` failed.
    """
    if db.is_sqlite:
        path = folder / SQLITE_NAME
        copy_sqlite(Path(db.engine.url.database or ""), path, progress)
        engine = create_engine(sqlite_url(path), poolclass=NullPool)
        with engine.connect() as connection:
            return Snapshot(path, SQLITE_NAME, *_facts(connection))
    path = folder / POSTGRES_NAME
    engine = db.engine.execution_options(isolation_level="REPEATABLE READ")
    with engine.connect() as connection, connection.begin():
        # This transaction must outlast pg_dump, which reads what it sees.
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"SET LOCAL {name} = 0"))
        facts = _facts(connection)
        seen = connection.scalar(text("SELECT pg_export_snapshot()"))
        run_client(
            db, "pg_dump", "--format=custom", "--compress=0", f"--snapshot={seen}", f"--file={path}"
        )
        return Snapshot(path, POSTGRES_NAME, *facts)


def copy_sqlite(source: Path, target: Path, progress: Callable[[int], None] | None = None) -> None:
    """Copy an SQLite database by its online backup: whole, while others write to it.

    Raises:
        SidelightError: the database is damaged.
        sqlite3.Error: it cannot be read, or the copy cannot be written.
    """
    make_private_file(target)
    before = 0

    def report(_status: int, left: int, total: int) -> None:
        nonlocal before
        if progress is not None:
            progress((total - left - before) * size)
        before = total - left

    with (
        closing(sqlite3.connect(_address(source), uri=True, timeout=WAIT_S)) as one,
        closing(sqlite3.connect(target)) as copy,
    ):
        size = one.execute("PRAGMA page_size").fetchone()[0]
        # An open transaction keeps what it sees. Without it, each vote would start the copy anew.
        one.isolation_level = None
        one.execute("BEGIN")
        one.execute("SELECT count(*) FROM sqlite_master").fetchone()
        one.backup(copy, pages=PAGES, progress=report, sleep=0)
        one.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, which needs no log
        found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise SidelightError(
            f"{source} is damaged ({found}), so it was not backed up. Run `python manage.py "
            "doctor`, keep a copy of the file, and restore the last good backup."
        )


def database_bytes(db: Database) -> int:
    """The size of the database, about that of its copy."""
    if db.is_sqlite:
        return sum(each.stat().st_size for each in sqlite_files(Path(db.engine.url.database or "")))
    with db.engine.connect() as connection:
        return connection.scalar(text("SELECT pg_database_size(current_database())")) or 0


def run_client(db: Database, name: str, *options: str) -> None:
    """Run `pg_dump` or `pg_restore` on a database. The password goes by the environment.

    Raises:
        ClientProgramError: the program is missing or older than the server.
        SidelightError: it failed. The message has its last words.
    """
    command = [find_client(db, name), "--no-owner", "--no-privileges", "--no-password", *options]
    environ = {**os.environ, **_connection_environ(db), "LC_MESSAGES": "C"}
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-3:]) or f"exit code {done.returncode}"
        raise SidelightError(f"{name} failed: {said}")


def find_client(db: Database, name: str) -> str:
    """The path of `pg_dump` or `pg_restore`.

    Raises:
        ClientProgramError: it is missing on PATH, or older than the server.
    """
    with db.engine.connect() as connection:
        server = int(connection.scalar(text("SHOW server_version_num")) or 0) // 10_000
    what = f"Install PostgreSQL's client programs of version {server} or newer (on Debian: "
    what += f"apt-get install postgresql-client-{server}) and put them on PATH."
    path = shutil.which(name)
    if path is None:
        raise ClientProgramError(f"The program {name} is not on PATH. {what}")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\(PostgreSQL\) (\d+)", said)
    if found is None or int(found[1]) < server:
        version = found[1] if found else "unknown"
        raise ClientProgramError(
            f"{path} has the version {version}, older than the server ({server}). {what}"
        )
    return path


def dataset_names(connection: Connection) -> list[tuple[int, str, str]]:
    """The number, name and path of each data set, in the tables of any version."""
    rows = connection.execute(text("SELECT id, name, path FROM dataset ORDER BY id"))
    return [(row.id, row.name, row.path) for row in rows]


def _facts(
    connection: Connection,
) -> tuple[str, dict[str, int], list[ArchivedDataset]]:
    revision = MigrationContext.configure(connection).get_current_revision()
    assert revision is not None  # `create_backup` has looked
    rows = {
        name: connection.scalar(select(func.count()).select_from(table(quoted_name(name, True))))
        or 0
        for name in sorted(inspect(connection).get_table_names())
    }
    datasets = [
        ArchivedDataset(number, name, path, *_image_sums(connection, number))
        for number, name, path in dataset_names(connection)
    ]
    return revision, rows, datasets


def _image_sums(connection: Connection, dataset_id: int) -> tuple[int, str]:
    digest, count = hashlib.sha256(), 0
    rows: Any = connection.execute(
        text("SELECT filename, sha256 FROM image WHERE dataset_id = :id ORDER BY id"),
        {"id": dataset_id},
    )
    for filename, sha256 in rows:
        digest.update(f"{filename}\t{sha256}\n".encode())
        count += 1
    return count, digest.hexdigest()


def _connection_environ(db: Database) -> dict[str, str]:
    """The variables that lead PostgreSQL's programs to the same database."""
    url = db.engine.url
    with db.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        dsn: bytes = driver.info.dsn.encode()
    options = {
        option.envvar.decode(): option.val.decode()
        for option in Conninfo.parse(dsn)
        if option.envvar and option.val is not None
    }
    options["PGDATABASE"] = url.database or driver.info.dbname
    if url.password:
        options["PGPASSWORD"] = str(url.password)
    return options


def _address(path: Path) -> str:
    return f"file:{quote(str(path))}?mode=rw"  # a file that is missing is not made
