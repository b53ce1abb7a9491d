"""Turned heads in a browser: the slider, a finger, without a script, and a page that waits."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from labeler.models.base import utc_now
from labeler.models.studio import HeadTurn
from tests.browser.conftest import SignIn, Site, TurnedHeads
from tests.browser.label_page import DESKTOP, PHONE, follow, violations
from tests.labeler.studio.turned import add_turn, folder_of, write_result


def expect_shown(page: Page, *angles: str) -> None:
    """These frames can be seen, and no others."""
    frames = page.locator("img[data-yaw]").filter(visible=True)
    expect(frames).to_have_count(len(angles))
    for number, angle in enumerate(angles):
        expect(frames.nth(number)).to_have_attribute("data-angle", angle)


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Turn the head")


def test_the_arrow_keys_turn_the_head(sign_in: SignIn, turned_heads: TurnedHeads) -> None:
    person = sign_in("supervisor")
    person.page.goto(f"/studio/{turned_heads.first}")
    expect(slider(person.page)).to_have_attribute("aria-valuetext", "0°")
    expect_shown(person.page, "0°")
    slider(person.page).focus()
    for key, angle in (("ArrowRight", "20° right"), ("Home", "20° left"), ("ArrowRight", "0°")):
        person.page.keyboard.press(key)
        expect_shown(person.page, angle)
        expect(slider(person.page)).to_have_attribute("aria-valuetext", angle)
    person.page.keyboard.press("End")
    doubt = person.page.locator("figcaption").get_by_text("31% of the face was hidden")
    expect(doubt).to_be_visible()
    person.page.keyboard.press("Home")
    expect(doubt).to_be_hidden()


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_head_looks_where_it_is_pressed(
    sign_in: SignIn, turned_heads: TurnedHeads, device: dict[str, Any]
) -> None:
    person = sign_in("supervisor", **device)
    person.page.goto(f"/studio/{turned_heads.first}")
    expect(slider(person.page)).to_be_visible()
    box = person.page.locator(".turns").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    person.page.mouse.move(box["x"] + 5, middle)
    person.page.mouse.down()
    expect_shown(person.page, "20° left")
    person.page.mouse.move(box["x"] + box["width"] - 5, middle)
    expect_shown(person.page, "20° right")
    person.page.mouse.up()
    person.page.mouse.move(box["x"] + 5, middle)
    expect_shown(person.page, "20° right")


def test_nothing_moves_while_the_head_turns(sign_in: SignIn, turned_heads: TurnedHeads) -> None:
    person = sign_in("supervisor", **PHONE)
    person.page.goto(f"/studio/{turned_heads.first}")
    slider(person.page).focus()
    person.page.keyboard.press("Home")
    before = slider(person.page).bounding_box()
    person.page.keyboard.press("End")
    assert slider(person.page).bounding_box() == before


def test_one_slider_turns_both_heads(sign_in: SignIn, turned_heads: TurnedHeads) -> None:
    person = sign_in("supervisor")
    person.page.goto("/studio")
    for name in ("With the light filter", "Without the light filter"):
        person.page.get_by_role("checkbox", name=f"Compare {name}", exact=True).check()
    follow(person.page.get_by_role("button", name="Compare the two that are ticked"))
    expect(person.page.get_by_role("row", name="Light filter differs")).to_be_visible()
    slider(person.page).focus()
    person.page.keyboard.press("End")
    expect_shown(person.page, "20° right", "20° right")


def test_without_a_script_the_strip_and_the_frames_are_there(
    sign_in: SignIn, turned_heads: TurnedHeads
) -> None:
    person = sign_in("supervisor", java_script_enabled=False)
    person.page.goto(f"/studio/{turned_heads.first}")
    strip = person.page.get_by_role("img", name="The source, then the head at")
    expect(strip).to_be_visible()
    expect(person.page.get_by_role("slider")).to_have_count(0)
    frames = person.page.get_by_role("list", name="Frames")
    with person.page.expect_response("**/files/photograph_*") as answer:
        frames.get_by_role("link", name="20° left").click()
    assert answer.value.status == 200


def test_a_link_is_created_copied_and_revoked(
    site: Site, sign_in: SignIn, turned_heads: TurnedHeads
) -> None:
    person = sign_in("supervisor")
    person.page.goto(f"/studio/{turned_heads.second}")
    follow(person.page.get_by_role("button", name="Create a link"))
    link = person.page.get_by_label("Link", exact=True).input_value()
    assert violations(person) == []
    stranger = person.context.browser.new_page()  # type: ignore[union-attr]
    try:
        assert stranger.goto(link).status == 200  # type: ignore[union-attr]
        assert stranger.locator("img").evaluate("e => e.naturalWidth") > 0
        follow(person.page.get_by_role("button", name="Revoke the link"))
        follow(person.page.get_by_role("button", name="Revoke the link"))
        expect(person.page.get_by_role("button", name="Create a link")).to_be_visible()
        assert stranger.reload().status == 404  # type: ignore[union-attr]
    finally:
        stranger.context.close()


def test_a_count_that_fails_is_told(sign_in: SignIn, turned_heads: TurnedHeads) -> None:
    person = sign_in("supervisor")
    page = person.page
    page.goto("/studio/new")
    clusters = page.locator("#clusters")
    expect(clusters).to_contain_text("Choose a source")
    page.route("**/studio/preview", lambda route: route.abort())
    page.get_by_label("Where does its light come from?").select_option("left")
    expect(clusters).to_have_text("Could not count. Press “Count again”.")
    page.unroute("**/studio/preview")
    page.get_by_label("Where does its light come from?").select_option("right")
    expect(clusters.get_by_role("table")).to_be_visible()
    page.route("**/studio/preview", lambda route: route.fulfill(status=500, body="broken"))
    page.reload()
    expect(clusters).to_have_text("Could not count. Press “Count again”.")


def test_the_pictures_stay_open_when_a_choice_changes(sign_in: SignIn) -> None:
    """They are no part of the live region: a screen reader does not read all their names."""
    page = sign_in("supervisor").page
    page.goto("/studio/new")
    light, members = page.get_by_label("Where does its light come from?"), page.locator("#members")
    light.select_option("left")
    expect(page.locator("#clusters table")).to_be_visible()
    members.locator("summary").click()
    shown = members.locator(".pictures img").first
    expect(shown).to_be_visible()
    assert members.evaluate("e => e.closest('[aria-live]')") is None
    before = members.locator(".pictures").all_inner_texts()
    members.locator("summary").focus()
    page.evaluate(
        "() => { const light = document.getElementById('light'); light.value = 'right';"
        " light.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    expect(members.locator(".pictures").first).not_to_have_text(before[0])
    expect(shown).to_be_visible()
    expect(members.locator("summary")).to_be_focused()


@pytest.mark.slow
def test_a_page_that_waits_shows_the_result_by_itself(
    site: Site, sign_in: SignIn, turned_heads: TurnedHeads
) -> None:
    person = sign_in("supervisor")
    with site.db.read() as session:
        owner_id = session.get_one(HeadTurn, turned_heads.first).owner_id
    waiting = add_turn(site.db, owner_id, state="running", name="Soon")
    person.page.goto(f"/studio/{waiting}")
    expect(person.page.get_by_role("heading", name="The head is being turned")).to_be_visible()
    write_result(folder_of(site.db, site.settings, waiting))
    with site.db.write() as session:
        turn = session.get_one(HeadTurn, waiting)
        turn.finished_at, turn.summary = utc_now(), {}
    expect(slider(person.page)).to_be_visible()
