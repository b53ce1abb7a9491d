"""The connection is lost and comes back: counts, words and marks stay true."""

from __future__ import annotations

from contextlib import suppress

import pytest
from playwright.sync_api import Error, Page, Response, Route, expect

from tests.browser.conftest import SignIn, Site
from tests.browser.label_page import (
    Diary,
    answer_by_key,
    follow,
    open_label_page,
    violations,
    wait_for_grid,
    wait_until_sent,
)
from tests.browser.test_verification import ADDRESS, open_grid, stored

GRID_SENT = "() => !Object.keys(localStorage).some(k => k.startsWith('sidelight.grid.'))"
TALL = {"viewport": {"width": 1280, "height": 1400}}


@pytest.fixture(autouse=True)
def _nobody_holds_anything(site: Site) -> None:
    site.take_all_back()


@pytest.mark.parametrize("arrived", [False, True], ids=["not-sent", "answer-lost"])
def test_the_count_after_coming_back(site: Site, sign_in: SignIn, arrived: bool) -> None:
    """Votes that wait count at once, and those that had arrived count once."""
    person = sign_in()
    page = person.page
    open_label_page(page)

    def lose(route: Route) -> None:
        # The page may be left while the site answers, and the route with it.
        with suppress(Error):
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
    for _ in range(site.settings.prefetch + 1):
        answer_by_key(page, "ArrowLeft")
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
    wait_until_sent(page)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_page_of_the_grid_is_kept_and_sent_later(site: Site, sign_in: SignIn) -> None:
    person = sign_in(**TALL)
    page = person.page
    images = open_grid(page)
    page.keyboard.press("3")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("u")
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


@pytest.mark.parametrize("back", [pytest.param(ADDRESS, marks=pytest.mark.slow), "/grid", "/label"])
def test_a_page_that_was_closed_offline_is_sent_later(
    site: Site, sign_in: SignIn, back: str
) -> None:
    person = sign_in(**TALL)
    page = person.page
    images = open_grid(page)
    page.keyboard.press("2")
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
    cookies = person.context.cookies()
    person.context.clear_cookies()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("This page is kept in this browser. Sign in")
    person.context.add_cookies(cookies)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    expect(page.locator(".message")).to_contain_text("24 answers have been stored")
    assert len(stored(site, person.username)) == len(images)


def busy(route: Route) -> None:
    """What a proxy answers while the site restarts."""
    if route.request.method == "POST":
        route.fulfill(status=503, content_type="text/html", body="<h1>Try again</h1>")
    else:
        route.continue_()


def confirm_while_busy(page: Page, batch: str = "") -> None:
    """Confirm the page in hand while the site takes none. `batch`: another name for it."""
    if batch:
        page.locator("#grid [name=batch]").evaluate("(e, name) => { e.value = name; }", batch)
    wait_for_grid(page)
    page.route("**/grid", busy)
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text(
        "The site is busy. Your answers are kept and sent again."
    )


