"""A class from an empty home to a file of labels, in the browser alone, in three languages.

The first walk takes CelebA's first 500 images: SIDELIGHT_TEST_CELEBA names the folder of CelebA's
files. The second one takes generated faces, and its lecturer and supervisor have only a keyboard.
Screenshots and a table of seconds and acts are written into the folder that
SIDELIGHT_TEST_SCREENS names.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from labeler.config import load_settings
from labeler.database.engine import Database
from tests.browser.conftest import ROOT, Person, Site, environment, free_port
from tests.browser.hands import Keyboard, Mouse
from tests.browser.label_page import (
    DESKTOP,
    IS_GONE,
    PHONE,
    follow,
    label_page_opens,
    shown_image,
    violations,
    wait_until_sent,
)
from tests.browser.test_first_hour import PASSWORD, reload_until
from tests.labeler.lit_faces import cycle_labels, write_faces

pytestmark = pytest.mark.slow
SMALL: dict[str, Any] = {**PHONE, "viewport": {"width": 390, "height": 844}}
GERMAN = {"left": "Links", "center": "Mitte", "right": "Rechts"}
ITALIAN = {"left": "Sinistra", "center": "Centro", "right": "Destra"}
ANSWERS = tuple(GERMAN)
IMAGES, ANSWERED, KEPT_OFFLINE = 500, 30, 4
SAMPLE = ANSWERED + 6  # few enough that two people answer the same images
THINKING_MS = 600  # nobody judges a face faster


@pytest.fixture
def new_site(tmp_path: Path) -> Iterator[Site]:
    """A site on an empty home, as `make run` makes it: the database, the demo, the server."""
    home, port = tmp_path / "home", free_port()
    home.mkdir()
    for command in (["init"], ["demo", "--if-empty"]):
        subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *command],
            env=environment(home, port),
            check=True,
            capture_output=True,
        )
    settings = load_settings(environment(home, port))
    running = Site(home, port, settings, Database(settings.database_url), with_worker=True)
    running.start()
    yield running
    running.kill()
    running.db.dispose()


def pack_celeba(path: Path) -> int:
    """Write CelebA's first images and what is known about them as a zip file."""
    folder = Path(os.environ.get("SIDELIGHT_TEST_CELEBA", "nowhere"))
    if not (folder / "img_align_celeba.zip").is_file():
        pytest.skip("SIDELIGHT_TEST_CELEBA names no folder with CelebA's img_align_celeba.zip")
    with zipfile.ZipFile(folder / "img_align_celeba.zip") as all_of_it:
        names = sorted(name for name in all_of_it.namelist() if name.endswith(".jpg"))[:IMAGES]
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, all_of_it.read(name))
            identities = (folder / "identity_CelebA.txt").read_text().splitlines()[:IMAGES]
            archive.writestr("identity_CelebA.txt", "\n".join(identities))
            rows = (folder / "list_attr_celeba.txt").read_text().splitlines()
            table = "\n".join([str(IMAGES), rows[1], *rows[2 : 2 + IMAGES]])
            archive.writestr("list_attr_celeba.txt", table)
    return len(names)


def pack_faces(path: Path) -> int:
    """Write generated faces as a zip file."""
    folder = path.parent / "faces"
    write_faces(folder, cycle_labels(90))
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return 90


