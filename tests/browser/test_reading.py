"""What screen readers are told, the order of the tabs, and own keys."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SignIn, Site
from tests.browser.label_page import (
    DESKTOP,
    PHONE,
    Diary,
    answer_by_key,
    follow,
    follow_key,
    open_label_page,
    violations,
    wait_for_grid,
    wait_until_sent,
)
from tests.browser.test_qualification import truth  # noqa: F401  a fixture
from tests.browser.test_verification import ADDRESS

LISTEN = """() => {
  window.heard = [];
  const region = document.getElementById("announced");
  new MutationObserver(() => window.heard.push(region.textContent))
    .observe(region, { childList: true, characterData: true, subtree: true });
}"""
TARGETS = """() => [...document.querySelectorAll("main :is(a[href], button)")]
  .filter((one) => one.checkVisibility())
  .map((one) => { const box = one.getBoundingClientRect(); return [box.top, box.left]; })"""


@pytest.fixture(autouse=True)
def _nobody_holds_anything(site: Site) -> None:
    site.take_all_back()


def choose_keys(page: Page, button: str, **keys: str) -> None:
    page.goto("/account")
    for label, key in keys.items():
        page.get_by_label(label, exact=True).fill(key)
    follow(page.get_by_role("button", name=button))
    expect(page.get_by_role("status").first).to_contain_text("Your keys have been changed.")


def test_each_image_is_announced_once_with_its_suggestion(sign_in: SignIn) -> None:
    page = sign_in().page
    open_label_page(page)
    page.evaluate(LISTEN)
    diary = Diary(page)
    hints = []
    for _ in range(3):
        diary.press("ArrowUp")
        expect(page.locator("#stage img")).to_be_visible()
        hints.append(page.locator("#hint").inner_text() or "No suggestion")
    diary.undo()
    diary.wait_until_sent()
    heard = page.evaluate("window.heard")
    assert heard[:3] == [
        f"Answered center. Image {place}. {hint}."
        for place, hint in zip((2, 3, 4), hints, strict=True)
    ]
    assert len(heard) == 4
    assert heard[3].startswith("Undone. Image 3.")
    assert any("Suggestion: " in each for each in heard)
    assert page.locator("#last").get_attribute("role") is None


def test_the_same_words_are_announced_again(sign_in: SignIn) -> None:
    """After an undo the same answer leads to the same image, and its words are new to a reader."""
    page = sign_in().page
    open_label_page(page)
    diary = Diary(page)
    diary.press("ArrowUp")
    diary.undo()
    page.evaluate(LISTEN)
    diary.press("ArrowUp")
    diary.undo()
    diary.press("ArrowUp")
    page.wait_for_function("() => window.heard.length === 3")
    heard = page.evaluate("window.heard")
    assert heard[0] == heard[2]
    assert heard[0].startswith("Answered center. Image 2.")


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.usefixtures("truth")
def test_tabs_follow_the_screen(site: Site, sign_in: SignIn, device: dict[str, Any]) -> None:
    page = sign_in(**device).page
    page.goto("/label")
    start = page.get_by_role("link", name="Start the qualification")
    expect(start).to_be_focused()
    expect(start).to_have_accessible_description(
        "You answer some images whose correct answer is known. After each one you see whether "
        "you were right. This takes a minute or two."
    )
    follow_key(page, "Enter")
    expect(page.locator("#answers")).to_be_attached()
    assert in_reading_order(page)
    with site.ruled_by(training=0):
        other = sign_in(**device).page
        open_label_page(other)
        answer_by_key(other, "ArrowLeft")  # so that undo is possible
        wait_until_sent(other)
        expect(other.locator("#stage img")).to_be_visible()
        assert in_reading_order(other)


def in_reading_order(page: Page) -> bool:
    places = [tuple(place) for place in page.evaluate(TARGETS)]
    rows = sorted({round(top) for top, _ in places})
    assert len(places) >= 5
    assert len(rows) >= 2
    read = [(round(top), left) for top, left in places]
    return read == sorted(read)


def test_own_keys_on_the_label_page(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    page = person.page
    choose_keys(page, "Save keys", Unsure="k", Left="a", Right="")
    open_label_page(page)
    for key in ("u", "1", "3"):
        page.keyboard.press(key)
    for key, answer in (("k", "unsure"), ("a", "left"), ("2", "center"), ("ArrowRight", "right")):
        answer_by_key(page, key)
        expect(page.locator("#last")).to_have_text(f"Last answer: {answer}")
    wait_until_sent(page)
    answers = [vote.answer for vote in site.votes_of(person.username)]
    assert answers == ["unsure", "left", "center", "right"]
    assert violations(person) == []


def test_keys_that_are_turned_off(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    page = person.page
    choose_keys(page, "Turn all off")
    assert violations(person) == []
    open_label_page(page)
    for key in ("1", "2", "3", "u", "z", "?"):
        page.keyboard.press(key)
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.goto(ADDRESS)
    wait_for_grid(page)
    for key in ("1", "2", "3", "u"):
        page.keyboard.press(key)
    expect(page.locator(".tile.changed")).to_have_count(0)
    assert site.votes_of(person.username) == []
    choose_keys(page, "Restore the usual keys")
    open_label_page(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_z_undoes_the_last_page_where_one_chooses(site: Site, sign_in: SignIn) -> None:
    person = sign_in(viewport={"width": 1280, "height": 1400})
    page = person.page
    page.goto(ADDRESS)
    wait_for_grid(page)
    follow_key(page, "Enter")
    expect(page.locator(".message")).to_contain_text("24 answers have been stored")
    page.goto("/grid")
    expect(page.locator("#undo kbd")).to_have_text("z")
    # The script answers to keys once it was given a lock, which it had asked for before.
    page.evaluate("navigator.locks.request('later', () => null)")
    follow_key(page, "z")
    expect(page.locator(".message")).to_contain_text("24 answers have been undone.")
    assert all(vote.superseded_at for vote in site.votes_of(person.username))


def test_keys_of_the_qualification(site: Site, sign_in: SignIn, truth: dict[int, str]) -> None:  # noqa: F811
    person = sign_in()
    page = person.page
    page.goto("/label/training")
    lesson = page.locator("#lesson")
    expect(lesson).to_contain_text("an answer cannot be undone here")
    page.keyboard.press("z")
    expect(lesson).to_contain_text("cannot be undone here, because you have seen the correct one")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Nothing: an answer cannot be undone here")
    assert violations(person) == []
    page.keyboard.press("Escape")
    follow_key(page, "u")
    expect(lesson).to_contain_text("✗ Not quite: ")
    expect(lesson).to_contain_text("You answered unsure.")
    page.keyboard.press("z")
    expect(lesson).to_contain_text("Not quite: ")
    expect(lesson).to_contain_text("cannot be undone")
    assert [vote.answer for vote in site.votes_of(person.username)] == ["unsure"]


def test_a_changed_answer_keeps_its_place_and_is_confirmed_there(
    site: Site, sign_in: SignIn
) -> None:
    person = sign_in()
    page = person.page
    open_label_page(page)
    diary = Diary(page)
    for _ in range(5):
        diary.press("ArrowLeft")
    diary.wait_until_sent()
    page.goto("/me")
    items = page.locator(".last-answers li")
    before = items.evaluate_all("all => all.map(one => one.id)")
    third = items.nth(2)
    third.get_by_role("button", name="center").focus()
    follow_key(page, "Enter")
    expect(third.get_by_role("status")).to_contain_text("Your answer has been changed to center")
    expect(third).to_be_focused()
    expect(third).to_be_in_viewport()
    assert items.evaluate_all("all => all.map(one => one.id)") == before
    assert violations(person) == []
