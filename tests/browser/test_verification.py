"""The verify grid in a real browser: by mouse, by keyboard alone, without scripts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignIn, Site
from tests.browser.label_page import (
    DESKTOP,
    PHONE,
    VIEWS,
    follow,
    follow_key,
    held,
    violations,
    wait_for_grid,
    wait_for_observers,
)

ADDRESS = "/grid?label=left&source=model&size=24"


@pytest.fixture(autouse=True)
def _nobody_holds_anything(site: Site) -> None:
    site.take_all_back()


def open_grid(page: Page) -> list[int]:
    """Go there and wait until it answers to keys; returns the pictures in their order."""
    page.goto(ADDRESS)
    wait_for_grid(page)
    names = page.locator("select").evaluate_all("all => all.map(one => one.name)")
    return [int(name.removeprefix("answer-")) for name in names]


def confirm(page: Page) -> None:
    """Enter, again for each part of the page that was not on the screen before."""
    with page.expect_navigation(), held(page, "**/grid"):
        for _ in range(20):
            wait_for_observers(page)
            page.keyboard.press("Enter")
            if page.locator("#confirm[aria-disabled]").count():
                break
    expect(page.get_by_role("status").first).to_contain_text("answers have been stored")


def stored(site: Site, username: str) -> dict[int, str]:
    votes = [vote for vote in site.votes_of(username) if vote.superseded_at is None]
    assert {vote.mode for vote in votes} == {"grid"}
    assert len({vote.request_id for vote in votes}) == len(votes)
    return {vote.image_id: vote.answer for vote in votes}


def test_by_keyboard_alone(site: Site, sign_in: SignIn) -> None:
    person = sign_in(**DESKTOP)
    page = person.page
    images = open_grid(page)
    assert len(images) == 24
    focus = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focus) == "Image 1 of 24: left"
    for key, said in (
        ("ArrowRight", "Image 2 of 24: left"),
        ("3", "Image 2 of 24: not left: right"),
        ("End", "Image 24 of 24: left"),
        ("u", "Image 24 of 24: not left: unsure"),
        ("Home", "Image 1 of 24: left"),
        ("Space", "Image 1 of 24: not left: center"),
        ("1", "Image 1 of 24: left"),
    ):
        page.keyboard.press(key)
        assert page.evaluate(focus) == said
    page.keyboard.press("ArrowDown")
    page.keyboard.press("2")
    below = int(re.findall(r"\d+", page.evaluate(focus))[0])
    assert below > 2
    expect(page.get_by_role("button", name="Confirm 21, change 3")).to_be_visible()
    confirm(page)
    expected = dict.fromkeys(images, "left")
    expected |= {images[1]: "right", images[23]: "unsure", images[below - 1]: "center"}
    assert stored(site, person.username) == expected
    wait_for_grid(page)
    follow_key(page, "z")
    expect(page.get_by_role("status").first).to_contain_text("24 answers have been undone.")
    expect(page.locator(".tile.changed")).to_have_count(3)
    assert all(vote.superseded_at for vote in site.votes_of(person.username))


def test_what_was_not_on_the_screen_is_not_confirmed(site: Site, sign_in: SignIn) -> None:
    person = sign_in(viewport={"width": 700, "height": 500})
    open_grid(person.page)
    person.page.keyboard.press("Enter")
    expect(person.page.locator("#said")).to_contain_text("images below first")
    person.page.wait_for_function("() => scrollY > 0")
    assert site.votes_of(person.username) == []


def test_by_touch(site: Site, sign_in: SignIn) -> None:
    person = sign_in(**PHONE)
    page = person.page
    images = open_grid(page)
    third = page.locator("button.tile").nth(2)
    for said in ("center", "right", "unsure"):
        third.tap()
        expect(third).to_have_text(f"not left: {said}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    for top in range(0, 4000, 400):
        page.evaluate(f"scrollTo(0, {top})")
        wait_for_observers(page)
    page.locator("#confirm").tap()
    expect(page.get_by_role("status").first).to_contain_text(
        "24 answers have been stored, 1 of them"
    )
    assert stored(site, person.username) == dict.fromkeys(images, "left") | {images[2]: "unsure"}


def test_two_presses_store_once(site: Site, sign_in: SignIn) -> None:
    person = sign_in(viewport={"width": 1280, "height": 1400})
    images = open_grid(person.page)
    with held(person.page, "**/grid"):
        person.page.locator("#confirm").dblclick()
    expect(person.page.get_by_role("status").first).to_contain_text("24 answers have been stored")
    assert len(site.votes_of(person.username)) == len(images)


def test_without_scripts(site: Site, sign_in: SignIn) -> None:
    person = sign_in(java_script_enabled=False)
    page = person.page
    page.goto("/grid")
    page.get_by_label("the model").check()
    follow(page.get_by_role("button", name="Show images"))
    expect(page.locator("select")).to_have_count(24)
    page.get_by_label("Image 5 of 24").select_option("right")
    follow(page.get_by_role("button", name="Confirm 24 images"))
    expect(page.get_by_role("status").first).to_contain_text(
        "24 answers have been stored, 1 of them"
    )
    assert list(stored(site, person.username).values()).count("right") == 1
    follow(page.get_by_role("button", name="Undo the last page"))
    expect(page.get_by_label("Image 5 of 24")).to_have_value("right")


@pytest.mark.parametrize(("device", "scheme"), VIEWS)
def test_accessible_and_grey(
    site: Site, sign_in: SignIn, device: dict[str, Any], scheme: str
) -> None:
    person = sign_in(color_scheme=scheme, reduced_motion="reduce", **device)
    person.page.goto("/grid")
    assert violations(person) == []
    open_grid(person.page)
    assert violations(person) == []
    person.page.keyboard.press("3")
    person.page.mouse.move(0, 0)
    assert violations(person) == []
    expect(person.page.locator("body")).to_have_css("background-color", "rgb(122, 122, 122)")
    sizes = person.page.locator("button.tile img").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().width / 64)"
    )
    assert set(sizes) == {2}, "a whole factor"
    confirm(person.page)
    assert violations(person) == []
