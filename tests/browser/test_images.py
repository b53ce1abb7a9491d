"""The grid of images with a keyboard alone, and without scripts."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import IMAGES, SignIn, Site
from tests.browser.hands import Keyboard
from tests.browser.label_page import DESKTOP, PHONE, follow_key


def test_a_supervisor_filters_and_opens_an_image_by_keys(site: Site, sign_in: SignIn) -> None:
    page = sign_in("supervisor", java_script_enabled=False, **DESKTOP).page
    page.goto("/admin/images")
    expect(page.locator("#found")).to_have_text(f"{IMAGES} images")
    page.get_by_label("Name or number").focus()
    page.keyboard.type("00002")
    follow_key(page, "Enter")
    expect(page).to_have_url(re.compile(r"/admin/images\?search=00002$"))
    tiles = page.locator(".pictures .name")
    expect(tiles).to_have_text(["000002.jpg", *(f"00002{n}.jpg" for n in range(10))])
    page.get_by_role("link", name="Remove the condition Name or number").focus()
    page.keyboard.press("Tab")
    follow_key(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("000002.jpg")
    Keyboard(page).choose(page.get_by_label("Decide the label"), "cannot tell")
    page.get_by_role("button", name="Decide").focus()
    follow_key(page, "Enter")
    expect(page.locator("#state-title + p")).to_contain_text("A supervisor decided: cannot tell.")
    page.get_by_role("button", name="Undo the decision").focus()
    follow_key(page, "Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("000002.jpg")
    expect(page.locator("#state-title + p")).not_to_contain_text("decided")


def test_two_images_stand_beside_each_other_on_a_phone(site: Site, sign_in: SignIn) -> None:
    page = sign_in("supervisor", **PHONE).page
    page.goto("/admin/images?status=open")
    boxes = [page.locator(".pictures li").nth(n).bounding_box() for n in range(3)]
    first, second, third = [box for box in boxes if box is not None]
    assert first["y"] == second["y"] < third["y"]
    assert second["x"] + second["width"] <= PHONE["viewport"]["width"]
