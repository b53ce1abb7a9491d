"""A database that is locked, full, read-only or away: status 503, soon, and the true reason."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import insert, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.test import TestResponse

from labeler.app import create_app
from labeler.cli.context import failures_told
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.database.failures import failure_of
from labeler.database.patience import Patience
from labeler.errors import SidelightError
from labeler.models.accounts import LoginFailure
from labeler.web import access

SHORT = Patience(lock_s=0.3, connect_s=2.0, pool_s=0.3, statement_s=1.0, idle_s=5.0)
JSON = {"Accept": "application/json"}


def file_of(db: Database) -> str:
    return make_url(db.url).database or ""


@contextmanager
def locked_by_another_program(db: Database) -> Iterator[None]:
    """Hold SQLite's lock without the site's own lock files, as another program does."""
    other = sqlite3.connect(file_of(db), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    with suppress_full(), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@contextmanager
def suppress_full() -> Iterator[None]:
    with pytest.raises(OSError, match="No space left"):
        yield


def write_through(app: Flask) -> Callable[[], TestResponse]:
    """A page that writes."""

    def view() -> str:
        with app.extensions["sidelight_db"].write() as session:
            session.execute(insert(LoginFailure).values(key="x" * 60))
        return "stored"

    app.add_url_rule("/write", view_func=access.public(view))
    return lambda: app.test_client().get("/write", headers=JSON)


def test_a_file_that_another_program_locks(db: Database, settings: Settings) -> None:
    ours = Database(db.url, SHORT)
    started = time.monotonic()
    with locked_by_another_program(db):
        with (
            pytest.raises(OperationalError, match="database is locked") as raised,
            ours.write() as one,
        ):
            one.execute(text("SELECT 1"))
        assert failure_of(raised.value) is not None
        with (
            pytest.raises(SidelightError, match="Another program uses the database"),
            failures_told(),
            ours.write() as one,
        ):
            one.execute(text("SELECT 1"))
    with ours.write() as one:
        assert one.scalar(text("PRAGMA busy_timeout")) == 300
    ours.dispose()
    assert time.monotonic() - started < 10


def test_threads_that_wait_for_a_locked_file_wait_only_once(db: Database) -> None:
    ours = Database(db.url, replace(SHORT, lock_s=1.0))
    waits = []

    def write() -> None:
        started = time.monotonic()
        with pytest.raises(OperationalError, match="database is locked"), ours.write() as one:
            one.execute(text("SELECT 1"))
        waits.append(time.monotonic() - started)

    with locked_by_another_program(db):
        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
            time.sleep(0.2)
        for thread in threads:
            thread.join()
    ours.dispose()
    assert len(waits) == 4
    assert max(waits) < 1.9  # one after the other, the last would wait for four seconds


def test_all_connections_in_use(db: Database) -> None:
    ours = Database(db.url, SHORT)
    held = [ours.engine.connect() for _ in range(15)]
    with pytest.raises(PoolTimeoutError) as raised, ours.read() as session:
        session.execute(text("SELECT 1"))
    failure = failure_of(raised.value)
    assert failure is not None
    assert failure.code == "database_busy"
    for one in held:
        one.close()
    ours.dispose()


def test_a_page_says_that_the_file_is_locked(
    app: Flask, db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeler.app.FOR_PAGES", SHORT)
    site = create_app(settings)
    write = write_through(site)
    with locked_by_another_program(db):
        answer = write()
    assert answer.status_code == 503
    assert answer.get_json()["error"]["code"] == "database_busy"
    assert answer.headers["Retry-After"] == "2"
    assert write().text == "stored"
    site.extensions["sidelight_db"].dispose()


def test_a_page_says_that_the_disk_is_full(
    db: Database, settings: Settings, small_disk: Path
) -> None:
    file = small_disk / "site.sqlite3"
    shutil.copyfile(file_of(db), file)
    site = create_app(replace(settings, home=small_disk, database_url=f"sqlite:///{file}"))
    write = write_through(site)
    assert write().text == "stored"
    assert site.test_client().get("/healthz").status_code == 200
    fill(small_disk)
    for _ in range(200):  # the side files of SQLite have a little room left
        answer = write()
        if answer.status_code != 200:
            break
    assert answer.status_code == 503
    assert answer.get_json()["error"]["code"] in ("disk_full", "disk_error")
    assert "full" in answer.get_json()["error"]["message"]
    assert "Try again in a moment" not in answer.text
    time.sleep(1.1)  # a result of the health check is given again for a second
    health = site.test_client().get("/healthz")
    assert health.status_code == 503
    assert health.get_json()["checks"]["disk"] == "The disk is full."
    (small_disk / "filler").unlink()
    assert write().text == "stored"
    site.extensions["sidelight_db"].dispose()


def test_a_page_says_that_the_database_is_read_only(
    db: Database, settings: Settings, small_disk: Path
) -> None:
    file = small_disk / "site.sqlite3"
    shutil.copyfile(file_of(db), file)
    site = create_app(replace(settings, home=small_disk, database_url=f"sqlite:///{file}"))
    write = write_through(site)
    assert write().text == "stored"
    with site.extensions["sidelight_db"].write() as session:
        session.execute(text("PRAGMA query_only = ON"))
        session.execute(text("SELECT 1"))
    answer = write()
    assert answer.status_code == 503
    assert answer.get_json()["error"]["code"] == "database_read_only"
    site.extensions["sidelight_db"].dispose()


def test_health_of_a_site_that_works(app: Flask) -> None:
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 200
    assert answer.get_json() == {
        "ok": True,
        "checks": {"disk": "ok", "database": "ok", "writing": "ok"},
    }


def test_health_of_a_locked_file(app: Flask, db: Database) -> None:
    started = time.monotonic()
    with locked_by_another_program(db):
        answer = app.test_client().get("/healthz")
    assert time.monotonic() - started < 3
    assert answer.status_code == 503
    assert answer.get_json()["checks"] == {
        "disk": "ok",
        "database": "ok",
        "writing": "The database is busy.",
    }


@pytest.mark.postgres
def test_health_of_a_locked_table(postgres_db: Database, settings: Settings) -> None:
    site = create_app(replace(settings, database_url=postgres_db.url))
    ask = site.test_client().get
    assert ask("/healthz").get_json()["checks"]["writing"] == "ok"
    time.sleep(1.1)
    with postgres_db.engine.begin() as holder:
        holder.execute(text("LOCK TABLE vote"))
        started = time.monotonic()
        answer = ask("/healthz")
        assert time.monotonic() - started < 3
    assert answer.status_code == 503
    assert answer.get_json()["checks"] == {
        "disk": "ok",
        "database": "ok",
        "writing": "The database is busy.",
    }
    site.extensions["sidelight_db"].dispose()


def test_health_of_a_server_that_never_answers(settings: Settings) -> None:
    import socket

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql+psycopg://ada@127.0.0.1:{silent.getsockname()[1]}/light"
        ask = create_app(replace(settings, database_url=url)).test_client().get
        for most_s in (3.0, 0.5):  # the second question does not wait for what hangs already
            started = time.monotonic()
            answer = ask("/healthz")
            assert time.monotonic() - started < most_s
            assert answer.status_code == 503
            assert answer.get_json()["checks"]["database"] == "It did not answer in time."


def test_a_server_that_is_away(settings: Settings) -> None:
    url = "postgresql+psycopg://ada@127.0.0.1:1/light"
    site = create_app(replace(settings, database_url=url))
    assert site.test_client().get("/healthz").get_json()["checks"]["database"] == (
        "The database cannot be reached."
    )
    answer = site.test_client().get("/guide", headers=JSON)
    assert answer.status_code == 503
    assert answer.get_json()["error"]["code"] == "database_unreachable"


@pytest.mark.postgres
def test_locks_and_statements_of_pages_have_an_end(postgres_db: Database) -> None:
    ours = Database(postgres_db.url, SHORT)
    with postgres_db.engine.begin() as holder:
        holder.execute(text("LOCK TABLE vote"))
        with pytest.raises(OperationalError) as raised, ours.write() as session:
            session.execute(text("SELECT count(*) FROM vote"))
    failure = failure_of(raised.value)
    assert failure is not None
    assert failure.code == "database_busy"
    with pytest.raises(OperationalError, match="statement timeout"), ours.read() as session:
        session.execute(text("SELECT pg_sleep(60)"))
    ours.dispose()


@pytest.mark.postgres
def test_commands_may_take_their_time(postgres_db: Database) -> None:
    with postgres_db.read() as session:
        for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert session.scalar(text(f"SHOW {name}")) == "0"


@pytest.mark.postgres
def test_a_page_says_that_postgres_can_only_be_read(postgres_db: Database) -> None:
    ours = Database(postgres_db.url, SHORT)
    statement = text("SET TRANSACTION READ ONLY; DELETE FROM login_failure")
    with pytest.raises(InternalError, match="read-only") as raised, ours.write() as session:
        session.execute(statement)
    failure = failure_of(raised.value)
    assert failure is not None
    assert failure.code == "database_read_only"
    ours.dispose()


def test_an_ordinary_error_is_no_failure_of_the_database(db: Database) -> None:
    with pytest.raises(OperationalError) as raised, db.read() as session:
        session.execute(text("SELECT * FROM nowhere"))
    assert failure_of(raised.value) is None
