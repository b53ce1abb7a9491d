"""Light or dark by choice: before the system's, without scripts, on paper, in forced colours."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from labeler.models.accounts import APPEARANCES
from tests.browser.conftest import SignIn, Site
from tests.browser.label_page import DESKTOP, follow, violations

PAPER = {"light": "rgb(247, 246, 243)", "dark": "rgb(23, 22, 20)"}
GREY = "rgb(122, 122, 122)"
PAGES = ("/account", "/admin/", "/admin/campaigns/1", "/admin/people", "/admin/contested/1", "/me")


def expect_background(page: Page, colour: str, why: str = "") -> None:
    expect(page.locator("body"), why).to_have_css("background-color", colour)


def choose(page: Page, words: str) -> None:
    follow(page.get_by_role("link", name="Light or dark"))
    follow(page.get_by_role("button", name=words, exact=True))


@pytest.mark.parametrize(
    ("system", "other"), [("light", "dark"), pytest.param("dark", "light", marks=pytest.mark.slow)]
)
def test_the_choice_of_a_person_is_accessible_on_all_kinds_of_pages(
    sign_in: SignIn, system: str, other: str
) -> None:
    person = sign_in("admin", color_scheme=system, **DESKTOP)
    page = person.page
    page.goto("/account")
    expect_background(page, PAPER[system])
    follow(page.get_by_role("button", name=other.title(), exact=True))
    expect(page).to_have_url(re.compile(r"/account#appearance$"))
    for address in PAGES:
        page.goto(address)
        expect_background(page, PAPER[other], address)
        assert violations(person) == [], address
    page.goto("/label")
    expect_background(page, GREY, "light is judged there")
    page.goto("/account")
    follow(page.get_by_role("button", name="As the system"))
    expect_background(page, PAPER[system])


def test_a_browser_keeps_the_choice_without_scripts_and_an_account(
    site: Site, chromium: Browser
) -> None:
    options = {"color_scheme": "light", "java_script_enabled": False}
    with chromium.new_context(base_url=site.url, **options) as context:  # type: ignore[arg-type]
        page = context.new_page()
        page.goto("/sign-in")
        choose(page, "Dark")
        expect(page).to_have_url(re.compile(r"/sign-in$"))
        expect_background(page, PAPER["dark"])
        page.goto("/guide")
        expect_background(page, PAPER["dark"], "also on the page that asks to sign in")


def test_the_first_bytes_tell_the_scheme(sign_in: SignIn) -> None:
    """The page is never painted in the other scheme, not even before its stylesheet has come."""
    person = sign_in(color_scheme="light")
    person.page.goto("/account")
    follow(person.page.get_by_role("button", name="Dark", exact=True))
    person.context.route("**/*.css", lambda route: route.abort())
    person.page.goto("/me")
    canvas = person.page.evaluate(
        "(e => { e.style.color = 'CanvasText'; return getComputedStyle(e).color; })(document.body)"
    )
    assert canvas == "rgb(255, 255, 255)"


@pytest.mark.parametrize("chosen", APPEARANCES)
def test_paper_is_white_and_forced_colours_win(sign_in: SignIn, chosen: str) -> None:
    page = sign_in("supervisor", color_scheme="dark").page
    page.goto("/account")
    follow(page.locator(f"button[value={chosen}]"))
    page.goto("/admin/agreement")
    page.emulate_media(media="print")
    expect_background(page, "rgb(255, 255, 255)")
    expect(page.locator("h1")).to_have_css("color", "rgb(0, 0, 0)")
    page.emulate_media(media="screen", forced_colors="active", color_scheme="light")
    system = page.evaluate(
        "(e => { e.style.cssText = 'background-color: Canvas; forced-color-adjust: none';"
        " document.body.append(e); return getComputedStyle(e).backgroundColor; })"
        "(document.createElement('p'))"
    )
    expect_background(page, system)
