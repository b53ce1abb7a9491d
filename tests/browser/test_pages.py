"""Every page: accessible, without errors in the console, fitting a phone; keyboard only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from playwright.sync_api import expect

from labeler.web.help.texts import TOPICS
from tests.browser.conftest import Person, SignIn, Site, TurnedHeads
from tests.browser.label_page import (
    DESKTOP,
    PHONE,
    VIEWS,
    Diary,
    open_label_page,
    open_whole,
    violations,
    wait_until_sent,
)

PAGES = (
    "/sign-in",
    "/guide",
    "/label",
    "/me",
    "/grid",
    "/grid?label=left&source=model&size=24",
    "/account",
    "/account/close",
    "/messages",
    "/admin/",
    "/admin/images",
    "/admin/images?status=open&proposal=left&yaw_to=90",
    "/admin/images?status=open&label=left",
    "/admin/images?status=settled&identity=x&attribute-Tall=yes",
    "/admin/images/1",
    "/admin/data-sets",
    "/admin/subsets",
    "/admin/subsets/new?status=open&yaw_to=90",
    "/studio/new?image=1",
    "/studio/clusters?at=-10:10,0:10&light=left&proposals=yes",
    "/admin/data-sets/add",
    "/admin/people",
    "/admin/people/1",
    "/admin/people?search=nobody",
    "/admin/people/1/messages",
    "/admin/people/1/anonymise",
    "/admin/messages",
    "/admin/invites",
    "/admin/groups",
    "/admin/campaigns?archived=yes",
    "/admin/campaigns/1/delete",
    "/admin/data-sets/1/delete",
    "/admin/audit",
    "/admin/campaigns",
    "/admin/campaigns/new",
    "/admin/campaigns/1",
    "/admin/gold",
    "/admin/contested",
    "/admin/contested/1",
    "/admin/decisions",
    "/admin/help",
    "/admin/privacy",
    "/privacy",
    "/appearance",
    "/language",
    "/admin/help/quality",
    "/nowhere",
)
# These are looked at in the dashboards' own tests too, in English.
FIGURES = (
    "/admin/quality",
    "/admin/agreement",
    "/admin/runs",
    "/admin/mean-faces",
    "/admin/jobs",
    "/flags/new?image=1",
    *(f"/admin/help/{topic}" for topic in TOPICS if topic != "quality"),
)
BOX = "e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }"


def look_at(person: Person, addresses: Iterable[str], width: int) -> None:
    """Each page is accessible, no wider than the screen, and breaks no rule of its own."""
    complaints: list[str] = []
    person.page.on("pageerror", lambda error: complaints.append(str(error)))
    person.page.on(
        "console",
        lambda said: complaints.append(said.text) if "Security Policy" in said.text else None,
    )
    found = []
    for address in addresses:
        open_whole(person.page, address)
        if address.startswith("/studio/clusters"):
            assert person.page.locator("#main img, main img").count() > 1, "pictures to look at"
        found += [f"{address}: {one}" for one in violations(person)]
        wide = person.page.evaluate("document.documentElement.scrollWidth")
        found += [f"{address}: {wide} pixels wide"] if wide > width else []
    assert found + complaints == []


@pytest.mark.parametrize(("device", "scheme"), VIEWS)
def test_every_page_is_accessible_and_fits(
    site: Site,
    turned_heads: TurnedHeads,
    sign_in: SignIn,
    device: dict[str, Any],
    scheme: str,
) -> None:
    person = sign_in("admin", color_scheme=scheme, reduced_motion="reduce", **device)
    look_at(person, (*PAGES, *turned_heads.pages), device["viewport"]["width"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("locale", "device", "scheme"),
    [
        pytest.param("en-GB", PHONE, "dark", id="english-phone-dark"),
        pytest.param("de-DE", PHONE, "light", id="german-phone-light"),
        pytest.param("it-IT", DESKTOP, "dark", id="italian-desktop-dark"),
    ],
)
def test_every_page_is_accessible_and_fits_in_each_language(
    turned_heads: TurnedHeads, sign_in: SignIn, locale: str, device: dict[str, Any], scheme: str
) -> None:
    """The pages with words of their own as well, such as the help of each part."""
    options = {"locale": locale, "color_scheme": scheme, "reduced_motion": "reduce", **device}
    person = sign_in("admin", **options)
    person.page.goto("/account")
    assert person.page.locator("html").get_attribute("lang") == locale[:2]
    addresses = FIGURES if locale == "en-GB" else (*PAGES, *FIGURES, *turned_heads.pages)
    look_at(person, addresses, device["viewport"]["width"])


def test_help_dialog_and_sign_in_page_are_accessible(site: Site, sign_in: SignIn) -> None:
    person = sign_in()
    open_label_page(person.page)
    person.page.keyboard.press("?")
    expect(person.page.get_by_role("dialog")).to_be_visible()
    assert violations(person) == []
    person.page.keyboard.press("ArrowLeft")  # no answer while the help is open
    person.page.keyboard.press("Escape")
    expect(person.page.get_by_role("dialog")).not_to_be_visible()
    assert site.votes_of(person.username) == []
    person.context.clear_cookies()
    person.page.goto("/sign-in")
    assert violations(person) == []


def test_phone_shows_all_without_scrolling(site: Site, sign_in: SignIn) -> None:
    person = sign_in(**PHONE)
    open_label_page(person.page)
    size = person.page.evaluate("[innerWidth, innerHeight, document.documentElement.scrollHeight]")
    assert size == [375, 667, 667]
    boxes = {}
    for name in ("Left", "Center", "Right", "Unsure", "Undo"):
        left, top, right, bottom = boxes[name] = person.page.get_by_role(
            "button", name=name
        ).evaluate(BOX)
        assert min(right - left, bottom - top) >= 48, name
        assert 0 <= left < right <= 375
        assert 667 / 2 < top < bottom <= 667, "within reach of a thumb"
    assert boxes["Left"][2] <= boxes["Center"][0] < boxes["Center"][2] <= boxes["Right"][0]
    assert boxes["Unsure"][1] >= boxes["Center"][3]
    picture = person.page.locator("#stage img")
    left, top, right, bottom = picture.evaluate(BOX)
    assert 0 <= left < right <= 375
    assert 0 <= top < bottom <= boxes["Left"][1]
    assert (right - left) % 64 == 0, "a whole factor"
    assert right - left >= 320, "large"


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_else_moves(site: Site, sign_in: SignIn, device: dict[str, Any]) -> None:
    """Neither at an answer nor when the words about the connection come and go."""
    person = sign_in(**device)
    open_label_page(person.page)
    diary = Diary(person.page)

    def places() -> Any:
        parts = "#stage, #stage img, #hint, .answers button, #undo, .status, .top"
        return person.page.locator(parts).evaluate_all(f"es => es.map({BOX})")

    before = places()
    for key in ("ArrowLeft", "u", "ArrowRight"):
        diary.press(key)
        expect(person.page.locator("#stage img")).to_be_visible()
        assert places() == before
    diary.wait_until_sent()
    person.context.set_offline(True)
    diary.press("ArrowLeft")
    expect(person.page.locator("#connection")).to_have_text("Offline: 1 vote kept here")
    expect(person.page.locator("#stage img")).to_be_visible()
    assert places() == before


def test_surround_is_neutral_grey_in_both_schemes(site: Site, sign_in: SignIn) -> None:
    for scheme in ("light", "dark"):
        person = sign_in(color_scheme=scheme)
        open_label_page(person.page)
        grey = "rgb(122, 122, 122)"
        expect(person.page.locator("body")).to_have_css("background-color", grey)
        for style in ("filter", "boxShadow", "mixBlendMode"):
            value = person.page.locator("#stage img").evaluate(f"e => getComputedStyle(e).{style}")
            assert value in ("none", "normal")


def test_keyboard_alone(site: Site, sign_in: SignIn) -> None:
    """Tab reaches everything, and Enter on a target answers like its key."""
    person = sign_in()
    open_label_page(person.page)
    reached = []
    for _ in range(14):
        person.page.keyboard.press("Tab")
        reached.append(
            person.page.evaluate("document.activeElement.textContent.trim().match(/^[A-Za-z]*/)[0]")
        )
        outline = person.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", reached
        if reached[-1] == "Center":
            break
    assert reached[0] == "Skip"
    assert {"Label", "Progress", "Guide", "Account", "Left", "Center"} <= set(reached)
    person.page.keyboard.press("Enter")
    wait_until_sent(person.page)
    assert [vote.answer for vote in site.votes_of(person.username)] == ["center"]
