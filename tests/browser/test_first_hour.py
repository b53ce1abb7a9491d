"""The first hour of a site, in the browser alone: from an empty home to a class that labels."""

from __future__ import annotations

import csv
import os
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from labeler.config import load_settings
from labeler.database.engine import Database
from tests.browser.conftest import Site, environment, free_port
from tests.browser.label_page import (
    DESKTOP,
    IS_GONE,
    KEYS,
    PHONE,
    follow,
    shown_image,
    wait_until_sent,
)
from tests.labeler.lit_faces import cycle_labels, write_faces

pytestmark = pytest.mark.slow
FACES, GOLD, LABELLED = 40, 3, 5
PASSWORD = "correct horse battery"
WORK_S = 600  # for the background worker


@pytest.fixture
def empty_site(tmp_path: Path) -> Iterator[Site]:
    """A site on an empty home, with its worker, as `serve` starts it."""
    home, port = tmp_path / "home", free_port()
    home.mkdir()
    settings = load_settings(environment(home, port))
    running = Site(home, port, settings, Database(settings.database_url), with_worker=True)
    running.start()
    yield running
    running.kill()
    running.db.dispose()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A zip file of generated faces and one broken file."""
    folder = tmp_path / "faces"
    write_faces(folder, cycle_labels(FACES))
    (folder / "broken.jpg").write_bytes(b"no image")
    path = tmp_path / "class of 2026.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return path


def join(site: Site, chromium: Browser, link: str, name: str, **options: Any) -> BrowserContext:
    """Open an account with a link; returns the signed-in context, whose page is the first."""
    context = chromium.new_context(base_url=site.url, **options)
    page = context.new_page()
    page.goto(link)
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    follow(page.get_by_role("button", name="Create account"))
    expect(page).not_to_have_url(re.compile("/join/"))
    return context


def reload_until(page: Page, text: str) -> None:
    """Pages with the state of a job show it when they are loaded again."""
    deadline = time.monotonic() + WORK_S
    while time.monotonic() < deadline:
        if page.get_by_text(text).count():
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError(f"{text!r} has not come: {page.inner_text('main')}")


def upload(page: Page, file: Path) -> None:
    page.get_by_label("A zip file, or image files").set_input_files(file)
    expect(page.get_by_label("Name of the data set")).to_have_value(file.stem)
    page.get_by_role("button", name="Upload", exact=True).click()


def add_gold(page: Page, label: str, number: int) -> None:
    follow(page.get_by_role("link", name="Choose images"))
    follow(page.locator("a", has=page.locator(".picture img")).nth(number))
    page.get_by_label("Decide the label").select_option(label)
    page.get_by_label("Make it a gold question").check()
    follow(page.get_by_role("button", name="Decide"))


def test_from_an_empty_home_to_labels(
    empty_site: Site, chromium: Browser, faces: Path, tmp_path: Path
) -> None:
    boss = join(empty_site, chromium, empty_site.admin_link(), "ada", **DESKTOP)
    page = boss.pages[0]

    def shot(name: str) -> None:
        page.screenshot(path=tmp_path / f"{name}.png", full_page=True)

    def go_on(button: str) -> None:
        page.goto("/admin/")
        follow(page.locator("[aria-current=step]").get_by_role("link", name=button))

    page.goto("/admin/")
    shot("1-first-steps")
    go_on("Add images")
    shot("2-add-images")
    upload(page, faces)
    page.wait_for_url(re.compile(r"/imports/\d+$"))
    reload_until(page, f"{FACES} images have been added")
    expect(page.get_by_text("broken.jpg")).to_be_visible()
    shot("3-added")

    go_on("Create a campaign")
    page.get_by_label("Name", exact=True).fill("Monday")
    follow(page.locator("button[name=preset][value=quick]"))
    follow(page.get_by_role("button", name="Create campaign"))
    expect(page.get_by_text("Monday has been created")).to_be_visible()

    go_on("Add gold questions")
    gold = page.url
    for number, label in enumerate(("left", "center", "right")):
        page.goto(gold)
        add_gold(page, label, number)
    page.goto(gold)
    expect(page.get_by_role("heading", name=f"{GOLD} gold questions")).to_be_visible()

    go_on("Create an invite")
    follow(page.get_by_role("button", name="Create link"))
    link = page.get_by_label("Invite link").input_value()
    go_on("Go to the campaign")
    follow(page.get_by_role("button", name="Activate").first)
    page.goto("/admin/")
    expect(page.get_by_role("heading", name="First steps")).to_have_count(0)
    shot("4-active")

    label_on_a_phone(empty_site, chromium, link, tmp_path)
    page.goto("/admin/")
    with page.expect_download() as found:
        page.get_by_role("link", name="Download labels", exact=True).click()
    with Path(found.value.path()).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    votes = sum(int(row["votes_left"]) for row in rows)
    assert votes >= LABELLED - GOLD
    boss.close()


def label_on_a_phone(site: Site, chromium: Browser, link: str, tmp_path: Path) -> None:
    phone = join(
        site, chromium, link, "ben", **{**PHONE, "viewport": {"width": 390, "height": 844}}
    )
    page = phone.pages[0]
    page.goto("/label")
    begin = page.get_by_role("link", name="Begin")
    for _ in range(LABELLED):
        if begin.count():
            follow(begin.first)
        image = shown_image(page)
        page.get_by_role("button", name=KEYS["ArrowLeft"]).first.click()
        page.wait_for_function(IS_GONE, arg=image)
    wait_until_sent(page)
    page.screenshot(path=tmp_path / "5-phone.png")
    phone.close()


def large_zip(path: Path) -> Path:
    """A zip file of 9 MB, which takes five pieces."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("noise.jpg", os.urandom(9 * 10**6))
    return path