@dataclass
class Walk:
    """A site and its people, one after the other; what each part took."""

    site: Site
    chromium: Browser
    screens: Path
    parts: dict[str, dict[str, float]] = field(default_factory=dict)

    def join(self, link: str, name: str, button: str, **options: Any) -> Person:
        """Open an account with a link, in the language of the browser."""
        context = self.chromium.new_context(base_url=self.site.url, **options)
        page = context.new_page()
        page.goto(link)
        self.look(Person(name, context, page), f"{name}-join")
        page.locator("[name=username]").fill(name)
        page.locator("[name=password]").fill(PASSWORD)
        follow(page.get_by_role("button", name=button))
        expect(page).not_to_have_url(re.compile("/join/"))
        return Person(name, context, page)

    def look(self, person: Person, name: str) -> None:
        """Keep a picture of the page, which must be accessible and fit the screen."""
        person.page.screenshot(path=self.screens / f"{name}.png", full_page=True)
        assert violations(person) == [], name
        size = person.page.viewport_size
        assert size is not None
        assert person.page.evaluate("document.documentElement.scrollWidth") <= size["width"], name

    @contextmanager
    def part(self, name: str, hand: Mouse) -> Iterator[None]:
        start, before = time.perf_counter(), hand.acts
        yield
        took = {"seconds": round(time.perf_counter() - start, 1), "acts": hand.acts - before}
        self.parts[name] = took
        (self.screens / "walk.json").write_text(json.dumps(self.parts, indent=2))


@pytest.fixture
def walk(new_site: Site, chromium: Browser, tmp_path: Path) -> Walk:
    screens = Path(os.environ.get("SIDELIGHT_TEST_SCREENS", tmp_path)) / tmp_path.name
    screens.mkdir(parents=True, exist_ok=True)
    return Walk(new_site, chromium, screens)


@pytest.mark.parametrize(
    ("pack", "hand"),
    [
        pytest.param(pack_celeba, Mouse, id="celeba-mouse"),
        pytest.param(pack_faces, Keyboard, id="faces-keyboard"),
    ],
)
def test_a_class_from_an_empty_home_to_a_file(
    walk: Walk, tmp_path: Path, pack: Callable[[Path], int], hand: type[Mouse]
) -> None:
    packed = tmp_path / "Portraits.zip"
    count = pack(packed)
    ada = walk.join(walk.site.admin_link(), "ada", "Create account", **DESKTOP)
    hands = hand(ada.page)
    with walk.part("add images", hands):
        add_images(walk, ada, hands, packed, count)
    with walk.part("create the campaign", hands):
        create_campaign(walk, ada, hands)
    with walk.part("gold by hand", hands):
        add_gold(walk, ada, hands)
    with walk.part("invite", hands):
        class_link = invite(walk, ada, hands, "The class", 2)
        office_link = invite(walk, ada, hands, "Dora", 1, role="supervisor")
    with walk.part("activate", hands):
        activate(walk, ada, hands)

    ben = walk.join(class_link, "ben", "Konto erstellen", locale="de-DE", **SMALL)
    taps = Mouse(ben.page)
    with walk.part("label 30 on a phone, offline in between", taps):
        label_on_a_phone(walk, ben, taps)
    cleo = walk.join(
        class_link, "cleo", "Crea account", locale="it-IT", color_scheme="dark", **SMALL
    )
    label_otherwise(walk, cleo, Mouse(cleo.page))

    dora = walk.join(
        office_link, "dora", "Konto erstellen", locale="de-DE", color_scheme="dark", **DESKTOP
    )
    hands = hand(dora.page)
    with walk.part("decide a contested image", hands):
        decide(walk, dora, hands)
    with walk.part("change a rule with its forecast", hands):
        change_a_rule(walk, dora, hands)
    with walk.part("download", hands):
        rows = download(walk, dora, hands)
    votes = sum(int(row[f"votes_{word}"]) for row in rows for word in (*ANSWERS, "unsure"))
    assert votes >= 2 * ANSWERED - 6, "three of each are answers to gold questions"
    assert "decision-1" in {row["method"] for row in rows}


def confirmation(page: Page) -> Locator:
    """The button of a page that asks before it changes something."""
    return page.locator(".effects + form button.primary")


def go_on(ada: Person, hands: Mouse, button: str) -> None:
    """Take the next step of the checklist."""
    hands.follow(ada.page.get_by_role("link", name="Overview", exact=True))
    hands.follow(ada.page.locator("[aria-current=step]").get_by_role("link", name=button))


