"""`serve` and `worker` as processes: they start, tell, answer, work, and end cleanly."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from labeler.campaigns import service as campaigns
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.jobs import kinds
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from tests.conftest import write_images
from tests.labeler.acting import waiting

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def manage(
    home: Path, *arguments: str, database: str = "", model: str = ""
) -> Iterator[subprocess.Popen[str]]:
    environ = {name: value for name, value in os.environ.items() if "SIDELIGHT" not in name}
    if database:
        environ["SIDELIGHT_DATABASE_URL"] = database
    if model:
        environ["SIDELIGHT_STUDIO_MODEL"] = model
    with (home / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=environ | {"SIDELIGHT_HOME": str(home), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def wait_for(happened: Callable[[], bool], home: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, (home / "output.txt").read_text()
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Processes whose parent it is, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def are_idle(pids: list[int]) -> bool:
    """Whether the processes used no processor time for half a second."""

    def ticks() -> list[list[str]]:
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in pids]
        return [stat.rsplit(")", 1)[1].split()[11:13] for stat in stats]

    before = ticks()
    time.sleep(0.5)
    return ticks() == before


@pytest.mark.parametrize(
    "ending", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_the_site_starts_tells_and_ends(tmp_path: Path, ending: signal.Signals) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with manage(tmp_path, "serve", "--port", str(port)) as process:
        wait_for(lambda: answers(f"{url}/healthz"), tmp_path)
        told = (tmp_path / "output.txt").read_text()
        link = re.search(rf"{url}/join/\S+", told)
        assert link, told
        assert "No data set is active" in told
        assert answers(link.group())
        # One process of the site (SQLite) and two workers, all past their start.
        wait_for(lambda: len(children_of(process.pid)) == 3, tmp_path)
        children = children_of(process.pid)
        wait_for(lambda: are_idle(children), tmp_path)
        process.send_signal(ending)
        assert process.wait(PATIENCE_S) == 0
        wait_for(lambda: all(map(is_gone, children)), tmp_path)
    told = (tmp_path / "output.txt").read_text()
    assert "Traceback" not in told, told


@pytest.mark.slow
def test_nothing_outlives_a_site_that_was_killed(tmp_path: Path) -> None:
    port = free_port()
    with manage(tmp_path, "serve", "--port", str(port)) as process:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/healthz"), tmp_path)
        children = children_of(process.pid)
        process.kill()
        process.wait()
        wait_for(lambda: all(map(is_gone, children)), tmp_path)


def workers_of(pid: int) -> list[int]:
    """Those children that do background jobs."""
    found = []
    for child in children_of(pid):
        with suppress(OSError):
            if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                found.append(child)
    return found


@pytest.mark.slow
def test_a_worker_that_dies_is_started_anew(tmp_path: Path) -> None:
    with manage(tmp_path, "serve", "--port", str(free_port())) as process:
        wait_for(lambda: len(workers_of(process.pid)) == 2, tmp_path)
        first, other = workers_of(process.pid)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: len({*workers_of(process.pid)} - {first}) == 2, tmp_path)
        (second,) = {*workers_of(process.pid)} - {first, other}
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        wait_for(lambda: is_gone(second) and is_gone(other), tmp_path)
    told = (tmp_path / "output.txt").read_text()
    assert "The worker of background jobs has ended; another starts in 1 s." in told


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with manage(tmp_path, "serve", "--port", str(port)) as process:
            assert process.wait(PATIENCE_S) == 1
    told = (tmp_path / "output.txt").read_text()
    assert told.startswith(f"Error: Port {port} of 127.0.0.1 is in use.")
    assert "Traceback" not in told


def test_a_foreign_host_is_a_clear_error(tmp_path: Path) -> None:
    with manage(tmp_path, "serve", "--host", "192.0.2.7", "--port", "8000") as process:
        assert process.wait(PATIENCE_S) == 1
    assert "must be an address of this machine" in (tmp_path / "output.txt").read_text()


def test_the_worker_does_what_is_queued_and_survives_an_error(
    db: Database, settings: Settings, tmp_path: Path
) -> None:

    dataset_id = register_dataset(db, write_images(tmp_path / "faces", 3)).dataset_id
    with db.write() as session:
        kinds.propose_labels.queue(session, 1)  # no votes: an expected error
    check_images(db, dataset_id, processes=1)
    with db.write() as session:
        plan = campaigns.CampaignPlan("Second", Rules(), ImageSelection(sample=2))
        second = campaigns.add_campaign(session, dataset_id, plan).id
        kinds.fill_campaign.queue(session, second)
    assert waiting(db) == 2

    def filled() -> bool:
        with db.read() as session:
            return sum(campaigns.count_images(session).get(second, {}).values()) == 2

    with manage(tmp_path, "worker", database=settings.database_url) as process:
        wait_for(filled, tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    told = (tmp_path / "output.txt").read_text()
    assert "propose_labels 1: " in told
    assert "Traceback" not in told
    assert waiting(db) == 0
