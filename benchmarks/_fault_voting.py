"""Faults while people vote as fast as they can."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _fault_places import Clock, Cluster, fill, own_postgres, set_writable, small_disk
from _fault_voters import HELD_S, VOTING_RULES, new_drive, vote_while, votes_row
from _site import Site, free_port, new_site, sign_up
from load import prepare
from sqlalchemy import select, text

from labeler.config import load_settings
from labeler.models.base import utc_now
from labeler.models.voting import Vote

IMAGES, PEOPLE = 2_000, 16
DISK_MB = {"sqlite": 40, "postgres": 220}
CUT_TIMES, CUT_EVERY_S = 5, 0.5
HOUR_S = 3600
CUT_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass
class Place:
    """Where a fault happens. What the fault does not need is None."""

    site: Site
    cluster: Cluster | None
    disk: Path | None
    clock: Clock | None


@dataclass(frozen=True)
class Fault:
    """A fault: what it does, and what it needs.

    Attributes:
        words: for the table.
        strike: breaks something, and puts it right; may return what people were told.
        databases: those that it is about.
        small_disk, clock: whether it needs these.
        leases_end: whether leases may end early.
    """

    words: str
    strike: Callable[[Place], Any]
    databases: tuple[str, ...] = ("sqlite", "postgres")
    small_disk: bool = False
    clock: bool = False
    leases_end: bool = False


def while_voting(name: str, kind: str, votes: int) -> dict[str, Any]:
    """One fault after a third of the votes; returns the row of the table.

    Raises:
        MissingError: the machine lacks what the fault needs.
    """
    fault = FAULTS[name]
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(DISK_MB[kind] if fault.small_disk else None))
        cluster = stack.enter_context(own_postgres(kind == "postgres"))
        site = stack.enter_context(new_site(kind, with_worker=True))
        clock = Clock(site.settings.home) if fault.clock else None
        site.environ |= clock.environ if clock else {}
        prepare(site.db, IMAGES, VOTING_RULES)
        people = sign_up(site, PEOPLE)
        site.start()
        drive = new_drive(site, PEOPLE, votes)
        place = Place(site, cluster, disk, clock)
        outcome = vote_while(drive, people, lambda _: fault.strike(place))
        site.stop()
        row = votes_row(drive, fault.leases_end)
        moved = _moved_s(site) if clock else 0
    if fault.clock and abs(moved) < HOUR_S / 2:
        row |= {"sound": False, "outcome": "the clock did not move"}
    return {"fault": fault.words, "database": kind, "outcome": outcome or ""} | row


def _moved_s(site: Site) -> float:
    """How far the clock of the newest vote is from the true one."""
    with site.db.read() as session:
        newest = select(Vote.created_at).order_by(Vote.id.desc()).limit(1)
        return (session.scalars(newest).one() - utc_now()).total_seconds()


def _kill_process(place: Place) -> None:
    place.site.kill_worker()


def _kill_server(place: Place) -> None:
    place.site.kill_all()
    place.site.start()


def _sigterm(place: Place) -> None:
    place.site.stop()
    place.site.start()


def _lock(place: Place) -> None:
    site = place.site
    if not site.db.is_sqlite:
        with site.db.engine.begin() as connection:
            connection.execute(text("LOCK TABLE vote IN ACCESS EXCLUSIVE MODE"))
            time.sleep(HELD_S)
        return
    other = sqlite3.connect(site.settings.home / "sidelight.sqlite3", isolation_level=None)
    other.execute("PRAGMA busy_timeout = 5000")
    other.execute("BEGIN IMMEDIATE")
    time.sleep(HELD_S)
    other.execute("ROLLBACK")
    other.close()


def _cut(place: Place) -> None:
    for _ in range(CUT_TIMES):
        _run_sql(place.site, CUT_ALL)
        time.sleep(CUT_EVERY_S)


def _restart(mode: str) -> Callable[[Place], None]:
    def strike(place: Place) -> None:
        assert place.cluster is not None
        place.cluster.stop(mode)
        place.cluster.start()

    return strike


def _stay_away(place: Place) -> None:
    assert place.cluster is not None
    place.cluster.stop("fast")
    time.sleep(HELD_S)
    place.cluster.start()


def _read_only_postgres(place: Place) -> None:
    name = place.site.db.engine.url.database
    for value in ("on", "off"):
        setting = f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}'
        _run_sql(place.site, setting, CUT_ALL)
        time.sleep(HELD_S if value == "on" else 0)


def _read_only_sqlite(place: Place) -> str:
    """A disk cannot become read-only while the site writes there, so the site starts on it."""
    assert place.disk is not None
    place.site.db.dispose()
    place.site.kill_all()
    set_writable(place.disk, False)
    end = time.monotonic() + HELD_S
    told = "it started"
    try:
        place.site.start()
    except SystemExit:
        told = place.site.log().strip().splitlines()[-1]
    time.sleep(max(0.0, end - time.monotonic()))
    place.site.stop()
    set_writable(place.disk, True)
    place.site.start()
    return told


def _fill_disk(place: Place) -> str | None:
    assert place.disk is not None
    filler = fill(place.disk)
    time.sleep(HELD_S)
    filler.unlink()
    if place.cluster is not None and not place.cluster.runs():
        place.cluster.start()
        return "PostgreSQL had stopped itself and was started again"
    return None


def _second_server(place: Place) -> None:
    settings = load_settings(
        {
            "SIDELIGHT_HOME": str(place.site.settings.home),
            "SIDELIGHT_DATABASE_URL": place.site.settings.database_url,
            "SIDELIGHT_PORT": str(free_port()),
        }
    )
    other = Site(settings, with_worker=True)
    other.start()
    time.sleep(3.0)
    other.stop()
    other.db.dispose()


def _move_clock(seconds: int) -> Callable[[Place], None]:
    def strike(place: Place) -> None:
        assert place.clock is not None
        place.clock.move(seconds)
        time.sleep(2.0)

    return strike


def _run_sql(site: Site, *statements: str) -> None:
    with site.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = off")
        for statement in statements:
            connection.exec_driver_sql(statement)


POSTGRES = ("postgres",)
FAULTS: dict[str, Fault] = {
    "none": Fault("nothing; for comparison", lambda _: None),
    "kill-process": Fault("`kill -9` of a process of the site", _kill_process),
    "kill-server": Fault("`kill -9` of all processes, then a new start", _kill_server),
    "sigterm": Fault("SIGTERM to the server, then a new start", _sigterm),
    "second-server": Fault("a second server on the same home, for 3 s", _second_server),
    "locked": Fault("another program locks the database for 20 s", _lock),
    "read-only": Fault("the database is read-only for 20 s", _read_only_postgres, POSTGRES),
    "read-only-disk": Fault(
        "a start on a disk that is read-only for 20 s",
        _read_only_sqlite,
        ("sqlite",),
        small_disk=True,
    ),
    "disk-full": Fault("the disk of the database is full for 20 s", _fill_disk, small_disk=True),
    "restart": Fault("the database is restarted", _restart("fast"), POSTGRES),
    "crash": Fault("the database crashes and is started again", _restart("immediate"), POSTGRES),
    "away": Fault("the database is away for 20 s", _stay_away, POSTGRES),
    "connections-cut": Fault("all connections are cut, five times", _cut, POSTGRES),
    "clock-forward": Fault(
        "the clock is set forward by an hour", _move_clock(HOUR_S), clock=True, leases_end=True
    ),
    "clock-back": Fault(
        "the clock is set back by an hour", _move_clock(-HOUR_S), clock=True, leases_end=True
    ),
}
