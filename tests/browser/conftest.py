"""A real server process, the distribution's Chromium, and people who sign in."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import delete, select, update

from labeler.accounts import sessions
from labeler.audit.log import Actor
from labeler.campaigns.participation import pause_person
from labeler.config import Settings, load_settings
from labeler.consensus.store import rebuild
from labeler.database.engine import Database
from labeler.database.migrate import upgrade
from labeler.images.checking import check_images
from labeler.images.registration import register_dataset
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.models.studio import HeadTurn
from labeler.models.voting import Lease, Vote
from labeler.studio.sharing import share_turn
from labeler.web import access
from tests.conftest import PLAIN_RULES, SECRET, write_images
from tests.labeler.acting import publish_run, set_rules
from tests.labeler.studio.turned import add_result, add_turn

ROOT = Path(__file__).resolve().parent.parent.parent
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
IMAGES = 60
RULES = replace(PLAIN_RULES, required_votes=50, vote_cap=50)
START_S = 180
RETRIES = 1
WAIT_MS = 60_000  # for what a page shows and does, on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests. A failed one is tried again, since a busy machine may starve a browser.

    The summary lists what was tried again (`R`): look for the cause, as for any failure.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.flaky(reruns=RETRIES))


@dataclass
class Site:
    """`manage.py serve` on a port of its own, which can be killed and started again."""

    home: Path
    port: int
    settings: Settings
    db: Database
    process: subprocess.Popen[bytes] | None = None
    with_worker: bool = False
    more_settings: dict[str, str] = field(default_factory=dict)
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.home / "server.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "manage.py"), "serve"]
        command += [] if self.with_worker else ["--no-worker"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment(self.home, self.port) | self.more_settings,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """End the master and its workers at once, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def admin_link(self) -> str:
        found = re.search(r"https?://\S+/join/\S+", self.log.read_text())
        assert found is not None, self.log.read_text()
        return found[0]

    def votes_of(self, username: str) -> list[Vote]:
        with self.db.read() as session:
            return list(
                session.scalars(
                    select(Vote)
                    .join(Annotator, Annotator.id == Vote.annotator_id)
                    .where(Annotator.username == username)
                    .order_by(Vote.id)
                )
            )

    def lease_ends(self, username: str) -> dict[int, datetime]:
        """Until when this person holds which picture."""
        with self.db.read() as session:
            rows = session.execute(
                select(Lease.image_id, Lease.expires_at)
                .join(Annotator, Annotator.id == Lease.annotator_id)
                .where(Annotator.username == username)
            )
            return dict(rows.all())

    def pause(self, username: str, reason: str) -> None:
        with self.db.write() as session:
            person = session.scalars(select(Annotator).where(Annotator.username == username)).one()
            campaign = session.scalars(select(Campaign).where(Campaign.active)).one()
            pause_person(session, campaign.id, person.id, reason, Actor(person.id))

    def take_all_back(self) -> None:
        """Out of everybody's hands: what other tests left open is free again."""
        with self.db.write() as session:
            session.execute(delete(Lease))

    @contextmanager
    def ruled_by(self, **changes: Any) -> Iterator[None]:
        """Other rules for the length of a test."""
        set_rules(self.db, **changes)
        try:
            yield
        finally:
            former = {name: getattr(RULES, name) for name in changes}
            set_rules(self.db, **former)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


