"""Faults of commands: the disk is full while they write, and a migration is killed."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from _fault_places import Cluster, fill, own_postgres, small_disk
from _fault_voters import VOTING_RULES, new_drive, vote_while, votes_row
from _project import ROOT
from _site import Site, new_site, sign_up
from load import prepare
from PIL import Image as Picture
from sqlalchemy import func, select
from sqlalchemy.engine import make_url

from labeler.consensus.store import rebuild
from labeler.database.migrate import current, differences, downgrade, head
from labeler.models.images import Image
from labeler.models.voting import Vote

DISK_MB = {"sqlite": 160, "postgres": 320}  # a backup needs some space to begin
PEOPLE, RATE = 4, 10.0  # who vote meanwhile, and their votes a second
IMAGES, IMPORTED = 20_000, 3_000
HELD_S = 600.0  # the longest time that the disk stays full
COMMAND_S = 900.0
OLD_REVISION = "20261122b"
MOMENTS, EARLY = 24, 4  # at which a migration is killed, and how many while the backup is made
UNFINISHED, FINISHED = ".*.part", "*.tar.gz"  # backups
BACKUP_S = 0.5  # about as long as the backup takes


@dataclass(frozen=True)
class Command:
    """A command that writes to the disk.

    Attributes:
        words: for the table.
        arguments: of `manage.py`, from the disk and the folder of what it reads.
        inputs: makes what it reads.
        leave: bytes of the disk that are free when it begins; None: the disk is filled as soon as
            it has begun to write.
        problem: what is wrong with its output; empty if nothing.
    """

    words: str
    arguments: Callable[[Path, Path], list[str]]
    inputs: Callable[[Path], None]
    leave: int | None
    problem: Callable[[Site, Path], str]


def on_a_full_disk(name: str, kind: str) -> dict[str, Any]:
    """The disk is full while a command writes; then there is space, and it runs again.

    Raises:
        MissingError: no small disk can be mounted here.
    """
    command = COMMANDS[name]
    with ExitStack() as stack:
        inputs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sidelight-in-")))
        command.inputs(inputs)
        disk = stack.enter_context(small_disk(DISK_MB[kind]))
        assert disk is not None
        cluster = stack.enter_context(own_postgres(kind == "postgres"))
        site = stack.enter_context(new_site(kind, with_worker=True))
        prepare(site.db, IMAGES, VOTING_RULES)
        *people, earlier = sign_up(site, PEOPLE + 1)
        _vote_on_all(site, earlier.id)
        site.start()
        drive = new_drive(site, PEOPLE, 10**6, RATE)
        told = vote_while(drive, people, lambda _: _run_twice(site, cluster, command, disk, inputs))
        site.stop()
        row = votes_row(drive)
    outcome = f"{told['first']} At the second try: {told['problem'] or 'done'}."
    return {
        "fault": command.words,
        "database": kind,
        "outcome": outcome,
        **row,
        "sound": row["sound"] and told["failed"] and not told["problem"],
    }


def _run_twice(
    site: Site, cluster: Cluster | None, command: Command, disk: Path, inputs: Path
) -> dict[str, Any]:
    arguments = command.arguments(disk, inputs)
    filler = fill(disk, command.leave) if command.leave is not None else None
    process = _start(site, arguments)
    end = time.monotonic() + HELD_S
    while process.poll() is None and time.monotonic() < end:
        if filler is None and list((site.settings.home / "backups").glob(f"{UNFINISHED}/*")):
            filler = fill(disk)
        time.sleep(0.01)
    held_out = process.poll() is None
    if filler is not None:
        filler.unlink()
    output = _output(process)
    first = f"It says: {_error(output)}" if process.returncode else "It ended without an error."
    if held_out:
        first += f" (It held out {HELD_S:g} s.)"
    problem = command.problem(site, disk) if process.returncode == 0 else ""
    if cluster is not None and not cluster.runs():
        cluster.start()
        first += " PostgreSQL had stopped itself and was started again."
    if "Traceback" in output:
        problem = "a traceback"
    again = _start(site, arguments)
    output = _output(again)
    problem = problem or (_error(output) if again.returncode else command.problem(site, disk))
    return {"first": first, "failed": process.returncode != 0, "problem": problem}


def _output(process: subprocess.Popen[str]) -> str:
    """What a command says until it ends; it may not take longer than `COMMAND_S`."""
    try:
        return process.communicate(timeout=COMMAND_S)[0]
    finally:
        process.kill()


def _error(output: str) -> str:
    """The error that a command ended with, in one line."""
    return " ".join(output[max(0, output.rfind("Error:")) :].split())


def _start(site: Site, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=site.command_environ(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _make_pictures(folder: Path) -> None:
    """Many names of one small picture."""
    first = folder / "000001.jpg"
    Picture.linear_gradient("L").resize((178, 218)).convert("RGB").save(first)
    for number in range(2, IMPORTED + 1):
        (folder / f"{number:06d}.jpg").hardlink_to(first)


def _make_heads(folder: Path) -> None:
    """Rendered heads, and their true labels."""
    command = [sys.executable, str(ROOT / "manage.py"), "rotation", "synthesize"]
    command += ["--out", str(folder / "heads"), "--images", "60"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with (folder / "heads" / "truth.csv").open() as file:
        rows = [(row["filename"], row["light"]) for row in csv.DictReader(file)]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("filename", "label"), *rows])


def _nothing(_: Path) -> None:
    """For commands that read only the database."""


def _imported(site: Site, _: Path) -> str:
    with site.db.read() as session:
        found = session.scalar(select(func.count()).select_from(Image)) or 0
    wanted = IMAGES + IMPORTED
    return "" if found == wanted else f"{found} images instead of {wanted}"


def _exported(_: Site, disk: Path) -> str:
    if list(disk.glob("*votes.csv*")) != [disk / "votes.csv"]:
        return "unfinished files are left"
    lines = len((disk / "votes.csv").read_text().splitlines())
    return "" if lines > IMAGES else f"{lines} lines instead of more than {IMAGES}"


def _turned(_: Site, disk: Path) -> str:
    frames = list((disk / "turned").rglob("*.png"))
    for frame in frames:
        with Picture.open(frame) as picture:
            picture.load()
    return "" if frames else "there are no frames"


def _backed_up(site: Site, _: Path) -> str:
    folder = site.settings.home / "backups"
    (made,) = folder.glob(FINISHED)
    if list(folder.glob(UNFINISHED)):
        return "unfinished files are left"
    checked = _start(site, ["backup", "--verify", str(made)])
    said = _output(checked).strip().splitlines()
    return said[-1] if checked.returncode else ""


COMMANDS: dict[str, Command] = {
    "import": Command(
        "the disk is full while images are imported",
        lambda _, inputs: ["images", "import", str(inputs), "--name", "more", "--no-activate"],
        _make_pictures,
        64 * 1024,
        _imported,
    ),
    "export": Command(
        "the disk is full while votes are exported",
        lambda disk, _: ["export", "votes", "--out", str(disk / "votes.csv")],
        _nothing,
        128 * 1024,
        _exported,
    ),
    "turn": Command(
        "the disk is full while a head is turned",
        lambda disk, inputs: [
            *("rotation", "run", "--images", str(inputs / "heads")),
            *("--labels", str(inputs / "labels.csv"), "--source", "000001.jpg"),
            *("--yaw", "20,30", "--min-cluster", "2", "--max-cluster", "4", "--steps", "2"),
            *("--attributes", "none", "--editing", "line", "--gain", "1", "--no-light-filter"),
            *("--model", "synthetic-heads-64", "--embedding", "smooth"),
            *("--out", str(disk / "turned"), "--cache", str(inputs / "cache")),
        ],
        _make_heads,
        4 * 1024,
        _turned,
    ),
    "backup": Command(
        "the disk is full while a backup is made", lambda *_: ["backup"], _nothing, None, _backed_up
    ),
}


def killed_migration(kind: str) -> dict[str, Any]:
    """`init` is killed at many moments; each time the next one must end the upgrade.

    Raises:
        MissingError: there are no programs of PostgreSQL.
    """
    with own_postgres(kind == "postgres"), new_site(kind) as site:
        prepare(site.db, IMAGES, VOTING_RULES)
        _vote_on_all(site, sign_up(site, 1)[0].id)
        downgrade(site.db, OLD_REVISION)
        site.db.dispose()
        span_s = _time_migration(site)
        moments = [(UNFINISHED, BACKUP_S * n / EARLY) for n in range(EARLY)]
        late = MOMENTS - EARLY
        moments += [(FINISHED, span_s * n / late) for n in range(late)]
        found: dict[str, int] = {}
        problems = []
        for pattern, delay_s in moments:
            with _copy(site) as copy:
                process = _start(copy, ["init"])
                _wait_for(process, copy, pattern)
                time.sleep(delay_s)
                process.kill()
                process.communicate()
                revision = current(copy.db)
                words = {OLD_REVISION: "old", head(): "new"}.get(revision, f"at {revision}")
                found[words] = found.get(words, 0) + 1
                problems += _finish(copy)
    killed = ", ".join(f"{count} times {words}" for words, count in sorted(found.items()))
    return {
        "fault": f"`kill -9` of a migration at {MOMENTS} moments",
        "database": kind,
        "outcome": f"tables afterwards: {killed}; "
        + (problems[0] if problems else "the next `init` ended it each time"),
        "lost": sum("votes" in problem for problem in problems),
        "doubled": 0,
        "sound": not problems and set(found) <= {"old", "new"} and found.get("old", 0) > 1,
    }


def _finish(site: Site) -> list[str]:
    """Upgrade, and compare with what was there."""
    process = _start(site, ["init"])
    said = _output(process).strip().splitlines()
    if process.returncode:
        return [f"init failed: {said[-1]}"]
    problems = [f"the tables differ: {one}" for one in differences(site.db)]
    with site.db.read() as session:
        votes = session.scalar(select(func.count()).select_from(Vote)) or 0
    if votes != IMAGES:
        problems.append(f"{votes} votes instead of {IMAGES}")
    if left := list((site.settings.home / "backups").glob(UNFINISHED)):
        problems.append(f"{left[0].name} is left")
    return problems


def _time_migration(site: Site) -> float:
    """Seconds of an undisturbed `init` after its backup is complete."""
    with _copy(site) as copy:
        process = _start(copy, ["init"])
        _wait_for(process, copy, FINISHED)
        started = time.monotonic()
        said = _output(process)
        if process.returncode:
            raise SystemExit(f"The migration failed: {said}")
        return time.monotonic() - started


def _wait_for(process: subprocess.Popen[str], site: Site, pattern: str) -> None:
    """Wait until `init` has made such a file among its backups, or has ended."""
    while process.poll() is None and not list((site.settings.home / "backups").glob(pattern)):
        time.sleep(0.002)


@contextmanager
def _copy(site: Site) -> Iterator[Site]:
    """The same site, with a copy of its database, in a new home."""
    if site.db.is_sqlite:
        with new_site() as copy:
            copy.db.dispose()
            for end in ("-wal", "-shm"):
                (copy.settings.home / f"sidelight.sqlite3{end}").unlink(missing_ok=True)
            with site.db.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            site.db.dispose()
            name = "sidelight.sqlite3"
            shutil.copyfile(site.settings.home / name, copy.settings.home / name)
            yield copy
        return
    with new_site("postgres") as copy:
        copy.db.dispose()
        source = make_url(site.settings.database_url).database
        target = make_url(copy.settings.database_url).database
        server = make_url(site.settings.database_url).set(drivername="postgresql")
        server_url = server.set(database="postgres").render_as_string(hide_password=False)
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{target}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')
        yield copy


def _vote_on_all(site: Site, annotator_id: int) -> None:
    with site.db.write() as session:
        images = session.scalars(select(Image.id).order_by(Image.id)).all()
        session.add_all(
            Vote(
                campaign_id=1,
                image_id=image_id,
                annotator_id=annotator_id,
                answer="left",
                request_id=f"{image_id:036d}",
                blind=True,
            )
            for image_id in images
        )
        session.flush()
        rebuild(session, 1)