def test_a_busy_site_is_not_called_offline(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    page = person.page
    open_label_page(page)
    page.route("**/label/votes", busy)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#connection")).to_have_text("Site busy: 1 vote kept here")
    page.unroute("**/label/votes")
    wait_until_sent(page)
    expect(page.locator("#connection")).to_have_text("")
    assert len(site.votes_of(person.username)) == 1


def test_undo_leaves_the_page_before_alone_while_one_waits(site: Site, sign_in: SignIn) -> None:
    person = sign_in(**TALL)
    page = person.page
    open_grid(page)
    page.keyboard.press("Enter")
    expect(page.locator(".message")).to_contain_text("24 answers have been stored")
    expect(page.locator("button.tile").first).to_be_focused()
    confirm_while_busy(page)
    page.keyboard.press("z")
    expect(page.locator("#said")).to_contain_text("It can be undone after that.")
    page.get_by_role("button", name="Undo the last page").click()
    page.unroute("**/grid")
    page.wait_for_function(GRID_SENT)
    assert len(stored(site, person.username)) == 48


def test_kept_pages_are_sent_in_their_order(site: Site, sign_in: SignIn) -> None:
    """The second page does not show again what the first one has answered."""
    person = sign_in(**TALL)
    page = person.page
    first = open_grid(page)
    confirm_while_busy(page, "gridffffffffffffffff")
    page.goto(ADDRESS.replace("24", "36"))
    expect(page.locator("button.tile")).to_have_count(12)
    expect(page.locator("button.tile").first).to_be_focused()
    confirm_while_busy(page, "grid0000000000000000")
    taken: list[str] = []

    def note(answer: Response) -> None:
        if answer.ok and answer.request.post_data:
            taken.append(answer.request.post_data)

    page.on("response", note)
    page.unroute("**/grid")
    page.wait_for_function(GRID_SENT)
    assert ["ffff" in data for data in taken] == [True, False]
    answered = stored(site, person.username)
    assert len(answered) == 36
    assert set(first) < set(answered)


def test_a_page_that_waits_is_not_shown_again(site: Site, sign_in: SignIn) -> None:
    person = sign_in(**TALL)
    page = person.page
    open_grid(page)
    confirm_while_busy(page)
    page.goto(ADDRESS)
    expect(page.get_by_role("alert")).to_contain_text("You have answered all images of this page.")
    expect(page.locator("#confirm")).to_be_hidden()
    assert violations(person) == []
    page.unroute("**/grid")
    expect(page.locator(".message")).to_contain_text("24 answers have been stored")
    assert len(stored(site, person.username)) == 24


@pytest.mark.parametrize("back", ["/grid", "/label"])
def test_a_page_that_is_refused_later_is_told(sign_in: SignIn, back: str) -> None:
    page = sign_in(**TALL).page
    open_grid(page)
    confirm_while_busy(page, "no-batch")
    page.goto("/guide")
    page.unroute("**/grid")
    page.goto(back)
    told = "24 answers of “Verify many images” were not accepted: This page has expired."
    expect(page.get_by_role("alert")).to_contain_text(told)
    page.wait_for_function(GRID_SENT)


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="forbidden", marks=pytest.mark.slow),
        pytest.param("sidelight.grid.", id="full"),
    ],
)
def test_a_page_is_sent_without_storage(site: Site, sign_in: SignIn, key: str) -> None:
    person = sign_in(**TALL)
    page = person.page
    page.add_init_script(
        f"""const set = Storage.prototype.setItem;
        Storage.prototype.setItem = function (name, text) {{
          if (name.startsWith("{key}")) throw new DOMException("full", "QuotaExceededError");
          set.call(this, name, text);
        }};"""
    )
    open_grid(page)
    expect(page.get_by_role("alert")).to_have_count(0 if key else 1)
    page.route("**/grid", busy)
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Leave it open until it is sent.")
    page.unroute("**/grid")
    expect(page.locator(".message").first).to_be_visible()
    page.wait_for_function("() => document.body.innerText.includes('24 answers have been stored')")
    assert len(stored(site, person.username)) == 24


def test_marks_are_kept_for_each_label_until_others_are_chosen(sign_in: SignIn) -> None:
    page = sign_in(**TALL).page
    open_grid(page)
    page.keyboard.press("3")
    page.goto(ADDRESS.replace("left", "right"))
    page.locator("button.tile").first.focus()
    page.keyboard.press("2")
    open_grid(page)
    expect(page.locator(".tile.changed")).to_have_count(1)
    follow(page.get_by_role("link", name="Choose other images"))
    open_grid(page)
    expect(page.locator("button.tile")).to_have_count(24)
    expect(page.locator(".tile.changed")).to_have_count(0)


def test_a_mark_taken_back_after_an_undo_survives_a_reload(sign_in: SignIn) -> None:
    page = sign_in(**TALL).page
    open_grid(page)
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator(".message")).to_contain_text("24 answers have been stored")
    follow(page.get_by_role("button", name="Undo the last page"))
    expect(page.locator(".tile.changed")).to_have_count(1)
    page.locator(".tile.changed").focus()
    page.keyboard.press("1")
    open_grid(page)
    expect(page.locator("button.tile")).to_have_count(24)
    expect(page.locator(".tile.changed")).to_have_count(0)
