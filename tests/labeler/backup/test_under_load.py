"""People vote at a site that is backed up, destroyed and restored elsewhere: no vote is lost."""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from labeler.accounts import invites
from labeler.config import Settings
from labeler.database.engine import Database
from labeler.models.voting import Vote
from tests.conftest import MakeDataset
from tests.labeler.faults import ROOT, manage

PEOPLE, IMAGES, BEFORE = 4, 200, 60
PASSWORD = "seven odd lamps shine"
TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Voter(threading.Thread):
    """A browser that votes until it is told to stop, and notes what the site confirmed."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self.confirmed: list[str] = []
        self.stopped = threading.Event()
        self._url = url
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)
        token = TOKEN.search(self._open("/sign-in"))
        assert token is not None
        fields = {"username": name, "password": PASSWORD, "csrf_token": token[1]}
        self._open("/sign-in", urllib.parse.urlencode(fields).encode())
        self._token = json.loads(self._open("/label/state"))["csrf_token"]

    def run(self) -> None:
        try:
            images = self._send("/label/leases", {"count": 1})["images"]
            while images and not self.stopped.is_set():
                request_id = str(uuid.uuid4())
                body = {"image_id": images[0]["image_id"], "answer": "left", "then": 1}
                images = self._send("/label/votes", body | {"request_id": request_id})["images"]
                self.confirmed.append(request_id)
        except (OSError, http.client.HTTPException):  # the site was killed
            return

    def _send(self, path: str, body: dict[str, Any]) -> Any:
        return json.loads(self._open(path, json.dumps(body).encode(), "application/json"))

    def _open(self, path: str, data: bytes | None = None, kind: str = "") -> str:
        request = urllib.request.Request(self._url + path, data)
        if kind:
            request.add_header("Content-Type", kind)
            request.add_header("X-CSRFToken", self._token)
        with self._opener.open(request, timeout=20) as response:
            return str(response.read().decode())


def make_people(db: Database) -> list[str]:
    names = [f"student{number}" for number in range(PEOPLE)]
    with db.write() as session:
        _, token = invites.create_invite(session, "annotator", PEOPLE)
        for name in names:
            invites.accept_invite(session, token, name, PASSWORD)
    return names


def start(settings: Settings, url: str) -> subprocess.Popen[bytes]:
    environ = {name: value for name, value in os.environ.items() if "SIDELIGHT" not in name}
    environ |= {"SIDELIGHT_HOME": str(settings.home), "SIDELIGHT_DATABASE_URL": url}
    command = [sys.executable, str(ROOT / "manage.py"), "serve", "--no-worker"]
    return subprocess.Popen([*command, "--port", str(settings.port)], env=environ)


def wait_until_it_answers(url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the site did not start")


def kill_all(process: subprocess.Popen[bytes]) -> None:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_every_confirmed_vote_is_restored(
    any_db: Database,
    settings: Settings,
    tmp_path: Path,
    make_dataset: MakeDataset,
    request: pytest.FixtureRequest,
) -> None:
    make_dataset(any_db, IMAGES)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = replace(settings, home=tmp_path / "home", port=probe.getsockname()[1])
    url = any_db.engine.url.render_as_string(hide_password=False)
    if any_db.is_sqlite:  # the database is in the home that will be destroyed
        own.home.mkdir()
        any_db.dispose()
        moved = own.home / "sidelight.sqlite3"
        Path(any_db.engine.url.database or "").rename(moved)
        url = f"sqlite:///{moved}"
    people_db = Database(url)
    names = make_people(people_db)
    people_db.dispose()
    site = start(own, url)
    try:
        address = f"http://127.0.0.1:{own.port}"
        wait_until_it_answers(address)
        voters = [Voter(address, name) for name in names]
        for each in voters:
            each.start()
        end = time.monotonic() + 60
        while sum(len(each.confirmed) for each in voters) < BEFORE:
            assert time.monotonic() < end
            time.sleep(0.01)
        before = {vote for each in voters for vote in each.confirmed}
        code, said = manage(own.home, "backup", str(tmp_path / "b.tar.gz"), database=url)
        assert code == 0, said
        during = sum(len(each.confirmed) for each in voters) - len(before)
        assert during > 0, "nobody voted while the backup was made"
    finally:
        kill_all(site)
    for each in voters:
        each.join(30)
    shutil.rmtree(own.home)
    new = tmp_path / "new"
    new_url = f"sqlite:///{new / 'sidelight.sqlite3'}"
    if not any_db.is_sqlite:
        new_url = request.getfixturevalue("empty_postgres_db").url
    code, said = manage(new, "restore", str(tmp_path / "b.tar.gz"), database=new_url)
    assert code == 0, said
    restored = Database(new_url)
    with restored.read() as session:
        stored = set(session.scalars(select(Vote.request_id)))
    restored.dispose()
    assert before <= stored
    code, said = manage(new, "doctor", database=new_url)
    assert code == 0, said
