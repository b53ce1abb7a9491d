"""The whole mission in the browser alone: label, train, choose a subset, turn a head, show it.

With `SIDELIGHT_TEST_SCREENSHOTS=FOLDER` the pictures of the pages are kept there. With
`SIDELIGHT_TEST_BUNDLED_MODEL=yes` the head is turned by the bundled model, which takes minutes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import select

from labeler.config import load_settings
from labeler.database.engine import Database
from labeler.models.studio import HeadTurn
from labeler.models.subsets import Subset
from tests.browser.conftest import ROOT, Person, Site, environment, free_port
from tests.browser.label_page import (
    DESKTOP,
    PHONE,
    label_page_opens,
    violations,
    wait_until_sent,
)
from tests.rotation.modelling import tiny_folder

pytestmark = pytest.mark.slow
FACES = 400
LABELLED = 40
FEWEST = 5  # pictures at an angle: a subset of the few faces has not many more
PASSWORD = "correct horse battery"
NAME = "Right, not smiling"
WAIT_S = 1800.0  # for a job on a busy machine; with the bundled model three times as long
NARROW = {**PHONE, "viewport": {"width": 390, "height": 844}}
VIEWS: dict[str, dict[str, Any]] = {  # each page is looked at in all of them
    "phone": NARROW,
    "dark": {**DESKTOP, "color_scheme": "dark"},
    "phone-dark": {**NARROW, "color_scheme": "dark"},
    "german": {**DESKTOP, "locale": "de-DE"},
    "phone-german": {**NARROW, "locale": "de-DE"},
}
BRIGHTER = """image => {
  const canvas = new OffscreenCanvas(32, 32);
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, 32, 32);
  const all = pen.getImageData(0, 0, 32, 32).data;
  let left = 0, right = 0;
  for (let y = 8; y < 26; y++) for (let x = 4; x < 28; x++) {
    const value = all[4 * (32 * y + x)] + all[4 * (32 * y + x) + 1] + all[4 * (32 * y + x) + 2];
    if (x < 16) left += value; else right += value;
  }
  const seen = (right - left) / (right + left);
  return image.classList.contains("mirrored") ? -seen : seen;
}"""


FIRST_NAME = """async link => {
  const page = await (await fetch(link.href)).text();
  const parsed = new DOMParser().parseFromString(page, "text/html");
  return parsed.querySelector("ol.pictures .name").textContent.trim();
}"""


@dataclass
class Mission:
    """A person at work: counts clicks and keys, takes the seconds of each step and pictures."""

    page: Page
    folder: Path
    clicks: int = 0
    keys: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)

    def click(self, what: Locator) -> None:
        what.click()
        self.clicks += 1

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.keys += 1

    def fill(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)
        self.keys += len(text)

    def link(self, name: str) -> None:
        """Follow the first link of this name in the main part, or else in a menu."""
        inside = self.page.get_by_role("main").get_by_role("link", name=name, exact=True)
        anywhere = self.page.get_by_role("link", name=name, exact=True)
        self.follow((inside if inside.count() else anywhere).first)

    def button(self, name: str) -> None:
        self.follow(self.page.get_by_role("button", name=name, exact=True).first)

    def follow(self, what: Locator) -> None:
        """Click what leads to another page, and wait until that is loaded."""
        with self.page.expect_navigation():
            self.click(what)

    def choose(self, label: str, value: str) -> None:
        self.page.get_by_label(label, exact=True).select_option(value)
        self.clicks += 2

    def show(self, name: str) -> None:
        """Keep a picture of the page, and its address, to look at it on other devices."""
        form = self.page.locator("#measure input[name=back]")  # a form is shown by its choices
        self.shown[name] = form.input_value() if form.count() else self.page.url
        self.page.screenshot(path=self.folder / f"{name}-desktop.png", full_page=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 1)


@pytest.fixture
def fresh_site(tmp_path: Path) -> Iterator[Site]:
    """A site as `make run` starts it on an empty home, with few faces so that training is short."""
    home, port = tmp_path / "home", free_port()
    home.mkdir()
    given = environment(home, port)
    for words in (["init"], ["demo", "--if-empty", "--images", str(FACES)]):
        subprocess.run([sys.executable, str(ROOT / "manage.py"), *words], env=given, check=True)
    more = {}
    if not is_bundled():
        more["SIDELIGHT_STUDIO_MODEL"] = str(tiny_folder(tmp_path / "tiny"))
    settings = load_settings(given)
    db = Database(settings.database_url)
    running = Site(home, port, settings, db, with_worker=True, more_settings=more)
    running.start()
    yield running
    running.kill()
    db.dispose()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("SIDELIGHT_TEST_SCREENSHOTS") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_bundled() -> bool:
    return os.environ.get("SIDELIGHT_TEST_BUNDLED_MODEL") == "yes"


def test_label_train_choose_turn_and_share(
    fresh_site: Site,
    chromium: Browser,
    pictures: Path,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    context = chromium.new_context(base_url=fresh_site.url, **DESKTOP)
    mission = Mission(context.new_page(), pictures)
    with mission.step("sign up"):
        sign_up(mission, fresh_site.admin_link())
    with mission.step(f"label {LABELLED} faces"):
        label(mission)
    with mission.step("train a model"):
        train(mission)
    with mission.step("filter, keep the subset"):
        keep_subset(mission)
    with mission.step("order the turn"):
        order_turn(mission)
        assert_subset(fresh_site, NAME)
    with mission.step("wait for the turn"):
        expect(slider(mission.page)).to_be_visible(timeout=1000 * wait_s())
    with mission.step("move the slider, download"):
        look(mission)
    with mission.step("share, look, revoke"):
        share(mission, chromium)
    effort = {"clicks": mission.clicks, "keys": mission.keys, "seconds": mission.seconds}
    record_testsuite_property("whole_mission", json.dumps(effort))
    look_elsewhere(mission, chromium, context.storage_state(), fresh_site.url)
    context.close()


def sign_up(mission: Mission, link: str) -> None:
    mission.page.goto(link)
    mission.show("01-join")
    mission.fill("User name", "ada")
    mission.fill("Password", PASSWORD)
    mission.button("Create account")
    expect(mission.page).not_to_have_url(re.compile("/join/"))
    mission.show("02-signed-in")


def label(mission: Mission) -> None:
    """Answer by keys, as the brighter half of the picture says."""
    page = mission.page
    with label_page_opens(page):
        mission.link("Label")
    stage = page.locator("#stage img")
    for _ in range(LABELLED):
        expect(stage).to_be_visible()
        stage.evaluate("image => image.decode()")
        before, seen = stage.get_attribute("src"), stage.evaluate(BRIGHTER)
        mission.press("ArrowUp" if abs(seen) < 0.06 else "ArrowRight" if seen > 0 else "ArrowLeft")
        expect(stage).not_to_have_attribute("src", before or "")
    wait_until_sent(page)
    expect(page.locator("#count")).to_contain_text(f"{LABELLED} answered")
    mission.show("03-label")


def train(mission: Mission) -> None:
    page = mission.page
    mission.link("Manage")
    mission.link("Model runs")
    mission.show("04-runs")
    button = page.get_by_role("button", name="Train a model and propose labels")
    expect(button).to_be_visible(timeout=1000 * WAIT_S)  # a run may have begun by itself
    mission.click(button)
    published = page.locator("td .tag", has_text="published").first
    expect(published).to_be_visible(timeout=1000 * WAIT_S)
    mission.show("05-trained")


def keep_subset(mission: Mission) -> None:
    page = mission.page
    mission.link("Images")
    mission.show("06-images")
    mission.choose("Proposal", "right")
    mission.click(page.get_by_text("More conditions"))
    page.locator("#confidence_from").fill("60")
    mission.keys += 2
    mission.choose("Smiling", "no")
    mission.show("07-filter")
    mission.button("Show images")
    expect(page.locator("#found")).to_be_visible()
    mission.show("08-found")
    mission.link("Keep as a subset")
    mission.fill("Name", NAME)
    mission.show("09-keep")
    mission.button("Keep the subset")
    expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    mission.show("10-subset")


def order_turn(mission: Mission) -> None:
    """From the page of the subset.

    It has one light, and with it most heads look to one side. So pictures of any light are used.
    """
    page = mission.page
    name = page.get_by_role("link", name="Show the images").evaluate(FIRST_NAME)
    mission.link("Turn a head with these images only")
    expect(page.get_by_label("Images", exact=True).locator("option:checked")).to_contain_text(NAME)
    mission.fill("File name or number", name)
    mission.button("Show it")
    expect(page.locator("figure.source img")).to_be_visible()
    mission.show("11-too-few")
    mission.button("Use pictures of any light")
    mission.click(page.get_by_text("More", exact=True))
    with page.expect_response("**/studio/preview"):  # the numbers are counted again
        mission.fill("Fewest pictures at each angle", str(FEWEST))
    expect(page.locator("#clusters table")).to_be_visible()
    expect(page.locator("#clusters .too-few")).to_have_count(0)
    mission.click(page.get_by_text("Show some of the pictures"))
    expect(page.locator("#members .pictures img").first).to_be_visible()
    faces = page.locator("#clusters img.thumb")
    expect(faces).to_have_count(7)
    for face in faces.all():
        face.scroll_into_view_if_needed()
        expect(face).to_have_js_property("naturalWidth", 128)
    assert violations(Person("ada", page.context, page)) == []
    mission.show("12-studio")
    mission.button("Turn the head")
    page.wait_for_url(re.compile(r"/studio/\d+$"))
    mission.show("13-waiting")


def assert_subset(site: Site, name: str) -> None:
    """The turn that was ordered learns from the subset."""
    with site.db.read() as session:
        turn = session.scalars(select(HeadTurn)).one()
        assert turn.subset_id is not None
        assert session.get_one(Subset, turn.subset_id).name == name


def wait_s() -> float:
    return 3 * WAIT_S if is_bundled() else WAIT_S


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Turn the head")


def look(mission: Mission) -> None:
    page = mission.page
    expect(slider(page)).to_have_attribute("aria-valuetext", "0°")
    mission.show("14-result")
    slider(page).focus()
    for _ in range(2):
        mission.press("ArrowRight")
    expect(slider(page)).to_have_attribute("aria-valuetext", "20° right")
    with page.expect_download() as found:
        mission.click(page.get_by_role("link", name=re.compile("Strip")).first)
    with Image.open(found.value.path()) as strip, Image.open(source_of(page)) as tile:
        assert strip.format == "PNG"
        assert re.search(r"-strip-[\d-]+\.png$", found.value.suggested_filename)
        frames = page.locator("img[data-yaw]").count()
        assert frames == 7
        assert strip.height >= tile.height
        assert strip.width >= (frames + 1) * tile.width  # the photograph and the frames in a row
    assert violations(Person("ada", page.context, page)) == []


def source_of(page: Page) -> Path:
    """A frame of the result, downloaded."""
    with page.expect_download() as found:
        page.evaluate(
            "() => { const link = document.createElement('a');"
            " link.href = document.querySelector('img[data-yaw]').src; link.download = 'f.png';"
            " link.click(); }"
        )
    return Path(found.value.path())


def share(mission: Mission, chromium: Browser) -> None:
    page = mission.page
    mission.button("Create a link")
    link = page.get_by_label("Link", exact=True).input_value()
    mission.show("15-shared")
    stranger = chromium.new_context(**DESKTOP)
    visitor = stranger.new_page()
    answer = visitor.goto(link)
    assert answer is not None
    assert answer.status == 200
    assert visitor.locator("img").count() == 1
    assert visitor.locator("img").evaluate("e => e.naturalWidth") > 0
    assert visitor.locator("a, form, button, nav").count() == 0
    answer = visitor.goto(page.url)
    assert answer is not None
    assert answer.status == 401, "a stranger has to sign in"
    assert visitor.locator("img[data-yaw]").count() == 0
    visitor.goto(link)
    for name, view in {"desktop": DESKTOP, **VIEWS}.items():
        other = chromium.new_context(**view)
        seen = other.new_page()
        seen.goto(link)
        seen.screenshot(path=mission.folder / f"16-link-{name}.png", full_page=True)
        other.close()
    mission.button("Revoke the link")
    mission.show("17-revoke")
    mission.button("Revoke the link")
    expect(page.get_by_role("button", name="Create a link")).to_be_visible()
    gone = visitor.reload()
    assert gone is not None
    assert gone.status == 404
    visitor.screenshot(path=mission.folder / "18-revoked-desktop.png", full_page=True)
    stranger.close()
    page.goto("/studio")
    mission.show("19-gallery")


def look_elsewhere(mission: Mission, chromium: Browser, state: Any, url: str) -> None:
    """The same pages on a phone, in the dark and in German: nothing is cut off, axe is content."""
    for view, options in VIEWS.items():
        context = chromium.new_context(base_url=url, storage_state=state, **options)
        page = context.new_page()
        for name, address in mission.shown.items():
            if "/join/" in address or "/label" in address or name in ("13-waiting", "17-revoke"):
                continue
            page.goto(address)
            if "/studio/new" in address:
                expect(page.locator("#clusters table")).to_be_visible()
                page.wait_for_load_state("networkidle")
            page.screenshot(path=mission.folder / f"{name}-{view}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is wider than the {view}"
        context.close()
