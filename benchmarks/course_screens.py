#!/usr/bin/env python3
"""Make the screenshots of the documentation: a course from the first page to the last one.

A site runs in a folder of its own, with rendered heads whose light is known. Chromium shows the
pages to a lecturer and to a student with a phone. 40 simulated people (`_simulated_class.py`)
answer as well. Everything is made anew, so one run renews all pictures after a change of the pages.

Examples:
    python benchmarks/course_screens.py
    python benchmarks/course_screens.py --out build/screens --images 300 --votes 440
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _annotator_clients import ServiceClient
from _project import ROOT
from _simulated_class import Face, make_class
from _site import Site, new_site, sign_up
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import func, select

from labeler.campaigns.participation import set_status
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.images import Image
from labeler.models.proposals import ModelRun
from labeler.models.voting import Vote
from rotation.synthetic_heads.dataset import read_truth

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 1.5,
    "is_mobile": True,
    "has_touch": True,
}
CLASS = 40
PASSWORD = "a short sentence"
CAMPAIGN, SAMPLE, EXERCISES, GOLD = "First session", 240, 6, 40
OWN_ANSWERS = 10  # of the student
MOST_VOTES = 4  # few, so that a short session leaves contested images
PATIENCE_S = 900.0
EMPTY = "() => !Object.keys(localStorage).some(k => k.startsWith('sidelight.queue.'))"


@dataclass
class Course:
    """The site of a course, its browser, and the light of each image by number."""

    site: Site
    browser: Browser
    out: Path
    faces: dict[int, Face] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.site.settings.port}"

    def open(self, **options: Any) -> Page:
        """A window of somebody who has not signed in."""
        return self.browser.new_context(base_url=self.url, **options).new_page()

    def keep(self, page: Page, name: str, *, whole: bool = False) -> None:
        page.wait_for_load_state("networkidle")
        page.screenshot(path=self.out / f"{name}.png", full_page=whole)

    def light_of(self, page: Page) -> str:
        """The true label of the image that a page shows for an answer."""
        source = page.locator("#stage img").get_attribute("src") or ""
        return self.faces[int(source.split("/")[2])].label

    def campaign_id(self) -> int:
        with self.site.db.read() as session:
            return session.scalars(select(Campaign.id).where(Campaign.name == CAMPAIGN)).one()

    def wait(self, what: str, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > end:
                raise SystemExit(f"No {what} has come:\n{self.site.log()[-2000:]}")
            time.sleep(0.2)


def main() -> None:
    args = _arguments()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("There is no Chromium on this machine (apt install chromium).")
    args.out.mkdir(parents=True, exist_ok=True)
    with new_site(with_worker=True) as site:
        demo = [sys.executable, str(ROOT / "manage.py"), "demo", "--rendered"]
        command = [*demo, "--images", str(args.images)]
        subprocess.run(command, env=site.command_environ(), check=True)
        site.start()
        with sync_playwright() as playwright:
            options = {"executable_path": chromium, "args": ["--no-sandbox", "--disable-gpu"]}
            with closing(playwright.chromium.launch(**options)) as browser:
                course = Course(site, browser, args.out, _read_faces(site))
                _hold(course, args.votes)
    print(f"{len(list(args.out.glob('*.png')))} pictures are in {args.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img" / "screens")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--votes", type=int, default=440, help="of the simulated class")
    return parser.parse_args()


def _read_faces(site: Site) -> dict[int, Face]:
    """The true label of each image; a lamp at the boundary of two labels is harder to judge."""
    truth = read_truth(site.settings.home / "demo")
    with site.db.read() as session:
        rows = session.execute(select(Image.id, Image.filename)).all()
    return {
        number: Face(truth[name], 1.0) if name in truth else Face("center", 10.0)
        for number, name in rows
    }


def _hold(course: Course, votes: int) -> None:
    """The whole course, from the first account to the decisions."""
    lecturer = _begin(course)
    _create_campaign(course, lecturer)
    _make_gold(course, lecturer)
    link = _invite(course, lecturer)
    student = _join(course, link)
    course.wait("model", lambda: _count(course, ModelRun, ModelRun.status == "published") > 0)
    _vote(course, votes // 2)
    _label(course, student)
    _verify(course, lecturer)
    _vote(course, votes - votes // 2)
    lecturer.wait_for_timeout(5_000)  # the worker estimates how reliable people are
    _manage(course, lecturer)


def _begin(course: Course) -> Page:
    course.wait("link", lambda: "/join/" in course.site.log())
    found = re.search(r"https?://\S+/join/\S+", course.site.log())
    assert found is not None
    page = course.open(**DESKTOP)
    page.goto(found[0])
    page.get_by_label("User name").fill("lecturer")
    page.get_by_label("Password").fill(PASSWORD)
    course.keep(page, "course-01-admin")
    page.get_by_role("button", name="Create account").click()
    page.wait_for_url(lambda address: "/join/" not in address)
    return page


def _create_campaign(course: Course, page: Page) -> None:
    page.goto("/admin/campaigns/new")
    page.get_by_label("Name", exact=True).fill(CAMPAIGN)
    page.get_by_label("Random sample: number of images").fill(str(SAMPLE))
    page.get_by_text("More: all rules", exact=True).click()
    page.get_by_label("Qualification images").fill(str(EXERCISES))
    page.get_by_label("Largest number of votes").fill(str(MOST_VOTES))
    expect(page.locator("#count")).to_contain_text(str(SAMPLE))
    page.get_by_text("More: all rules", exact=True).click()
    page.locator("#count").scroll_into_view_if_needed()
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    course.keep(page, "course-02-campaign")
    page.get_by_role("button", name="Create campaign").click()
    page.get_by_text(f"{CAMPAIGN} has been created").wait_for()
    course.keep(page, "course-03-activate")
    page.get_by_role("button", name="Activate", exact=True).click()
    _confirm(page)
    page.goto("/admin/campaigns")
    page.get_by_role("link", name="demo", exact=True).click()
    page.get_by_role("button", name="Deactivate").click()
    _confirm(page)


def _confirm(page: Page) -> None:
    page.locator(".effects + form button.primary").click()
    page.locator(".message.success").wait_for()


def _make_gold(course: Course, page: Page) -> None:
    """The lecturer labels some images, which become gold questions."""
    campaign_id = course.campaign_id()
    with course.site.db.read() as session:
        lecturer = session.scalars(select(Annotator.id)).one()
    client = ServiceClient(course.site, campaign_id, refresh=False)
    for _ in range(GOLD):
        shown = client.lease(lecturer, 1)[0]
        client.vote(lecturer, shown, course.faces[shown.image_id].label, 1500)
    page.goto(f"/admin/gold?campaign={campaign_id}")
    page.get_by_role("button", name="Make gold questions").first.click()
    page.get_by_role("heading", name=re.compile(rf"^{GOLD} gold")).wait_for()
    course.keep(page, "course-04-gold")
    with course.site.db.write() as session:
        set_status(session, campaign_id, lecturer, "working")


def _invite(course: Course, page: Page) -> str:
    page.goto("/admin/invites")
    page.get_by_label("Who it is for").fill("Monday’s class")
    page.get_by_label("How many people").fill(str(CLASS + 1))
    page.get_by_role("button", name="Create link").click()
    link = page.get_by_label("Invite link").input_value()
    course.keep(page, "course-05-invite")
    return link


def _join(course: Course, link: str) -> Page:
    """A student opens the link on a phone, reads the guide and passes the qualification."""
    page = course.open(**PHONE)
    page.goto(link)
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    course.keep(page, "course-06-join")
    page.get_by_role("button", name="Create account").click()
    page.wait_for_url(lambda address: "/join/" not in address)
    page.goto("/guide")
    course.keep(page, "course-07-guide")
    page.goto("/label/training")
    for number in range(EXERCISES):
        right = course.light_of(page)
        given = ("right" if right == "left" else "left") if number == 0 else right
        page.get_by_role("button", name=given.title(), exact=False).click()
        onwards = page.locator(".onwards").locator("a, button").first
        onwards.wait_for()
        if number == 0:
            course.keep(page, "course-08-qualification")
        onwards.click()
        page.wait_for_load_state("networkidle")
    return page


def _label(course: Course, page: Page) -> None:
    """The student labels, loses the connection, and looks at the own progress."""
    page.goto("/label")
    page.wait_for_load_state("networkidle")
    for number in range(200):
        if number >= OWN_ANSWERS and page.locator("#hint").inner_text():
            break
        _answer(course, page)
    course.keep(page, "course-09-label")
    page.context.set_offline(True)
    for _ in range(3):
        _answer(course, page)
    expect(page.locator("#connection")).to_contain_text("3 votes kept here")
    page.screenshot(path=course.out / "label-phone-offline.png")
    page.context.set_offline(False)
    page.wait_for_function(EMPTY, timeout=60_000)
    page.goto("/me")
    course.keep(page, "course-10-own")


def _answer(course: Course, page: Page) -> None:
    before = page.locator("#stage img").get_attribute("src")
    page.wait_for_timeout(400)
    page.get_by_role("button", name=course.light_of(page).title(), exact=False).click()
    expect(page.locator("#stage img")).not_to_have_attribute("src", before or "")


def _verify(course: Course, page: Page) -> None:
    """The lecturer labels on the desktop, and verifies a page of proposals."""
    page.goto("/label")
    page.wait_for_load_state("networkidle")
    for number in range(200):
        if number and page.locator("#hint").inner_text():
            break
        _answer(course, page)
    course.keep(page, "label-desktop")
    page.wait_for_function(EMPTY, timeout=60_000)
    page.goto("/grid?label=left&source=model&size=24")
    page.locator("button.tile").first.wait_for()
    tiles = page.locator("button.tile")
    for number in (3, 8):
        tiles.nth(min(number, tiles.count() - 1)).click()
    course.keep(page, "grid-desktop")


def _vote(course: Course, votes: int) -> None:
    """The simulated class answers; people come in random order."""
    campaign_id, lots = course.campaign_id(), random.Random(votes)
    client = ServiceClient(course.site, campaign_id, refresh=True)
    ids = _students(course, campaign_id)
    people = make_class(ids, seed=1, copy_rate=0.1)
    cast = 0
    while cast < votes:
        person = lots.choice(ids)
        leased = client.lease(person, 1)
        if not leased:  # paused, or nothing is left for this person
            continue
        shown = leased[0]
        answer = people[person].answer(course.faces[shown.image_id], shown.mirrored, shown.label)
        client.vote(person, shown, answer, people[person].elapsed_ms())
        client.settle()
        cast += 1


def _students(course: Course, campaign_id: int) -> list[int]:
    """The accounts of the class; the first call opens them."""
    own = (
        select(Annotator.id).where(Annotator.username.startswith("student")).order_by(Annotator.id)
    )
    with course.site.db.read() as session:
        found = list(session.scalars(own))
    if found:
        return found
    people = sign_up(course.site, CLASS)
    with course.site.db.write() as session:
        for person in people:
            set_status(session, campaign_id, person.id, "working")
    return [person.id for person in people]


def _manage(course: Course, page: Page) -> None:
    """What the lecturer sees after the session."""
    query = f"campaign={course.campaign_id()}"
    page.goto(f"/admin/?{query}")
    course.keep(page, "course-11-overview", whole=True)
    page.set_viewport_size({"width": 1280, "height": 1120})
    course.keep(page, "overview")
    page.set_viewport_size(DESKTOP["viewport"])
    for address, name in (
        ("quality", "course-12-quality"),
        ("people", "course-13-people"),
        ("contested", "course-14-contested"),
    ):
        page.goto(f"/admin/{address}?{query}")
        course.keep(page, name)
    page.goto(f"/admin/runs?{query}")
    course.keep(page, "course-15-runs", whole=True)
    print(f"{_count(course, Vote)} votes")


def _count(course: Course, table: Any, *conditions: Any) -> int:
    with course.site.db.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


if __name__ == "__main__":
    main()
