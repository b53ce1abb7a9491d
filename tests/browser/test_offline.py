"""The connection is lost and comes back: counts, words and marks stay true."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import SignIn, Site
from tests.browser.label_page import Diary, open_label_page
from tests.browser.test_verification import ADDRESS, open_grid, stored

GRID_SENT = "() => !Object.keys(localStorage).some(k => k.startsWith('sidelight.grid.'))"
TALL = {"viewport": {"width": 1280, "height": 1400}}


@pytest.fixture(autouse=True)
def _nobody_holds_anything(site: Site) -> None:
    site.take_all_back()


def wait_until_all_is_seen(page: Page) -> None:
    """The grid notes what was on the screen a moment after it is drawn."""
    page.wait_for_timeout(300)


@pytest.mark.parametrize("arrived", [False, True], ids=["not-sent", "answer-lost"])
def test_the_count_after_coming_back(site: Site, sign_in: SignIn, arrived: bool) -> None:
    """Votes that wait count at once, and those that had arrived count once."""
    person = sign_in()
    page = person.page
    open_label_page(page)

    def lose(route: Route) -> None:
        if arrived:
            route.fetch()
        route.abort()

    page.route("**/label/votes", lose)
    diary = Diary(page)
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
        diary.press(key)
    page.goto("/label")
    expect(page.locator("#connection")).to_have_text("Offline: 3 votes kept here")
    if not arrived:
        expect(page.locator("#count")).to_contain_text("3 answered")
    page.unroute("**/label/votes")
    diary.wait_until_sent()
    expect(page.locator("#count")).to_contain_text("3 answered")
    assert len(site.votes_of(person.username)) == 3


def test_the_page_says_that_it_is_offline(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    page = person.page
    open_label_page(page)
    person.context.set_offline(True)
    expect(page.locator("#connection")).to_have_text("Offline")
    for _ in range(site.settings.prefetch + 2):
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(50)
    expect(page.locator("#stage")).to_contain_text("You are offline.")
    expect(page.locator("#connection")).to_contain_text("kept here")
    person.context.set_offline(False)
    expect(page.locator("#stage img")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("")


def test_the_notice_about_the_sign_in_goes_once_it_is_settled(sign_in: SignIn) -> None:
    person = sign_in()
    page = person.page
    open_label_page(page)
    cookies = person.context.cookies()
    person.context.clear_cookies()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("alert")).to_contain_text("You have been signed out.")
    person.context.add_cookies(cookies)  # as after a sign-in in another tab
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    Diary(page).wait_until_sent()
    expect(page.locator("#notice")).to_be_hidden()


def test_a_page_of_the_grid_is_kept_and_sent_later(site: Site, sign_in: SignIn) -> None:
    person = sign_in(**TALL)
    page = person.page
    images = open_grid(page)
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("u")
    wait_until_all_is_seen(page)
    person.context.set_offline(True)
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("You are offline. This page is kept")
    expect(page.locator(".tile.changed")).to_have_count(2)
    page.keyboard.press("1")  # what was confirmed does not change any more
    assert site.votes_of(person.username) == []
    person.context.set_offline(False)
    expect(page.locator(".message")).to_contain_text("24 answers have been stored, 2 of them")
    expected = dict.fromkeys(images, "left") | {images[0]: "right", images[1]: "unsure"}
    assert stored(site, person.username) == expected


@pytest.mark.parametrize("back", [ADDRESS, "/grid", "/label"])
def test_a_page_that_was_closed_offline_is_sent_later(
    site: Site, sign_in: SignIn, back: str
) -> None:
    person = sign_in(**TALL)
    page = person.page
    images = open_grid(page)
    page.keyboard.press("2")
    wait_until_all_is_seen(page)
    person.context.set_offline(True)
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("You are offline.")
    page.close()
    person.context.set_offline(False)
    page = person.context.new_page()
    page.goto(back)
    page.wait_for_function(GRID_SENT)
    assert stored(site, person.username) == dict.fromkeys(images, "left") | {images[0]: "center"}


def test_marks_survive_a_reload(sign_in: SignIn) -> None:
    page = sign_in(**TALL).page
    images = open_grid(page)
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    assert open_grid(page) == images
    expect(page.locator(".tile.changed")).to_have_count(2)
    expect(page.locator("button.tile").first).to_contain_text("not left: right")


def test_who_is_signed_out_keeps_the_page(site: Site, sign_in: SignIn) -> None:
    person = sign_in(**TALL)
    page = person.page
    images = open_grid(page)
    wait_until_all_is_seen(page)
    cookies = person.context.cookies()
    person.context.clear_cookies()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("This page is kept in this browser. Sign in")
    person.context.add_cookies(cookies)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.locator(".message")).to_contain_text("24 answers have been stored")
    assert len(stored(site, person.username)) == len(images)
