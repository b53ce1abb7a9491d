"""The dashboards keep themselves up to date, are accessible, and need neither mouse nor script."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import SignIn, Site
from tests.browser.label_page import DESKTOP, VIEWS, Diary, follow, open_label_page, violations

PAGES = ("/admin/", "/admin/quality", "/admin/agreement", "/admin/runs", "/admin/mean-faces")
FOCUS = "document.activeElement.getBoundingClientRect().top"
LOOK_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.mark.parametrize(("device", "scheme"), VIEWS)
def test_dashboards_are_accessible_and_fit(
    site: Site, sign_in: SignIn, device: dict[str, Any], scheme: str
) -> None:
    person = sign_in("supervisor", color_scheme=scheme, reduced_motion="reduce", **device)
    for address in PAGES:
        person.page.goto(address)
        assert violations(person) == [], address
        width = person.page.evaluate("document.documentElement.scrollWidth")
        assert width <= device["viewport"]["width"], address


def test_new_votes_appear_and_nothing_else_moves(site: Site, sign_in: SignIn) -> None:
    boss, ann = sign_in("supervisor", **DESKTOP), sign_in()
    page = boss.page
    page.goto("/admin/?per=hour")
    votes = page.locator("dt:text-is('votes') + dd")
    before = int(votes.inner_text().replace(",", ""))
    page.get_by_text("Show the numbers as a table").click()
    page.get_by_role("link", name="per day").focus()
    page.evaluate("window.scrollTo(0, 250); window.mark = 'the same document'")
    place = page.evaluate(FOCUS)
    open_label_page(ann.page)
    diary = Diary(ann.page)
    diary.press("ArrowLeft")
    diary.wait_until_sent()
    page.evaluate(LOOK_AGAIN)
    expect(votes).to_have_text(f"{before + 1:,}")
    expect(page.locator("#live-state")).to_have_text("This page updates automatically.")
    assert page.evaluate("window.mark") == "the same document"
    assert page.locator("main details").evaluate("one => one.open")
    assert page.evaluate("document.activeElement.textContent") == "per day"
    assert abs(page.evaluate(FOCUS) - place) < 1


def test_updates_can_be_paused_with_the_keyboard(site: Site, sign_in: SignIn) -> None:
    page = sign_in("supervisor", **DESKTOP).page
    page.goto("/admin/")
    asked: list[str] = []
    page.on(
        "request",
        lambda one: asked.append(one.url) if one.resource_type == "fetch" else None,
    )
    pause = page.get_by_role("button", name="Pause updates")
    pause.focus()
    page.keyboard.press("Enter")
    expect(pause).to_have_attribute("aria-pressed", "true")
    asked.clear()  # before the pause, the page may have been open long enough
    page.evaluate(LOOK_AGAIN)
    page.wait_for_timeout(300)
    assert asked == []
    page.keyboard.press("Enter")
    expect(page.locator("#live-state")).to_have_text("This page updates automatically.")
    assert len(asked) == 1


def test_without_script_a_link_reloads(site: Site, sign_in: SignIn) -> None:
    page = sign_in("supervisor", java_script_enabled=False).page
    page.goto("/admin/?per=day")
    follow(page.get_by_role("link", name="Reload"))
    expect(page).to_have_url(f"{site.url}/admin/?per=day")
    expect(page.get_by_text("Votes per day")).to_be_visible()


def test_a_lost_session_is_told(site: Site, sign_in: SignIn) -> None:
    boss = sign_in("supervisor")
    boss.page.goto("/admin/")
    cookies = boss.context.cookies()
    boss.context.clear_cookies()
    boss.page.evaluate(LOOK_AGAIN)
    expect(boss.page.locator("#live-state")).to_contain_text("You have been signed out")
    boss.context.add_cookies(cookies)  # as after a sign-in in another tab
    boss.page.evaluate(LOOK_AGAIN)
    expect(boss.page.locator("#live-state")).to_have_text("This page updates automatically.")