def add_images(walk: Walk, ada: Person, hands: Mouse, file: Path, count: int) -> None:
    page = ada.page
    hands.follow(page.get_by_role("link", name="Manage", exact=True))
    walk.look(ada, "ada-first-steps")
    hands.follow(page.get_by_role("link", name="Add your own images"))
    walk.look(ada, "ada-add-images")
    hands.pick_file(page.get_by_label("A zip file, or image files"), file)
    hands.press(page.get_by_role("button", name="Upload", exact=True))
    page.wait_for_url(re.compile(r"/imports/\d+$"))
    reload_until(page, f"{count} images have been added")
    walk.look(ada, "ada-added")


def create_campaign(walk: Walk, ada: Person, hands: Mouse) -> None:
    page = ada.page
    hands.follow(page.get_by_role("link", name="Create a campaign with these images"))
    hands.fill(page.get_by_label("Name", exact=True), "Monday")
    hands.fill(page.get_by_label("Random sample: number of images"), str(SAMPLE))
    hands.follow(page.get_by_role("button", name=re.compile("Careful class")))
    walk.look(ada, "ada-new-campaign")
    hands.press(page.get_by_text("More: all rules", exact=True))
    hands.fill(page.get_by_label("Largest number of votes"), "2")
    expect(page.locator("#own-rules")).to_be_visible()
    walk.look(ada, "ada-all-rules")
    hands.follow(page.get_by_role("button", name="Create campaign"))
    expect(page.get_by_text("Monday has been created")).to_be_visible()
    walk.look(ada, "ada-campaign")


def add_gold(walk: Walk, ada: Person, hands: Mouse) -> None:
    page = ada.page
    go_on(ada, hands, "Add gold questions")
    for number, label in enumerate(ANSWERS):
        hands.follow(page.get_by_role("link", name="Choose images"))
        hands.follow(page.locator("a", has=page.locator(".picture img")).nth(7 * number))
        hands.choose(page.get_by_label("Decide the label"), label)
        hands.tick(page.get_by_label("Make it a gold question"))
        walk.look(ada, "ada-one-image")
        hands.follow(page.get_by_role("button", name="Decide"))
        page.get_by_role("button", name="Undo the decision").wait_for()
        hands.follow(page.get_by_role("link", name="Campaigns", exact=True).first)
        hands.follow(page.get_by_role("link", name="Gold questions"))
    expect(page.get_by_role("heading", name="3 gold questions")).to_be_visible()
    walk.look(ada, "ada-gold")


def invite(
    walk: Walk, ada: Person, hands: Mouse, who: str, people: int, role: str = "annotator"
) -> str:
    page = ada.page
    if role == "annotator":
        go_on(ada, hands, "Create an invite")
    hands.fill(page.get_by_label("Who it is for"), who)
    if role != "annotator":
        hands.choose(page.get_by_label("Role"), role)
    hands.fill(page.get_by_label("How many people"), str(people))
    hands.follow(page.get_by_role("button", name="Create link"))
    walk.look(ada, f"ada-invite-{role}")
    return page.get_by_label("Invite link").input_value()


def activate(walk: Walk, ada: Person, hands: Mouse) -> None:
    """Activate the new campaign, and end that of the demo: people should not have to choose."""
    page = ada.page
    go_on(ada, hands, "Go to the campaign")
    hands.follow(page.get_by_role("button", name="Activate", exact=True))
    walk.look(ada, "ada-activate")
    hands.follow(confirmation(page))
    hands.follow(page.get_by_role("link", name="Campaigns", exact=True).first)
    walk.look(ada, "ada-campaigns")
    hands.follow(page.get_by_role("link", name="demo", exact=True))
    hands.follow(page.get_by_role("button", name="Deactivate"))
    walk.look(ada, "ada-deactivate-the-demo")
    hands.follow(confirmation(page))
    hands.follow(page.get_by_role("link", name="Overview", exact=True))
    walk.look(ada, "ada-active")


