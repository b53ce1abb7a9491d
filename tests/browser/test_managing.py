"""Adjudication by keys alone, and the live parts of the form of a campaign."""

from __future__ import annotations

import secrets
import subprocess
import sys
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from labeler.campaigns import service as campaigns
from labeler.campaigns.service import CampaignPlan
from labeler.consensus.store import rebuild
from labeler.gold.service import NewGold, add_gold
from labeler.models.accounts import Annotator
from labeler.models.campaigns import Campaign
from labeler.models.consensus import Consensus, Decision
from labeler.models.voting import Vote
from labeler.rules.campaign_rules import Rules
from labeler.rules.image_selection_spec import ImageSelection
from tests.browser.conftest import ROOT, Person, SignIn, Site, environment
from tests.browser.label_page import (
    DESKTOP,
    PHONE,
    follow,
    follow_key,
    open_label_page,
    violations,
)


@pytest.fixture
def contested(site: Site) -> int:
    """A campaign of its own with three contested images."""
    name = f"contested {secrets.token_hex(3)}"
    with site.db.read() as session:
        dataset_id = session.scalars(select(Campaign.dataset_id)).first() or 0
    plan = CampaignPlan(name, Rules(method="majority", required_votes=3), ImageSelection(sample=3))
    made = campaigns.create_campaign(site.db, dataset_id, plan)
    with site.db.write() as session:
        images = session.scalars(select(Consensus.image_id).where(Consensus.campaign_id == made))
        for image_id in images.all():
            for answer in ("left", "center", "right"):
                who = Annotator(
                    username=f"v-{secrets.token_hex(5)}",
                    password_hash="!",
                    pseudonym=f"p-{secrets.token_hex(5)}",
                )
                session.add(who)
                session.flush()
                session.add(
                    Vote(
                        campaign_id=made,
                        image_id=image_id,
                        annotator_id=who.id,
                        answer=answer,
                        request_id=secrets.token_hex(8),
                        blind=True,
                    )
                )
        session.flush()
        rebuild(session, made)
    return made


def decisions(site: Site, campaign_id: int) -> list[tuple[str | None, bool]]:
    with site.db.read() as session:
        rows = session.scalars(
            select(Decision).where(Decision.campaign_id == campaign_id).order_by(Decision.id)
        )
        return [(one.label, one.superseded_at is None) for one in rows]


def test_adjudication_by_keys(site: Site, sign_in: SignIn, contested: int) -> None:
    page = sign_in("supervisor").page
    page.goto(f"/admin/contested?campaign={contested}")
    first = page.locator("#picture-title").text_content()
    follow_key(page, "s")
    expect(page.locator("#picture-title")).not_to_have_text(first)
    follow_key(page, "ArrowLeft")
    follow_key(page, "z")
    follow_key(page, "u")
    follow_key(page, "2")
    assert decisions(site, contested) == [("left", False), (None, True), ("center", True)]
    expect(
        page.get_by_role("heading", name="You have skipped all remaining images.")
    ).to_be_visible()


def test_keys_are_letters_in_the_note(site: Site, sign_in: SignIn, contested: int) -> None:
    page = sign_in("supervisor").page
    page.goto(f"/admin/contested?campaign={contested}")
    page.locator("#note").focus()
    page.keyboard.type("lamps: 1 2 u z s g")
    assert page.locator("#note").input_value() == "lamps: 1 2 u z s g"
    assert decisions(site, contested) == []
    page.keyboard.press("Tab")
    page.keyboard.press("g")
    expect(page.locator("#use_as_gold")).to_be_checked()
    follow_key(page, "3")
    assert decisions(site, contested) == [("right", True)]