def test_an_upload_survives_a_lost_connection_a_reload_and_a_restart(
    empty_site: Site, chromium: Browser, tmp_path: Path
) -> None:
    boss = join(empty_site, chromium, empty_site.admin_link(), "ada", **DESKTOP)
    page, file = boss.pages[0], large_zip(tmp_path / "noise.zip")
    page.on("dialog", lambda dialog: dialog.accept())
    sent: list[int] = []
    allowed = 2

    def pass_some(route: Route) -> None:
        if len(sent) >= allowed:
            route.abort("connectionfailed")
            return
        sent.append(int(route.request.url.rpartition("=")[2]))
        route.continue_()

    boss.route("**/pieces?offset=*", pass_some)
    page.goto("/admin/data-sets/add")
    upload(page, file)
    expect(page.get_by_text("The connection is lost.")).to_be_visible()
    expect(page.locator("#sent-words")).to_contain_text("4.2 MB of 9.0 MB (46 %)")
    page.screenshot(path=tmp_path / "upload-lost.png", full_page=True)
    allowed = 3
    expect(page.locator("#sent-words")).to_contain_text("(69 %)")

    empty_site.kill()
    empty_site.start()
    page.goto("/admin/data-sets/add")
    expect(page.get_by_text("69 % of 9.0 MB uploaded")).to_be_visible()
    allowed = 99
    upload(page, file)
    page.wait_for_url(re.compile(r"/imports/\d+$"))
    piece = 2 * 2**20
    assert sent == [0, piece, 2 * piece, 3 * piece, 4 * piece], "no piece was sent twice"
    reload_until(page, "1 file is broken")
    boss.close()


def test_a_folder_is_packed_and_an_upload_is_cancelled(
    empty_site: Site, chromium: Browser, tmp_path: Path
) -> None:
    boss = join(empty_site, chromium, empty_site.admin_link(), "ada", **DESKTOP)
    page = boss.pages[0]
    folder = tmp_path / "portraits"
    write_faces(folder / "day one", cycle_labels(4))
    (folder / "notes.doc").write_text("not sent")
    page.goto("/admin/data-sets/add")
    page.get_by_label("Or a folder").set_input_files(folder)
    expect(page.get_by_label("Name of the data set")).to_have_value("portraits")
    page.get_by_role("button", name="Upload", exact=True).click()
    page.wait_for_url(re.compile(r"/imports/\d+$"))
    reload_until(page, "4 images have been added")
    page.goto("/admin/images?campaign=0")

    boss.route("**/pieces?offset=*", lambda route: route.abort("connectionfailed"))
    page.goto("/admin/data-sets/add")
    upload(page, large_zip(tmp_path / "noise.zip"))
    expect(page.get_by_text("The connection is lost.")).to_be_visible()
    follow(page.get_by_role("button", name="Cancel the upload"))
    follow(page.get_by_role("button", name="Cancel the import"))
    expect(page.get_by_text("The import of noise has been cancelled.")).to_be_visible()
    assert len(list((empty_site.home / "pictures").iterdir())) == 1
    boss.close()
