"""Small screens, enlarged text, time zones, and buttons that are pressed twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect
from sqlalchemy import select

from labeler.models.accounts import Annotator
from tests.browser.conftest import SignIn, Site, TurnedHeads
from tests.browser.label_page import (
    PHONE,
    answer_by_key,
    follow,
    held,
    open_label_page,
    open_whole,
    violations,
    wait_for_observers,
    wait_until_sent,
)
from tests.browser.test_pages import FIGURES, PAGES
from tests.browser.test_qualification import truth  # noqa: F401  a fixture

ENLARGED: dict[str, Any] = {"viewport": {"width": 341, "height": 192}}  # 1366x768 at 400 %
NARROW: dict[str, Any] = {**PHONE, "viewport": {"width": 320, "height": 568}}
BOX = "e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; }"
PARTS = (".top", "#stage", "#hint, #lesson", ".answers", ".status")
BEYOND = """() => [...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > 321 && !one.closest(".scroll, .menu"))
  .map((one) => `${one.localName}.${one.className}: ${one.textContent.trim().slice(0, 40)}`)"""
INDIA = timezone(timedelta(hours=5, minutes=30))


def overlap(one: list[float], other: list[float]) -> bool:
    apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    return not apart


def check_enlarged(page: Page) -> None:
    picture = page.locator("#stage img")
    expect(picture).to_be_visible()
    wait_for_observers(page)
    left, top, right, bottom = picture.evaluate(BOX)
    assert bottom - top >= 64
    assert 0 <= left < right <= 341
    assert top < 192, "it is seen before one scrolls"
    boxes = [page.locator(part).first.evaluate(BOX) for part in PARTS]
    assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
    assert page.evaluate("document.documentElement.scrollHeight") > 192
    assert page.evaluate("document.documentElement.scrollWidth") <= 341
    unsure = page.get_by_role("button", name="Unsure")
    unsure.scroll_into_view_if_needed()
    expect(unsure).to_be_in_viewport(ratio=1)
    picture.scroll_into_view_if_needed()
    expect(picture).to_be_in_viewport(ratio=1)


def test_the_label_page_at_400_percent(sign_in: SignIn) -> None:
    person = sign_in(**ENLARGED)
    open_label_page(person.page)
    check_enlarged(person.page)
    assert violations(person) == []
    answer_by_key(person.page, "ArrowLeft")
    wait_until_sent(person.page)


@pytest.mark.usefixtures("truth")
def test_the_qualification_at_400_percent(sign_in: SignIn) -> None:
    page = sign_in(**ENLARGED).page
    page.goto("/label/training")
    check_enlarged(page)


@pytest.mark.parametrize(
    "locale",
    [
        "en-GB",
        pytest.param("de-DE", marks=pytest.mark.slow),  # the longest words
        pytest.param("it-IT", marks=pytest.mark.slow),
    ],
)
def test_every_page_is_320_pixels_wide(
    turned_heads: TurnedHeads, sign_in: SignIn, locale: str
) -> None:
    page = sign_in("admin", locale=locale, **NARROW).page
    wide = []
    for address in (*PAGES, *FIGURES, *turned_heads.pages):
        open_whole(page, address)
        width = page.evaluate("Math.max(document.documentElement.scrollWidth, innerWidth)")
        if width > 320:
            wide.append(f"{address} is {width} wide: {page.evaluate(BEYOND)[:5]}")
    assert not wide, "\n".join(wide)


def test_each_level_of_the_menu_is_one_row_on_a_phone(sign_in: SignIn) -> None:
    page = sign_in("admin", **PHONE).page
    for tab, name in (("Overview", ""), ("Images", "Mean faces"), ("Activity", "Audit log")):
        page.goto("/admin/")
        rows = [page.get_by_role("navigation", name="Manage")]
        follow(rows[0].get_by_role("link", name=tab))
        if name:
            rows.append(page.get_by_role("navigation", name=tab, exact=True))
            follow(rows[1].get_by_role("link", name=name))
        for row, text in zip(rows, (tab, name), strict=False):
            current = row.locator("[aria-current]")
            expect(current).to_have_text(text)
            expect(current).to_be_in_viewport(ratio=0.9)
            box = row.get_by_role("list").bounding_box()
            assert box is not None
            assert box["height"] < 70


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_times_are_those_of_the_browser(site: Site, sign_in: SignIn, scripts: bool) -> None:
    person = sign_in("supervisor", timezone_id="Asia/Kolkata", java_script_enabled=scripts)
    with site.db.read() as session:
        who = Annotator.username == person.username
        created = session.scalars(select(Annotator.created_at).where(who)).one()
    person.page.goto("/account")
    shown = person.page.locator(".details time")
    utc = f"{created.astimezone(UTC):%d %b %Y, %H:%M} UTC"
    expect(shown).to_have_text(f"{created.astimezone(INDIA):%d %b %Y, %H:%M}" if scripts else utc)
    if scripts:
        expect(shown).to_have_attribute("title", utc)
    person.page.goto("/admin/?per=hour")
    axis = person.page.locator(".axis-title")
    expect(axis).to_have_text("time of day" if scripts else "time of day (UTC)")
    ticks = person.page.locator(".chart text[text-anchor=middle]").all_text_contents()
    assert all(tick.endswith(":30" if scripts else ":00") for tick in ticks)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_days_are_those_of_the_browser(sign_in: SignIn, scripts: bool) -> None:
    zone = timezone(timedelta(hours=14))
    page = sign_in("supervisor", timezone_id="Pacific/Kiritimati", java_script_enabled=scripts).page
    page.goto("/admin/")
    follow(page.get_by_role("link", name="per day"))
    expect(page.locator(".axis-title")).to_have_text("day" if scripts else "day (UTC)")
    last = page.locator(".chart rect title").last.text_content() or ""
    today = datetime.now(zone if scripts else UTC)
    yesterday = today - timedelta(minutes=5)  # midnight may have passed since the page was made
    assert last.partition(":")[0] in {f"{day:%d %b %Y}" for day in (today, yesterday)}


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_own_days_are_those_of_the_browser(sign_in: SignIn, scripts: bool) -> None:
    """The page that a person opens first tells the zone, and the next one counts by it."""
    zone = timezone(timedelta(hours=14))
    page = sign_in(timezone_id="Pacific/Kiritimati", java_script_enabled=scripts).page
    if scripts:
        open_label_page(page)
        answer_by_key(page, "ArrowLeft")
        wait_until_sent(page)
    else:
        page.goto("/label")
        follow(page.locator("button[value=left]"))
    page.goto("/account")
    page.goto("/me")
    expect(page.get_by_text("today (UTC)", exact=True)).to_have_count(0 if scripts else 1)
    table = page.get_by_role("table", name="By day" if scripts else "By day (UTC)")
    now = datetime.now(zone if scripts else UTC)
    assert table.locator("tbody th").text_content() in {
        f"{at:%a} {at.day} {at:%b}" for at in (now, now - timedelta(minutes=5))
    }


def test_a_button_that_is_pressed_twice_is_sent_once(sign_in: SignIn) -> None:
    page = sign_in().page
    page.goto("/account")
    sent: list[Request] = []
    page.on("request", lambda one: sent.append(one) if one.method == "POST" else None)
    with page.expect_navigation(), held(page, "**/account/keys"):
        page.get_by_role("button", name="Turn all off").dblclick(delay=1)
    expect(page.get_by_role("status").first).to_contain_text("Your keys have been changed.")
    assert len(sent) == 1
    with page.expect_navigation():
        page.evaluate("""() => { const form = document.querySelector("#keys form");
            form.requestSubmit(); form.requestSubmit(); form.requestSubmit(); }""")
    assert len(sent) == 2
