"""Databases, people and data sets for the tests. The real parts throughout: files, SQL, hashes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import psycopg
import pytest
import sqlalchemy
from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache
from PIL import Image as Pillow
from sqlalchemy import Connection, event, select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import make_url

import labeler.database.engine
from benchmarks._s3_server import Line, environment_of, s3_server
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.database.migrate import upgrade
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.accounts import Annotator
from labeler.models.base import Base
from labeler.models.campaigns import Campaign
from labeler.rules.campaign_rules import Rules
from tests.object_store import BUCKET, Store

POSTGRES_CANDIDATES = (
    "postgresql://postgres@127.0.0.1:5432/postgres",
    "postgresql:///postgres",
    "postgresql://root@127.0.0.1:5432/postgres",
)
PLAIN_RULES = Rules(method="majority", required_votes=3, proposals="shown", gold_rate=0.0)
WRITING = re.compile(r"\b(INSERT INTO|DELETE FROM|UPDATE(?! SKIP| OF)) +(\w+)", re.IGNORECASE)
APPEND_ONLY = ("vote", "audit_event")  # triggers refuse to empty them
SECRET = "tests-only-0123456789-abcdefghij-KLMNOP"

MakeAnnotator = Callable[..., Annotator]
MakeDataset = Callable[..., int]


class Statements(list[str]):
    """The SQL that ran, in order."""

    @property
    def writes(self) -> list[str]:
        """Those that change rows; `SELECT ... FOR UPDATE` is none."""
        return [one for one in self if WRITING.search(one)]


CountQueries = Callable[[Database], AbstractContextManager[Statements]]


class CompiledTemplates(BytecodeCache):
    """What Jinja has compiled, for all sites of the tests: compiling takes a quarter of them."""

    def __init__(self) -> None:
        self.compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.compiled:
            bucket.bytecode_from_string(self.compiled[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.compiled[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def _compiled_templates() -> None:
    Flask.jinja_options = {"bytecode_cache": CompiledTemplates()}


@pytest.fixture(scope="session", autouse=True)
def _compiled_statements() -> Iterator[None]:
    """What SQLAlchemy has compiled, for all SQLite databases: compiling takes a sixth of the tests.

    Statements are kept by dialect, and each engine has a dialect of its own. Those of one class
    compile alike, so they count as equal here.
    """
    kept: dict[object, object] = {}
    sharing = partial(sqlalchemy.create_engine, execution_options={"compiled_cache": kept})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SQLiteDialect_pysqlite, "__eq__", lambda one, other: type(one) is type(other))
        patch.setattr(SQLiteDialect_pysqlite, "__hash__", lambda one: hash(type(one)))
        patch.setattr(labeler.database.engine, "create_engine", sharing)
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with everything inside the test's own folder."""
    return Settings(
        home=tmp_path,
        database_url=f"sqlite:///{tmp_path / 'test.sqlite3'}",
        secret_key=SECRET,
    )


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, made once; a copy is quicker than migrating for each test."""
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.dispose()
    return path


@pytest.fixture
def db(settings: Settings, _template: Path) -> Iterator[Database]:
    """An empty, migrated SQLite database: the file of `settings`."""
    shutil.copyfile(_template, make_url(settings.database_url).database or "")
    database = Database(settings.database_url)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """The address of a PostgreSQL server where databases may be made; skips if there is none."""
    given = os.environ.get("SIDELIGHT_TEST_POSTGRES")
    problems = []
    for url in [given] if given else POSTGRES_CANDIDATES:
        try:
            psycopg.connect(url, connect_timeout=3).close()
        except psycopg.OperationalError as error:
            problems.append(f"{url}: {str(error).splitlines()[0]}")
        else:
            return url
    pytest.skip("no PostgreSQL server (SIDELIGHT_TEST_POSTGRES): " + "; ".join(problems))


@pytest.fixture
def empty_postgres_db(postgres_server: str) -> Iterator[Database]:
    """A database of its own on the server, without tables; dropped afterwards."""
    with _new_postgres_db(postgres_server) as database:
        yield database


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_server: str) -> Iterator[str]:
    """The address of a migrated database; emptying it is quicker than making one for each test."""
    with _new_postgres_db(postgres_server) as database:
        upgrade(database)
        database.dispose()
        yield database.url


@pytest.fixture
def postgres_db(_migrated_postgres: str) -> Iterator[Database]:
    """An empty, migrated PostgreSQL database."""
    database = Database(_migrated_postgres)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
        _empty(connection)
    yield database
    database.dispose()


def _empty(connection: Connection) -> None:
    """Empty the tables that a test has written to. Emptying all would take a third of a second."""
    written = connection.exec_driver_sql(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0"
    ).scalars()
    tables = sorted(set(written) & set(Base.metadata.tables))
    if tables:
        for table in APPEND_ONLY:
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        connection.exec_driver_sql(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
        for table in APPEND_ONLY:
            connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    used = connection.exec_driver_sql(
        "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value > 0"
    ).scalars()
    for sequence in list(used):  # a row that was rolled back leaves its number behind
        connection.exec_driver_sql(f'ALTER SEQUENCE "{sequence}" RESTART')


@contextmanager
def _new_postgres_db(server: str) -> Iterator[Database]:
    name = f"sidelight_test_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        # A test database need not survive a power cut.
        connection.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    url = make_url(server).set(drivername="postgresql+psycopg", database=name)
    database = Database(url.render_as_string(hide_password=False))
    try:
        yield database
    finally:
        database.dispose()
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def store() -> Iterator[Store]:
    """A store that speaks S3, in a process of its own; skips without its packages."""
    for package in ("s3fs", "moto"):
        pytest.importorskip(package, reason="needs requirements/dev.txt")
    with s3_server() as port, pytest.MonkeyPatch.context() as patch:
        line = Line(port)
        made = Store(line, environment_of(line.url))
        for name, value in made.environment.items():
            patch.setenv(name, value)
        made.client.mkdir(BUCKET)
        yield made
        line.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def any_db(request: pytest.FixtureRequest) -> Database:
    """The test runs twice: on SQLite and on PostgreSQL."""
    database: Database = request.getfixturevalue(
        "db" if request.param == "sqlite" else "postgres_db"
    )
    return database


@pytest.fixture
def make_annotator() -> MakeAnnotator:
    """`make_annotator(db, "ada", role="annotator")`; has no password: open a session for it."""

    def make(database: Database, username: str | None = None, role: str = "annotator") -> Annotator:
        name = username or f"person-{secrets.token_hex(4)}"
        annotator = Annotator(
            username=name, pseudonym=f"p-{secrets.token_hex(4)}", role=role, password_hash="!"
        )
        with database.write() as session:
            session.add(annotator)
        return annotator

    return make


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """`make_dataset(db, count=6, name="faces")`: real JPEGs, registered, checked and active.

    Labelled by `PLAIN_RULES`; `acting.set_rules` changes them.
    """

    def make(database: Database, count: int = 6, name: str = "faces") -> int:
        folder = write_images(tmp_path / name, count)
        report = register_dataset(database, folder)
        with database.write() as session:
            for campaign in session.scalars(select(Campaign)):
                campaign.rules = PLAIN_RULES.as_dict()
        check_images(database, report.dataset_id, processes=1)
        return report.dataset_id

    return make


def write_images(folder: Path, count: int, size: tuple[int, int] = (20, 24)) -> Path:
    """`count` JPEGs, `000001.jpg` and on, each lit otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    for number in range(1, count + 1):
        ramp = np.linspace(rng.uniform(0, 255), rng.uniform(0, 255), size[0])
        pixels = np.repeat(np.tile(ramp, (size[1], 1))[:, :, None], 3, axis=2)
        Pillow.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:06d}.jpg")
    return folder


@pytest.fixture
def count_queries() -> CountQueries:
    """`with count_queries(db) as statements: ...` collects the SQL that ran."""

    @contextmanager
    def counting(database: Database) -> Iterator[Statements]:
        statements = Statements()

        def note(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
            statements.append(statement)

        event.listen(database.engine, "before_cursor_execute", note)
        try:
            yield statements
        finally:
            event.remove(database.engine, "before_cursor_execute", note)

    return counting
