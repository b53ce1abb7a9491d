#!/usr/bin/env python3
"""The fault table: break one thing after another while people vote. Is anything lost or doubled?

Each fault happens to a real site (`manage.py serve`) while people vote over HTTP. Afterwards the
votes that people got acknowledged are compared with the votes that are stored. Jobs are killed in
mid-work, and must be done in the end.

Examples:
    python benchmarks/faults.py
    python benchmarks/faults.py --database postgres --only kill-server,locked --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from _load_checks import audit
from _site import Site, free_port, new_site, sign_up
from load import RULES, Drive, annotate, is_sound, prepare, quantiles
from PIL import Image as Picture
from sqlalchemy import select, text, update

from labeler.config import load_settings
from labeler.consensus.store import follows_other_rules, rebuild
from labeler.jobs import kinds
from labeler.models.campaigns import Campaign
from labeler.models.images import Dataset, Image
from labeler.models.jobs import Job
from labeler.models.proposals import ModelRun
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import Rules
from rotation.data.labels import LABELS

IMAGES, PEOPLE = 2_000, 16
HELD_S = 20.0  # how long a lock, a full disk or a read-only database lasts
JOB_WAIT_S = 180.0
JOBS = ("propose_labels", "refresh_all_images", "refresh_dataset", "fill_campaign")
Fault = Callable[[Drive], Awaitable[None]]


async def kill_process(drive: Drive) -> None:
    """`kill -9` a process of the site that answers requests."""
    drive.site.kill_worker()


async def kill_server(drive: Drive) -> None:
    """`kill -9` the server with all that it has started, then start it again."""
    drive.site.kill_all()
    await asyncio.to_thread(drive.site.start)


async def sigterm(drive: Drive) -> None:
    """SIGTERM to the server, then start it again."""
    await asyncio.to_thread(drive.site.stop)
    await asyncio.to_thread(drive.site.start)


async def locked(drive: Drive) -> None:
    """Another program locks the database for 20 seconds."""
    await asyncio.to_thread(_lock, drive.site)


async def cut(drive: Drive) -> None:
    """All connections to PostgreSQL are cut, five times."""
    for _ in range(5):
        await asyncio.to_thread(
            _run_sql,
            drive.site,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        await asyncio.sleep(0.5)


async def read_only(drive: Drive) -> None:
    """PostgreSQL takes no writes for 20 seconds."""
    name = drive.site.db.engine.url.database
    cut_all = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    for value in ("on", "off"):
        await asyncio.to_thread(
            _run_sql,
            drive.site,
            f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}',
            cut_all,
        )
        await asyncio.sleep(HELD_S if value == "on" else 0)


async def disk_full(drive: Drive) -> None:
    """The disk of the database is full for 20 seconds."""
    filler = drive.site.settings.home / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 65536)
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x")
    await asyncio.sleep(HELD_S)
    filler.unlink()


async def second_server(drive: Drive) -> None:
    """A second server runs on the same home for some seconds."""
    settings = load_settings(
        {
            "SIDELIGHT_HOME": str(drive.site.settings.home),
            "SIDELIGHT_DATABASE_URL": drive.site.settings.database_url,
            "SIDELIGHT_PORT": str(free_port()),
        }
    )
    other = Site(settings, with_worker=True)
    await asyncio.to_thread(other.start)
    await asyncio.sleep(3.0)
    await asyncio.to_thread(other.stop)
    other.db.dispose()


async def nothing(drive: Drive) -> None:
    """Nothing; for comparison."""


FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "none": (nothing, ("sqlite", "postgres")),
    "kill-process": (kill_process, ("sqlite", "postgres")),
    "kill-server": (kill_server, ("sqlite", "postgres")),
    "sigterm": (sigterm, ("sqlite", "postgres")),
    "locked": (locked, ("sqlite", "postgres")),
    "second-server": (second_server, ("sqlite", "postgres")),
    "disk-full": (disk_full, ("sqlite",)),
    "connections-cut": (cut, ("postgres",)),
    "read-only": (read_only, ("postgres",)),
}


def while_voting(name: str, kind: str, votes: int) -> dict[str, Any]:
    """One fault after a third of the votes; returns the row of the table."""
    fault, _ = FAULTS[name]
    rules = Rules.from_dict(RULES["majority"].as_dict() | {"order": "random"})
    with _disk(name == "disk-full"), new_site(kind, with_worker=True) as site:
        campaign_id = prepare(site.db, IMAGES, rules)
        people = sign_up(site, PEOPLE)
        site.start()
        drive = Drive(site, rules, campaign_id, PEOPLE, votes, votes, 0.0, 5)
        asyncio.run(_run(drive, people, fault))
        site.stop()
        checks = audit(site.db, campaign_id, drive.log, False)
        checks |= {"double_leases_seen_by_people": 0, "over_leased_in_samples": 0}
        log = site.log()
    waited = quantiles(drive.vote)
    return {
        "fault": (fault.__doc__ or "").strip().split("\n")[0].rstrip("."),
        "database": kind,
        "acknowledged": len(drive.log.acknowledged),
        "lost": checks["lost"],
        "doubled": checks["doubled"],
        "longest_wait_s": round(max(waited["max"], waited.get("retried_max", 0.0)) / 1000, 1),
        "sent_again": waited.get("retried", 0),
        "refused": sorted(set(drive.log.refused))[:3],
        "tracebacks": log.count("Traceback"),
        "sound": is_sound(checks),
    }


async def _run(drive: Drive, people: list[Any], fault: Fault) -> None:
    async def strike() -> None:
        while len(drive.ends) < drive.votes / 3:
            await asyncio.sleep(0.02)
        await fault(drive)

    striking = asyncio.create_task(strike())
    await asyncio.gather(*(annotate(drive, person) for person in people))
    await striking


def in_a_job(name: str, kind: str, how: int) -> dict[str, Any]:
    """Kill or stop the worker while it does a job of this kind; is the job done in the end?"""
    with new_site(kind, with_worker=True) as site:
        prepare(site.db, 20_000 if name != "propose_labels" else 300, RULES["majority"])
        subject = _prepare_job(site, name)
        site.start()
        caught = False
        with site.db.write() as session:
            job_id = kinds.KINDS[name].queue(session, subject)
        started = time.monotonic()
        while (job := _job(site, job_id)).state in ("queued", "running"):
            if job.state == "running" and not caught and (name != "propose_labels" or _runs(site)):
                caught = True
                for pid in _workers(site):
                    os.kill(pid, how)
                killed = time.monotonic()
            if time.monotonic() - started > JOB_WAIT_S:
                break
            time.sleep(0.005 if not caught else 0.2)
        seconds = time.monotonic() - killed if caught else 0.0
        training = [status for status in _runs(site) if status == "training"]
        site.stop()
        with site.db.read() as session:
            campaign = session.get_one(Campaign, 1)
            outdated = follows_other_rules(session, campaign)
    return {
        "fault": f"{signal.Signals(how).name} to the worker in {name}",
        "database": kind,
        "caught_at_work": caught,
        "state": job.state,
        "attempts": job.attempts,
        "problem": job.problem,
        "seconds_to_the_end": round(seconds, 1),
        "labels_by_old_rules": outdated,
        "runs_left_in_training": len(training),
        "sound": job.state == "done" and not outdated and not training,
    }


def _prepare_job(site: Site, name: str) -> int:
    """What a job of this kind needs; returns its subject."""
    with site.db.write() as session:
        campaign = session.get_one(Campaign, 1)
        if name == "refresh_all_images":
            campaign.rules = campaign.rules | {"required_votes": 2, "vote_cap": 9}
        if name == "fill_campaign":
            session.execute(text("DELETE FROM consensus"))
    if name == "propose_labels":
        _draw_and_vote(site)
        with site.db.write() as session:
            rebuild(session, 1)
    return 1


def _draw_and_vote(site: Site) -> None:
    """Files for the images, and a vote on each."""
    folder = site.settings.home / "faces"
    folder.mkdir()
    people = sign_up(site, 1)
    with site.db.write() as session:
        session.execute(update(Dataset).values(path=str(folder)))
        images = session.execute(select(Image.id, Image.filename)).all()
        for number, (image_id, filename) in enumerate(images):
            picture = Picture.linear_gradient("L").rotate(120 * (number % 3)).resize((178, 218))
            picture.convert("RGB").save(folder / filename)
            session.add(
                Vote(
                    campaign_id=1,
                    image_id=image_id,
                    annotator_id=people[0].id,
                    answer=LABELS[number % 3],
                    request_id=str(uuid.UUID(int=image_id)),
                    blind=True,
                )
            )


def _job(site: Site, job_id: int | None) -> Job:
    with site.db.read() as session:
        return session.get_one(Job, job_id)


def _runs(site: Site) -> list[str]:
    with site.db.read() as session:
        return list(session.scalars(select(ModelRun.status)))


def _workers(site: Site) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            home = str(site.settings.home).encode()
            environ = (path.parent / "environ").read_bytes()
            if b"worker" in words and home in environ:
                found.append(int(path.parent.name))
    return found


def _lock(site: Site) -> None:
    if site.db.is_sqlite:
        other = sqlite3.connect(site.settings.home / "sidelight.sqlite3", isolation_level=None)
        other.execute("PRAGMA busy_timeout = 5000")
        other.execute("BEGIN IMMEDIATE")
        time.sleep(HELD_S)
        other.execute("ROLLBACK")
        other.close()
        return
    with site.db.engine.begin() as connection:
        connection.execute(text("LOCK TABLE vote IN ACCESS EXCLUSIVE MODE"))
        time.sleep(HELD_S)


def _run_sql(site: Site, *statements: str) -> None:
    with site.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = off")
        for statement in statements:
            connection.exec_driver_sql(statement)


@contextmanager
def _disk(wanted: bool) -> Iterator[None]:
    """A small disk for temporary folders; needs the right to mount one."""
    if not wanted:
        yield
        return
    folder = tempfile.mkdtemp(prefix="sidelight-disk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], check=True)
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before
        subprocess.run(["umount", "--lazy", folder], check=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*FAULTS, *(f"job:{name}" for name in JOBS)]
    parser.add_argument("--database", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--only", default=",".join(names), help=f"of {', '.join(names)}")
    parser.add_argument("--votes", type=int, default=1_500, help="while each fault happens")
    parser.add_argument("--json", action="store_true", help="write JSON")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := [name for name in chosen if name not in names]:
        parser.error(f"--only {unknown[0]}: choose from {', '.join(names)}")
    databases = ["sqlite", "postgres"] if options.database == "both" else [options.database]
    rows = []
    for kind in databases:
        for name in chosen:
            for row in _rows(name, kind, options.votes):
                rows.append(row)
                if not options.json:
                    print("  ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
    if options.json:
        print(json.dumps(rows, indent=2))
    if not all(row["sound"] for row in rows):
        raise SystemExit("Something was lost, doubled or left undone; see the rows.")


def _rows(name: str, kind: str, votes: int) -> Iterator[dict[str, Any]]:
    if name.startswith("job:"):
        for how in (signal.SIGKILL, signal.SIGTERM):
            yield in_a_job(name.removeprefix("job:"), kind, how)
    elif kind in FAULTS[name][1]:
        yield while_voting(name, kind, votes)


if __name__ == "__main__":
    main()