def test_the_form_counts_and_previews(site: Site, sign_in: SignIn) -> None:
    page = sign_in("supervisor").page
    page.goto("/admin/campaigns/new")
    page.locator("#sample").fill("12")
    expect(page.locator("#count")).to_have_text("12 images are selected.")
    page.locator("#sample").fill("many")
    expect(page.locator("#count")).to_have_text("Enter a whole number.")
    page.locator("#guideline").fill("# Cheeks\n\n<img src=x onerror=alert(1)> **both**")
    expect(page.locator("#preview strong")).to_have_text("both")
    expect(page.locator("#preview img")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_enter_in_the_note_decides_nothing(
    site: Site, sign_in: SignIn, contested: int, scripts: bool
) -> None:
    page = sign_in("supervisor", java_script_enabled=scripts).page
    page.goto(f"/admin/contested?campaign={contested}")
    for field in ("#note", "#use_as_gold"):
        page.locator("#use_as_gold").check()
        page.locator("#note").fill("two lamps")
        page.locator(field).focus()
        if scripts:
            page.keyboard.press("Enter")
        else:
            follow_key(page, "Enter")  # the page again, with what is missing
        assert decisions(site, contested) == []
        expect(page.locator("#note")).to_have_value("two lamps")
        expect(page.locator("#use_as_gold")).to_be_checked()
    follow(page.get_by_role("button", name="Right"))
    expect(page.locator("#undo")).to_contain_text("right")
    assert decisions(site, contested) == [("right", True)]


def say_yes(person: Person, button: str, *numbers: str) -> None:
    """Read the question and confirm it; it must have these words."""
    page = person.page
    assert violations(person) == []
    for words in numbers:
        expect(page.locator(".effects")).to_contain_text(words)
    follow(page.get_by_role("button", name=button))


def test_activating_asks_first_and_can_be_undone(
    site: Site, sign_in: SignIn, contested: int
) -> None:
    open_label_page(sign_in().page)
    boss = sign_in("supervisor")
    page = boss.page
    page.goto(f"/admin/campaigns/{contested}")
    follow(page.get_by_role("button", name="Activate"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Activate contested")
    assert active(site) == [1], "only a question so far"
    follow(page.get_by_role("link", name="Cancel"))
    follow(page.get_by_role("button", name="Activate"))
    try:
        say_yes(boss, "Activate contested", "answered in faces", "choose one", "to go")
        assert active(site) == [1, contested]
        follow(page.get_by_role("button", name="Undo"))
        expect(page.locator(".message.success")).to_contain_text("is no longer active")
        assert active(site) == [1]
    finally:
        with site.db.write() as session:
            campaigns.deactivate_campaign(session, contested)


def test_deactivating_tells_what_people_have_open(site: Site, sign_in: SignIn) -> None:
    open_label_page(sign_in().page)
    boss = sign_in("supervisor")
    page = boss.page
    page.goto("/admin/campaigns/1")
    follow(page.get_by_role("button", name="Deactivate"))
    try:
        say_yes(boss, "Deactivate faces", "60 images to go", "images that people have open")
        assert active(site) == []
        follow(page.get_by_role("button", name="Undo"))
        expect(page.locator(".message.success")).to_contain_text("faces is now active")
        assert active(site) == [1]
    finally:
        with site.db.write() as session:
            campaigns.activate_campaign(session, 1)


def active(site: Site) -> list[int]:
    with site.db.read() as session:
        found = select(Campaign.id).where(Campaign.active).order_by(Campaign.id)
        return list(session.scalars(found))


def test_stricter_rules_tell_how_many_images_open_again(
    site: Site, sign_in: SignIn, contested: int
) -> None:
    boss = sign_in("supervisor")
    page = boss.page
    page.goto(f"/admin/campaigns/{contested}")
    page.get_by_text("More: all rules", exact=True).click()
    page.locator("#required_votes").fill("5")
    expect(page.locator("#forecast")).to_contain_text("3 finished images will open again")
    page.locator("#guideline").fill("Two lines\nof text")
    follow(page.get_by_role("button", name="Save changes"))
    follow(page.get_by_role("button", name="Cancel"))
    expect(page.locator("#guideline")).to_have_value("Two lines\nof text")
    expect(page.locator("#required_votes")).to_have_value("5")
    assert required_votes(site, contested) == 3
    follow(page.get_by_role("button", name="Save changes"))
    say_yes(boss, "Save the rules", "3 finished images will open again", "0 of 3 images", "is 3 by")
    assert required_votes(site, contested) == 5
    follow(page.get_by_role("button", name="Undo"))
    expect(page.locator(".message.success")).to_contain_text("saved")
    assert required_votes(site, contested) == 3


def test_a_forecast_is_counted_once_for_the_same_rules(
    site: Site, sign_in: SignIn, contested: int
) -> None:
    page = sign_in("supervisor").page
    page.goto(f"/admin/campaigns/{contested}")
    page.get_by_text("More: all rules", exact=True).click()

    def asks_for_forecast(field: str, text: str) -> bool:
        typed = f'name="{field}"\r\n\r\n{text}\r\n'
        with page.expect_response(
            lambda answer: (
                "/admin/campaigns/try?" in answer.url and typed in (answer.request.post_data or "")
            )
        ) as answered:
            page.locator(f"#{field}").fill(text)
        answered.value.finished()
        return 'name="forecast"' not in (answered.value.request.post_data or "")

    forecast = page.locator("#forecast")
    assert asks_for_forecast("required_votes", "5")
    expect(forecast).to_contain_text("3 finished images will open again")
    assert not asks_for_forecast("guideline", "Light from the left")
    expect(page.locator("#preview")).to_have_text("Light from the left")
    expect(forecast).to_contain_text("3 finished images will open again")
    assert asks_for_forecast("required_votes", "3")
    expect(forecast).to_have_text("")


def required_votes(site: Site, campaign_id: int) -> int:
    with site.db.read() as session:
        return session.get_one(Campaign, campaign_id).parsed_rules.required_votes


def test_closing_an_account_and_a_role_ask_first(site: Site, sign_in: SignIn) -> None:
    ann, boss = sign_in(), sign_in("admin")
    page = boss.page
    page.goto("/admin/people")
    follow(page.get_by_role("link", name=ann.username))
    page.get_by_text("Change the account").click()
    follow(page.get_by_role("button", name=f"Close account of {ann.username}"))
    say_yes(boss, "Close the account", "signed out of 1 browser", "0 votes")
    follow(page.get_by_role("button", name=f"Reopen the account of {ann.username}").first)
    expect(page.locator(".message.success")).to_contain_text("is open again")
    page.goto("/admin/people")
    follow(page.get_by_role("link", name=ann.username))
    page.get_by_text("Change the account").click()
    page.get_by_label(f"Role of {ann.username}", exact=True).select_option("admin")
    follow(page.get_by_role("button", name=f"Set role of {ann.username}"))
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Make {ann.username} an admin?")
    follow(page.get_by_role("link", name="Cancel"))
    expect(page.get_by_label(f"Role of {ann.username}", exact=True)).to_have_value("annotator")


def test_removing_gold_asks_first_and_can_be_undone(
    site: Site, sign_in: SignIn, contested: int
) -> None:
    with site.db.write() as session:
        image_id = session.scalars(
            select(Consensus.image_id).where(Consensus.campaign_id == contested)
        ).first()
        assert image_id is not None
        add_gold(session, contested, [NewGold(image_id, "left", "Nose")], "csv")
    boss = sign_in("supervisor")
    page = boss.page
    page.goto(f"/admin/gold?campaign={contested}")
    follow(page.get_by_role("button", name="Remove 0"))
    say_yes(boss, "Remove the gold question", "3 answers", "1 of them")
    expect(page.get_by_role("heading", name="0 gold questions")).to_be_visible()
    follow(page.get_by_role("button", name="Undo"))
    expect(page.get_by_role("heading", name="1 gold question")).to_be_visible()


def test_the_demo_leaves_a_class_at_work_alone(site: Site, sign_in: SignIn) -> None:
    page = sign_in().page
    open_label_page(page)
    command = [sys.executable, str(ROOT / "manage.py"), "demo", "--images", "12"]
    done = subprocess.run(
        command,
        env=environment(site.home, site.port),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert "People keep getting images of the campaign 'faces'" in done.stdout
    assert active(site) == [1]
    page.reload()
    expect(page.locator("#answers [name=campaign_id]")).to_have_value("1")


def test_wrong_fields_stay_in_their_place_and_are_linked(site: Site, sign_in: SignIn) -> None:
    page = sign_in("supervisor", viewport={"width": 1280, "height": 768}).page
    places = "es => es.map(e => [e.name, Math.round(e.getBoundingClientRect().left)])"
    page.goto("/admin/campaigns/new")
    page.get_by_text("More: all rules", exact=True).click()
    before = page.locator("#all-rules :is(input, select)").evaluate_all(places)
    page.locator("#name").fill("wrong rules")
    page.locator("#sample").fill("99999999")
    page.locator("#vote_cap").fill("many")
    page.locator("#gold_rate").fill("-1")
    follow(page.get_by_role("button", name="Create campaign"))
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("3 fields need a correction")
    after = page.locator("#all-rules :is(input, select)").evaluate_all(places)
    assert after == before
    page.get_by_role("alert").get_by_role("link", name="Random sample").click()
    expect(page.locator("#sample")).to_be_focused()
    page.get_by_text("More: all rules", exact=True).click()
    page.get_by_role("alert").get_by_role("link", name="Largest number of votes").click()
    expect(page.locator("#vote_cap")).to_be_focused()
    assert page.locator("#name").input_value() == "wrong rules"


def test_contested_image_and_answers_are_in_one_view(
    site: Site, sign_in: SignIn, contested: int
) -> None:
    page = sign_in("admin", viewport={"width": 1280, "height": 768}).page
    page.goto(f"/admin/contested?campaign={contested}")
    expect(page.locator(".judge")).to_contain_text("After 3 votes no label has more votes")
    for part in (".judge img", "#decision button[value=left]", "#note", "#use_as_gold", "#skip"):
        bottom = page.locator(part).evaluate("e => e.getBoundingClientRect().bottom")
        assert bottom <= 768, part
    strip = page.get_by_role("navigation", name="Waiting images")
    expect(strip.get_by_role("link")).to_have_count(3)
    follow(strip.get_by_role("link").nth(1))
    expect(page.locator("#picture-title")).to_have_text(
        strip.locator("a[aria-current] img").get_attribute("alt") or ""
    )


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_menu_shows_the_page_and_all_campaigns(
    sign_in: SignIn, contested: int, device: dict[str, Any]
) -> None:
    """The list of campaigns drops down beside the tabs, which scroll on a phone."""
    person = sign_in("admin", **device)
    page = person.page
    page.goto(f"/admin/contested?campaign={contested}")
    chooser = page.locator(".chooser")
    chooser.locator("summary").click()
    expect(chooser.get_by_role("link").nth(1)).to_be_visible()
    for link in chooser.get_by_role("link").all():
        link.click(trial=True)  # not covered by anything, and not cut off
        expect(link).to_be_in_viewport(ratio=1)
    assert violations(person) == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= device["viewport"]["width"]
    expect(page.locator(".menu [aria-current]").last).to_be_in_viewport(ratio=1)
