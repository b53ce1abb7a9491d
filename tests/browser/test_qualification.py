"""The qualification and the own page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from labeler.consensus.store import rebuild
from labeler.gold.service import NewGold, add_gold
from labeler.models.base import utc_now
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Gold
from tests.browser.conftest import SignIn, Site
from tests.browser.label_page import (
    VIEWS,
    Diary,
    follow,
    follow_key,
    label_page_opens,
    open_label_page,
    violations,
)

KEYS = {"left": "ArrowLeft", "center": "2", "right": "3"}


@pytest.fixture
def truth(site: Site) -> Iterator[dict[int, str]]:
    """Four gold images and a training of two, for the length of a test."""
    with site.db.write() as session:
        campaign_id = session.scalars(select(Campaign.id).where(Campaign.active)).one()
        images = select(Consensus.image_id).where(Consensus.campaign_id == campaign_id)
        ids = list(session.scalars(images.order_by(Consensus.image_id)))[-4:]
        known = dict(zip(ids, ("left", "center", "right", "left"), strict=True))
        told = "The shadow of the nose falls away from the light."
        new = [NewGold(image_id, label, told) for image_id, label in known.items()]
        add_gold(session, campaign_id, new, "csv")
    with site.ruled_by(training=2, pass_share=1.0):
        yield known
    with site.db.write() as session:
        for gold in session.scalars(select(Gold).where(Gold.revoked_at.is_(None))):
            gold.revoked_at = utc_now()
        session.flush()
        rebuild(session, campaign_id)


def asked(page: Any) -> int:
    return int(page.locator("#stage img").get_attribute("src").split("/")[2])


@pytest.mark.parametrize(("device", "scheme"), VIEWS)
def test_by_keys(
    site: Site, sign_in: SignIn, truth: dict[int, str], device: dict[str, Any], scheme: str
) -> None:
    person = sign_in(color_scheme=scheme, **device)
    page = person.page
    page.goto("/label")
    expect(page.get_by_role("heading", name="A short qualification comes first.")).to_be_visible()
    assert violations(person) == []
    follow(page.get_by_role("link", name="Start the qualification"))
    for n in range(2):
        expect(page.locator(".status")).to_contain_text(f"{n} of 2 answered")
        assert violations(person) == []
        image = asked(page)
        follow_key(page, KEYS[truth[image]])
        expect(page.locator("#lesson")).to_contain_text("Correct: ")
        expect(page.locator("#lesson")).to_contain_text("The shadow of the nose")
        assert asked(page) == image
        assert violations(person) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= device["viewport"]["width"]
        if n == 0:
            follow_key(page, "Enter")
    expect(page.locator("#lesson")).to_contain_text(
        "2 of 2 correct. You have passed the qualification."
    )
    with label_page_opens(page):
        page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.url}/label")


def test_keys_answer_after_the_help_was_closed(sign_in: SignIn, truth: dict[int, str]) -> None:
    page = sign_in().page
    page.goto("/label/training")
    page.keyboard.press("?")
    page.get_by_role("button", name="Close").click()
    follow_key(page, KEYS[truth[asked(page)]])
    expect(page.locator("#lesson")).to_contain_text("Correct: ")


def test_without_scripts(site: Site, sign_in: SignIn, truth: dict[int, str]) -> None:
    person = sign_in(java_script_enabled=False)
    page = person.page
    page.goto("/label/training")
    wrong = "Center" if truth[asked(page)] != "center" else "Left"
    follow(page.get_by_role("button", name=wrong))
    expect(page.locator("#lesson")).to_contain_text("Not quite: ")
    follow(page.get_by_role("link", name="Show the next image"))
    expect(page.locator(".status")).to_contain_text("1 of 2 answered, 0 correct")


@pytest.mark.parametrize(("device", "scheme"), VIEWS)
def test_the_own_page(site: Site, sign_in: SignIn, device: dict[str, Any], scheme: str) -> None:
    person = sign_in(color_scheme=scheme, reduced_motion="reduce", **device)
    open_label_page(person.page)
    diary = Diary(person.page)
    for key in ("ArrowLeft", "u", "ArrowRight"):
        diary.press(key)
    diary.wait_until_sent()
    site.pause(person.username, "Please talk to me first.")
    person.page.goto("/me")
    expect(person.page.get_by_role("main")).to_contain_text("Reason: Please talk to me first.")
    assert violations(person) == []
    assert (
        person.page.evaluate("document.documentElement.scrollWidth") <= device["viewport"]["width"]
    )
    last = person.page.locator(".last-answers li").first
    last.get_by_role("button", name="center").focus()
    follow_key(person.page, "Enter")
    expect(person.page.locator(".last-answers li").first).to_contain_text("You answered center")
    newest = site.votes_of(person.username)[-1]
    assert (newest.answer, newest.image_id) == ("center", list(diary.pressed)[-1])
    assert violations(person) == []