def answer(page: Page, hands: Mouse, words: str) -> int:
    """Give an answer after a while; returns the image that was answered."""
    page.wait_for_timeout(THINKING_MS)
    image = shown_image(page)
    hands.press(page.get_by_role("button", name=words, exact=False))
    page.wait_for_function(IS_GONE, arg=image)
    return image


def label_on_a_phone(walk: Walk, ben: Person, taps: Mouse) -> None:
    page = ben.page
    walk.look(ben, "ben-first")
    with label_page_opens(page):
        taps.press(page.get_by_role("link", name="Mit dem Labeln beginnen"))
    walk.look(ben, "ben-label")
    for number in range(ANSWERED):
        if number == ANSWERED // 2:
            wait_until_sent(page)
            ben.context.set_offline(True)
        answer(page, taps, tuple(GERMAN.values())[shown_image(page) % 3])
        if number == ANSWERED // 2 + KEPT_OFFLINE - 1:
            expect(page.locator("#connection")).to_contain_text("Offline: 4 Stimmen")
            walk.look(ben, "ben-offline")
            ben.context.set_offline(False)
    wait_until_sent(page)
    assert len(walk.site.votes_of("ben")) == ANSWERED
    taps.follow(page.get_by_role("link", name="Fortschritt"))
    walk.look(ben, "ben-progress")


def label_otherwise(walk: Walk, cleo: Person, taps: Mouse) -> None:
    """Give the same answers for two images of three, and others for the rest."""
    page = cleo.page
    walk.look(cleo, "cleo-guide")
    with label_page_opens(page):
        taps.press(page.get_by_role("link", name="Inizia a etichettare"))
    walk.look(cleo, "cleo-label")
    for _ in range(ANSWERED):
        image = shown_image(page)
        answer(page, taps, tuple(ITALIAN.values())[(image + (image // 3 % 3 == 0)) % 3])
    wait_until_sent(page)
    assert len(walk.site.votes_of("cleo")) == ANSWERED
    page.goto("/me")
    walk.look(cleo, "cleo-progress")


def decide(walk: Walk, dora: Person, hands: Mouse) -> None:
    page = dora.page
    hands.follow(page.get_by_role("link", name="Verwalten", exact=True))
    walk.look(dora, "dora-overview")
    hands.follow(page.locator("main p a[href*=contested]"))
    walk.look(dora, "dora-contested")
    hands.fill(page.get_by_label("Notiz"), "Zwei Lampen")
    hands.follow(page.get_by_role("button", name=GERMAN["left"]))
    expect(page.locator("#undo")).to_contain_text("links")
    walk.look(dora, "dora-decided")


def change_a_rule(walk: Walk, dora: Person, hands: Mouse) -> None:
    page = dora.page
    hands.follow(page.get_by_role("link", name="Kampagnen", exact=True).first)
    hands.follow(page.get_by_role("link", name="Monday", exact=True))
    walk.look(dora, "dora-campaign")
    hands.press(page.get_by_text("Mehr: alle Regeln", exact=True))
    hands.fill(page.get_by_label("Höchstzahl der Stimmen"), "5")
    expect(page.locator("#forecast")).to_contain_text("Bilder")
    walk.look(dora, "dora-forecast")
    hands.follow(page.get_by_role("button", name="Änderungen speichern"))
    walk.look(dora, "dora-question")
    hands.follow(confirmation(page))
    walk.look(dora, "dora-saved")


def download(walk: Walk, dora: Person, hands: Mouse) -> list[dict[str, str]]:
    page = dora.page
    hands.follow(page.get_by_role("link", name="Übersicht", exact=True).first)
    walk.look(dora, "dora-overview-again")
    with page.expect_download() as found:
        hands.press(page.get_by_role("link", name="Labels herunterladen", exact=True))
    assert re.fullmatch(r"monday-labels-\d{4}-\d\d-\d\d\.csv", found.value.suggested_filename)
    with Path(found.value.path()).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