def free_port() -> int:
    """A port that no program listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path, port: int) -> dict[str, str]:
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith("SIDELIGHT_")
    }
    return {
        **inherited,
        "SIDELIGHT_HOME": str(home),
        "SIDELIGHT_PORT": str(port),
        "SIDELIGHT_SECRET_KEY": SECRET,
    }


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The distribution's Chromium, headless; each test opens contexts of its own in it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        browser.on("context", lambda context: context.set_default_timeout(WAIT_MS))
        expect.set_options(timeout=WAIT_MS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Site]:
    """The site with a data set and nobody in it, running."""
    home = tmp_path_factory.mktemp("site")
    port = free_port()
    settings = load_settings(environment(home, port))
    db = Database(settings.database_url)
    upgrade(db)
    report = register_dataset(db, write_images(home / "faces", IMAGES, (64, 64)))
    check_images(db, report.dataset_id, processes=1)
    _begin(db, report.dataset_id)
    running = Site(home, port, settings, db)
    running.start()
    yield running
    running.kill()
    db.dispose()


@dataclass(frozen=True)
class TurnedHeads:
    """The numbers of two results and of a turn that waits, and the address of a shared link."""

    first: int
    second: int
    waiting: int
    shared: str

    @property
    def pages(self) -> tuple[str, ...]:
        """The addresses of pages that show them."""
        numbers = (self.first, self.second, self.waiting)
        compared = f"/studio/compare?a={self.first}&b={self.second}"
        return ("/studio", *(f"/studio/{number}" for number in numbers), compared, self.shared)


@pytest.fixture(scope="session")
def turned_heads(site: Site) -> TurnedHeads:
    """Heads that somebody has turned on the site, with and without the light filter."""
    with site.db.write() as session:
        owner = Annotator(username="turner", pseudonym="p-turner", role="admin", password_hash="!")
        session.add(owner)
        session.flush()
        owner_id = owner.id
    first, second = (
        add_result(site.db, site.settings, owner_id, name=name, settings={"light_filter": kept})
        for name, kept in (("With the light filter", True), ("Without the light filter", False))
    )
    waiting = add_turn(site.db, owner_id, state="running", name="Waits")
    with site.db.write() as session:
        token = share_turn(session, session.get_one(HeadTurn, first))
    return TurnedHeads(first, second, waiting, f"/shared/{token}")


def _begin(db: Database, dataset_id: int) -> None:
    """Rules by which nobody runs out of pictures, and a model that calls most of them left.

    Some heads look to a side, so that the studio has pictures to learn from.
    """
    with db.write() as session:
        session.execute(update(Campaign).values(rules=RULES.as_dict()))
        ids = list(session.scalars(select(Image.id).order_by(Image.id)))
        for number, image_id in enumerate(ids[:60]):
            session.get_one(Image, image_id).yaw_deg = number % 13 * 5 - 30
    doubts = [0.4 + 0.5 * n / len(ids) for n in range(len(ids))]
    chances = {
        image_id: (p, (1 - p) / 2, (1 - p) / 2) if n % 10 else ((1 - p) / 2, (1 - p) / 2, p)
        for n, (image_id, p) in enumerate(zip(ids, doubts, strict=True))
    }
    publish_run(db, dataset_id, chances, utc_now())
    with db.write() as session:
        rebuild(session, 1)


@dataclass
class Person:
    """A browser context that is signed in, with a page in it."""

    username: str
    context: BrowserContext
    page: Page


SignIn = Callable[..., Person]


@pytest.fixture
def sign_in(site: Site, chromium: Browser) -> Iterator[SignIn]:
    """`sign_in("admin", viewport=...)`: a fresh account in a fresh browser context."""
    contexts: list[BrowserContext] = []

    def make(role: str = "annotator", **options: Any) -> Person:
        name = f"{role[:3]}-{secrets.token_hex(4)}"
        with site.db.write() as session:
            annotator = Annotator(
                username=name, pseudonym=f"p-{name}", role=role, password_hash="!"
            )
            session.add(annotator)
            session.flush()
            token = sessions.open_session(session, annotator, "", site.settings)
        context = chromium.new_context(base_url=site.url, **options)
        cookie = {"name": access.cookie_name("sidelight", site.settings), "url": site.url}
        context.add_cookies([cookie | {"value": _cookie(site, token)}])
        contexts.append(context)
        return Person(name, context, context.new_page())

    yield make
    for context in contexts:
        context.close()


def _cookie(site: Site, token: str) -> str:
    """The cookie that the site itself would set for this token."""
    from flask.sessions import SecureCookieSessionInterface

    from labeler.app import create_app

    app = create_app(site.settings)
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    app.extensions["sidelight_db"].dispose()
    assert serializer is not None
    return str(serializer.dumps({"token": token, "_permanent": True}))
