"""Make the screenshots of the documentation anew: `docs/img/screens`.

A site of its own runs with the faces of the demo. A person presses the buttons that docs/course.md
describes, and a simulated class (`labeler.statistics.simulated_class`) labels meanwhile. Nobody
knows the light of the demo's faces, so the class answers by which half of a face is brighter.

Needs Chromium, Playwright and the libraries of the rotation engine. It takes some minutes, most of
them for two trainings of the model.

Examples:
    python -m docs.tools.screenshots
    python -m docs.tools.screenshots --out /tmp/screens --images 120
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.error import URLError

import numpy as np
from PIL import Image as Picture
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import select

from labeler.accounts import invites
from labeler.assignment.leases import lease_images
from labeler.audit.log import NOBODY
from labeler.campaigns.participation import resume_person
from labeler.campaigns.service import active_campaign
from labeler.config import Settings, load_settings
from labeler.database.engine import Database
from labeler.gold.service import NewGold, add_gold
from labeler.labels import ANSWERS
from labeler.models.accounts import Annotator
from labeler.models.base import utc_now
from labeler.models.consensus import Consensus
from labeler.models.images import Dataset, Image
from labeler.proposals.service import train_and_propose
from labeler.quality.refresh import judge_people
from labeler.statistics.simulated_class import KINDS, draw_answers, draw_confusion
from labeler.voting.service import SubmittedAnswer, cast_vote
from rotation.data.labels import LABELS

ROOT = Path(__file__).resolve().parents[2]
SCREENS = ROOT / "docs" / "img" / "screens"
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 1.5,
    "is_mobile": True,
    "has_touch": True,
}
COLOURS = 256  # of a stored picture, so that it stays small
PASSWORD = "light from the left"
START_S = 120.0
REFRESH_EVERY = 100  # votes of the class
PACE = timedelta(seconds=4)  # from one vote of the class to the next one


@dataclass
class Site:
    """The site, its database, and where pictures go."""

    url: str
    settings: Settings
    db: Database
    out: Path

    def shoot(self, page: Page, name: str, *, whole: bool = False) -> None:
        """Store the page as a picture with few colours."""
        page.wait_for_load_state("networkidle")
        picture = Picture.open(io.BytesIO(page.screenshot(full_page=whole, animations="disabled")))
        file = self.out / f"{name}.png"
        picture.convert("RGB").quantize(COLOURS).save(file, optimize=True)
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB", flush=True)

    def invite(self, role: str, uses: int = 1) -> str:
        """Return the address of a new invite."""
        with self.db.write() as session:
            _, token = invites.create_invite(session, role=role, max_uses=uses)
        return f"{self.url}/join/{token}"


class SimulatedClass:
    """Students who lease images and vote through the services, at times that have passed."""

    def __init__(self, site: Site, campaign_id: int, students: int = 40) -> None:
        self._site, self._campaign_id = site, campaign_id
        self._rng = np.random.default_rng(0)
        self.truth = _brighter_sides(site.db)
        kinds = [kind for kind, n in KINDS.items() for _ in range(n)]
        with site.db.write() as session:
            people = [
                Annotator(username=f"student-{n:02}", pseudonym=f"p-{n:03}", password_hash="!")
                for n in range(1, students + 1)
            ]
            session.add_all(people)
            session.flush()
            for person in people:  # nobody is kept from labelling by the qualification
                resume_person(session, campaign_id, person.id, NOBODY)
            ids = [person.id for person in people]
        self._people = {
            number: draw_confusion(kind, self._rng)
            for number, kind in zip(ids, self._rng.permutation(kinds), strict=False)
        }

    def label(self, votes: int) -> None:
        """Cast so many votes. The last one is a moment old."""
        at = utc_now() - votes * PACE
        for number in range(votes):
            person = int(self._rng.choice(list(self._people)))
            settings = self._site.settings
            with self._site.db.write() as session:
                leased = lease_images(session, person, 1, settings=settings, now=at)
                for image in leased:
                    row = self._people[person][self.truth[image.image_id]]
                    answer = ANSWERS[int(draw_answers(row, self._rng))]
                    ms = int(self._rng.lognormal(np.log(1500), 0.4))
                    sent = SubmittedAnswer(image.image_id, answer, str(uuid.uuid4()), ms)
                    cast_vote(session, person, sent, settings=settings, now=at)
            at += PACE
            if number % REFRESH_EVERY == REFRESH_EVERY - 1:
                judge_people(self._site.db, self._campaign_id)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=SCREENS, help="folder of the pictures")
    parser.add_argument("--images", type=int, default=400, help="faces of the demo")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with _running_site(asked.images, asked.out) as site, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        _shoot_all(site, browser)
        browser.close()


def _shoot_all(site: Site, browser: Browser) -> None:
    boss = _open(site, browser, DESKTOP)
    _join(site, boss, site.invite("admin"), "lecturer", "course-01-admin")
    campaign_id = _make_campaign(site, boss)
    students = SimulatedClass(site, campaign_id)
    _make_gold(site, boss, campaign_id, students)
    link = _invite_class(site, boss)
    phone = _open(site, browser, PHONE)
    _start_on_the_phone(site, phone, link, campaign_id)
    students.label(250)
    train_and_propose(site.db, campaign_id, processes=1)
    students.label(150)
    train_and_propose(site.db, campaign_id, processes=1)
    students.label(40)
    judge_people(site.db, campaign_id)
    _label_on_the_phone(site, phone)
    _label_at_the_desk(site, boss)
    _look_after_the_class(site, boss)


def _open(site: Site, browser: Browser, device: dict[str, object]) -> Page:
    context = browser.new_context(
        base_url=site.url, color_scheme="light", reduced_motion="reduce", **device
    )
    return context.new_page()


def _join(site: Site, page: Page, link: str, name: str, shot: str) -> None:
    page.goto(link)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    site.shoot(page, shot)
    page.get_by_role("button", name="Create account").click()


def _make_campaign(site: Site, boss: Page) -> int:
    boss.goto("/admin/campaigns/new")
    boss.get_by_label("Name", exact=True).fill("First session")
    with boss.expect_response("**/campaigns/try"):
        boss.locator("#sample").fill("240")
    boss.locator("#count").evaluate("e => e.scrollIntoView()")  # with the presets below
    site.shoot(boss, "course-02-campaign")
    boss.get_by_text("More: all rules", exact=True).click()
    boss.locator("#training").fill("6")
    boss.get_by_role("button", name="Create campaign").click()
    site.shoot(boss, "course-03-activate")
    boss.get_by_role("button", name="Activate").first.click()
    boss.locator("main button.primary").click()  # yes, activate it
    with site.db.read() as session:
        campaign = active_campaign(session)
        assert campaign is not None
        assert campaign.name == "First session"
        return campaign.id


def _make_gold(site: Site, boss: Page, campaign_id: int, students: SimulatedClass) -> None:
    with site.db.write() as session:
        rows = session.scalars(select(Image.id).order_by(Image.id)).all()
        new = [NewGold(number, LABELS[students.truth[number]]) for number in rows]
        add_gold(session, campaign_id, _of_campaign(site, campaign_id, new)[:40], "supervisor")
    boss.goto("/admin/gold")
    site.shoot(boss, "course-04-gold")


def _of_campaign(site: Site, campaign_id: int, new: list[NewGold]) -> list[NewGold]:
    with site.db.read() as session:
        selected = select(Consensus.image_id).where(Consensus.campaign_id == campaign_id)
        inside = set(session.scalars(selected))
    return [one for one in new if one.image_id in inside]


def _invite_class(site: Site, boss: Page) -> str:
    boss.goto("/admin/invites")
    boss.locator("#note").fill("Monday's class")
    boss.locator("#max_uses").fill("40")
    boss.get_by_role("button", name="Create link").click()
    site.shoot(boss, "course-05-invite")
    return boss.locator("#link").input_value()


def _start_on_the_phone(site: Site, phone: Page, link: str, campaign_id: int) -> None:
    _join(site, phone, link, "ada", "course-06-join")
    phone.goto("/guide")
    site.shoot(phone, "course-07-guide")
    phone.goto("/label/training")
    phone.wait_for_load_state("networkidle")
    wrong = phone.get_by_text("Not correct").or_(phone.locator("#lesson .mark"))
    phone.locator("button[value=left]").click()
    wrong.first.wait_for()
    site.shoot(phone, "course-08-qualification")
    with site.db.write() as session:
        ada = session.scalars(select(Annotator.id).where(Annotator.username == "ada")).one()
        resume_person(session, campaign_id, ada, NOBODY)


def _label_on_the_phone(site: Site, phone: Page) -> None:
    phone.goto("/label")
    phone.locator("#stage img").wait_for()
    site.shoot(phone, "course-09-label")
    for answer in ("left", "center", "right", "left", "right", "center"):
        _answer(phone, answer)
    phone.wait_for_load_state("networkidle")
    phone.context.set_offline(True)
    for answer in ("left", "center", "right"):
        _answer(phone, answer)
    site.shoot(phone, "label-phone-offline")
    phone.context.set_offline(False)
    phone.wait_for_function("() => !document.querySelector('#connection').textContent")
    phone.goto("/me")
    site.shoot(phone, "course-10-own")


def _answer(page: Page, answer: str) -> None:
    before = page.locator("#stage img").get_attribute("src")
    page.locator(f"button[value={answer}]").click()
    page.wait_for_function(
        "was => document.querySelector('#stage img')?.getAttribute('src') !== was", arg=before
    )


def _label_at_the_desk(site: Site, boss: Page) -> None:
    with site.db.write() as session:
        campaign = active_campaign(session)
        boss_id = session.scalars(select(Annotator.id).where(Annotator.role == "admin")).one()
        assert campaign is not None
        resume_person(session, campaign.id, boss_id, NOBODY)
    boss.goto("/label")
    boss.locator("#stage img").wait_for()
    for answer in ("left", "right", "center"):
        if "Suggestion" in boss.locator("#hint").inner_text():
            break
        _answer(boss, answer)
    site.shoot(boss, "label-desktop")
    boss.goto("/grid?label=left&source=model&size=24")
    boss.wait_for_load_state("networkidle")
    for place in (2, 9):
        boss.locator("button.tile").nth(place).click()
    site.shoot(boss, "grid-desktop")


def _look_after_the_class(site: Site, boss: Page) -> None:
    for address, name, whole in (
        ("/admin/", "course-11-overview", True),
        ("/admin/", "overview", False),
        ("/admin/quality", "course-12-quality", False),
        ("/admin/people", "course-13-people", False),
        ("/admin/contested", "course-14-contested", False),
        ("/admin/runs", "course-15-runs", True),
    ):
        boss.goto(address)
        site.shoot(boss, name, whole=whole)


def _brighter_sides(db: Database) -> dict[int, int]:
    """The label of each image, 0 to 2: the thirds by how much brighter its left half is."""
    with db.read() as session:
        folder = Path(session.scalars(select(Dataset.path)).one())
        images = session.execute(select(Image.id, Image.filename)).all()
    files = {file.name: file for file in folder.rglob("*.jpg")}
    differences = {}
    for number, name in images:
        grey = np.asarray(Picture.open(files[name]).convert("L"), dtype=float)[40:-20]
        half = grey.shape[1] // 2
        differences[number] = (grey[:, :half].mean() - grey[:, half:].mean()) / grey.mean()
    low, high = np.quantile(list(differences.values()), [1 / 3, 2 / 3])
    return {n: 0 if one > high else 2 if one < low else 1 for n, one in differences.items()}


@contextmanager
def _running_site(images: int, out: Path) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="sidelight-screens-") as home:
        os.environ["SIDELIGHT_HOME"] = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        os.environ["SIDELIGHT_PUBLIC_URL"] = url
        manage = [sys.executable, str(ROOT / "manage.py")]
        subprocess.run([*manage, "demo", "--images", str(images)], check=True)
        # Without a worker, only this program trains and judges, so each run shows the same.
        serve = [*manage, "serve", "--port", str(port), "--no-worker"]
        server = subprocess.Popen(serve, stdout=subprocess.DEVNULL)
        settings = load_settings()
        db = Database(settings.database_url)
        try:
            _wait(lambda: urllib.request.urlopen(f"{url}/healthz", timeout=5).status == 200)
            yield Site(url, settings, db, out)
        finally:
            db.dispose()
            server.terminate()
            server.wait()


def _wait(is_ready: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            if is_ready():
                return
        except (URLError, OSError):
            if time.monotonic() > end:
                raise
        time.sleep(0.3)


if __name__ == "__main__":
    main()
